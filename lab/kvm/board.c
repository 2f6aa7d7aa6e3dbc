/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "board.h"

#include "../common/ports.h"
#include "machine.h"
#include "memory.h"
#include "ring.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define YIELD_US 20

static void set_line(unsigned irq, bool raised)
{
	struct kvm_irq_level level = {.irq = irq, .level = raised};

	must("KVM_IRQ_LINE", ioctl(machine.vm, KVM_IRQ_LINE, &level));
}

static void use_ring(bool watched)
{
	must("coalesced port", ring_use(!watched) ? 0 : -1);
}

static void over(uint8_t value)
{
	end("exit %#x", value);
}

void board_start(void *cpu_pages)
{
	static const struct board board = {
		.set_line = set_line,
		.forget_page = forget_page,
		.forget_all = renew_pam_slot,
		.com1_is_watched = use_ring,
		.over = over,
	};

	ports_start(&board);
	ring_start(machine.kvm, machine.vm, cpu_pages);
	use_ring(false);
}

void board_moved(void *cpu_pages)
{
	pthread_mutex_lock(&machine.lock);
	must("coalesced port", ring_move(machine.kvm, machine.vm, cpu_pages) ? 0 : -1);
	pthread_mutex_unlock(&machine.lock);
}

void board_access(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/*
	 * The guest waits for another of its CPUs, which has this one's to run on, or for the kernel's workers:
	 * sleep, or those would get their turn only when this thread has used up its real-time share.
	 */
	if (run->io.port == YIELD_PORT) {
		usleep(YIELD_US);
		return;
	}
	pthread_mutex_lock(&machine.lock);
	ring_drain();
	for (unsigned i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			port_write(run->io.port, data, run->io.size);
		else
			port_read(run->io.port, data, run->io.size);
	}
	pthread_mutex_unlock(&machine.lock);
}
