/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CPU does to deliver a fault with an error code, by hand: the emulator knows no error code for vector 29
 * (bugs.toml, tcg-eventinj-ev). APM 2, "Long-Mode Interrupt Control Transfers", "Legacy Protected-Mode Interrupt
 * Control Transfers"; of the latter, those that change no privilege.
 */
#ifndef HOST_DELIVER_H
#define HOST_DELIVER_H

#include "base/cpu.h"
#include "memory/memory.h"

struct delivery {
	enum {
		DELIVERED,
		DELIVERY_RAISES,     /* another exception: vector, error, and linear for #PF */
		DELIVERY_MISSES,     /* a nested page fault: miss, write */
		DELIVERY_IMPOSSIBLE, /* real mode, or a gate that cannot be gone through */
	} result;
	unsigned vector;
	uint32_t error;
	uint64_t linear;
	bool write;
	struct miss miss;
};

/**
 * deliver - enter the handler of an exception
 * @b:      the guest's registers, which are the handler's afterwards
 * @space:  its memory
 * @vector, @error: of the exception
 * @fault:  RF is set in the frame, as by a fault
 *
 * Nothing has changed where the result is not DELIVERED.
 */
struct delivery deliver(struct vmcb *b, const struct space *space, unsigned vector, uint32_t error,
			bool fault);

#endif
