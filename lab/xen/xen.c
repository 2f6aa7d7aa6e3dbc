/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen.h"

#include "../common/machine.h"
#include "../common/order.h"
#include "abi.h"

#include <string.h>

#define PTE_PRESENT_WRITABLE_USER_ACCESSED_DIRTY 0x67
#define FRAME_BITS 0xffffffffff000ul
#define MAX_PORTS 32

static uint8_t shared_page[PAGE_BYTES] __attribute__((aligned(4096)));
static volatile struct shared_info *const shared = (void *)shared_page;
static const struct start_info *start;
static uint32_t console_port;
static char typed[ORDER_MAX];
static size_t typed_length;

void xen_start(const struct start_info *info)
{
	uint32_t all_ports = 3;

	start = info;
	hypercall(OP_UPDATE_VA_MAPPING, shared_page,
		  info->shared_info | PTE_PRESENT_WRITABLE_USER_ACCESSED_DIRTY,
		  (uint64_t)UVMF_INVLPG);
	/* Nobody calls us: we ask. */
	shared->vcpu[0].upcall_mask = 1;
	for (unsigned i = 0; i < 64; i++)
		shared->masked[i] = ~0ul;
	hypercall(OP_PHYSDEV, (uint64_t)PHYSDEV_SET_IOPL, &all_ports);
	console_port = xen_bind_virq(VIRQ_CONSOLE);
}

/* -- Memory. ------------------------------------------------------------------------------------- */

/* The machine address of the page table entry for `at`. Our pseudo-physical addresses are virtual ones. */
static uint64_t entry_of(const void *at)
{
	const uint64_t *table = (const uint64_t *)start->page_tables;
	uint64_t address = (uint64_t)at, base = 0;

	for (int level = 3; level > 0; level--) {
		base = table[address >> (12 + 9 * level) & 511] & FRAME_BITS;
		table = (const uint64_t *)(MACHINE_TO_PHYSICAL[base / PAGE_BYTES] * PAGE_BYTES);
	}
	return base + (address >> 12 & 511) * sizeof(*table);
}

long xen_map(void *at, uint16_t domain, uint64_t frame, bool of_machine)
{
	/* The type of the update is in the low bits of the pointer; one that keeps A and D takes machine frames. */
	struct mmu_update update = {entry_of(at) | (of_machine ? 3 : 0),
				    frame * PAGE_BYTES | PTE_PRESENT_WRITABLE_USER_ACCESSED_DIRTY};
	struct mmuext_op flush = {MMUEXT_INVLPG_LOCAL, 0, (uint64_t)at, 0};
	uint32_t done;
	long result = hypercall(OP_MMU_UPDATE, &update, 1ul, &done, (uint64_t)domain, 0ul);

	if (result >= 0)
		hypercall(OP_MMUEXT, &flush, 1ul, NULL, (uint64_t)DOMID_SELF);
	return result;
}

void xen_unmap(void *at)
{
	hypercall(OP_UPDATE_VA_MAPPING, at, 0ul, (uint64_t)UVMF_INVLPG);
}

/* -- Events. ------------------------------------------------------------------------------------- */

long xen_bind(uint16_t domain, uint32_t remote)
{
	struct event_bind_interdomain bind = {domain, 0, remote, 0};
	long result = hypercall(OP_EVENT_CHANNEL, (uint64_t)EVENT_BIND_INTERDOMAIN, &bind);

	return result < 0 ? result : (long)bind.local;
}

long xen_bind_virq(uint32_t virq)
{
	struct event_bind_virq bind = {virq, 0, 0};
	long result = hypercall(OP_EVENT_CHANNEL, (uint64_t)EVENT_BIND_VIRQ, &bind);

	return result < 0 ? result : (long)bind.port;
}

void xen_close(uint32_t port)
{
	hypercall(OP_EVENT_CHANNEL, (uint64_t)EVENT_CLOSE, &port);
}

long xen_notify(uint32_t port)
{
	return hypercall(OP_EVENT_CHANNEL, (uint64_t)EVENT_SEND, &port);
}

bool xen_pending(uint32_t port)
{
	uint64_t bit = 1ul << port % 64;

	return __atomic_fetch_and(&shared->pending[port / 64], ~bit, __ATOMIC_ACQ_REL) & bit;
}

long xen_wait(const uint32_t *ports, unsigned count)
{
	uint32_t all[MAX_PORTS];
	struct sched_poll poll = {all, count + 1, 0, 0};

	memcpy(all, ports, count * sizeof(*ports));
	all[count] = console_port;
	return hypercall(OP_SCHED, (uint64_t)SCHED_POLL, &poll);
}

/* -- The console. -------------------------------------------------------------------------------- */

bool xen_line(char *line)
{
	char c;

	/* What comes between this and the reading leaves a mark again. */
	xen_pending(console_port);
	while (hypercall(OP_CONSOLE_IO, (uint64_t)CONSOLE_READ, 1ul, &c) == 1) {
		if (c != '\n' && c != '\r') {
			if (typed_length < sizeof(typed) - 1)
				typed[typed_length++] = c;
			continue;
		}
		memcpy(line, typed, typed_length);
		line[typed_length] = '\0';
		typed_length = 0;
		return true;
	}
	return false;
}

void xen_log(const char *text)
{
	hypercall(OP_CONSOLE_IO, (uint64_t)CONSOLE_WRITE, strlen(text), text);
}

_Noreturn void xen_off(void)
{
	/* A reboot and no power-off: Xen may have no way to do that, and the emulator ends at a reset. */
	uint32_t reason = SHUTDOWN_REBOOT;

	for (;;)
		hypercall(OP_SCHED, (uint64_t)SCHED_SHUTDOWN, &reason);
}
