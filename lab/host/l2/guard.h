/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What leads past the nested tables into the monitor's memory, or past the monitor: VMLOAD and VMSAVE of an L2, which
 * take an address of the machine; the MSRs that say where the CPU keeps its host's state and where the local APIC is;
 * ports of the board by which a device reaches memory. The monitor has these exits whatever L1 asks for, and
 * does what L1 would have let its L2 do, or stops. APM 2, "VMSAVE and VMLOAD Instructions", "MSR Intercepts", "IOIO
 * Intercept".
 */
#ifndef HOST_GUARD_H
#define HOST_GUARD_H

#include "l2.h"

/* Bits of an intercept map that are set while L2 runs; `was` gets what they were. */
struct guarded {
	uint16_t at; /* byte of the map */
	uint8_t bits;
};
void guard_set(uint8_t *map, const struct guarded *g, unsigned count, uint8_t *was);
void guard_put_back(uint8_t *map, const struct guarded *g, unsigned count, const uint8_t *was);

/* Around each entry of L2; `wished` of it is what L1 has asked for. */
void guard_before(struct l2 *l);
void guard_after(struct l2 *l);

/* An exit that L1 did not ask for. True: it is done, and L2 goes on. */
bool guard_exit(struct l2 *l);

/* L1's own accesses. Ports: what is not the monitor's to play, but not L1's either: it stops. */
bool guard_claims_port(uint16_t port, unsigned bytes);
bool guard_allows_apic(uint64_t base);

#endif
