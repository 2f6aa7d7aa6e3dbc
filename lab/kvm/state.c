/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "state.h"

#include "../common/order.h"
#include "machine.h"
#include "memory.h"
#include "vm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum part { REGS, SREGS, DEBUGREGS, MSRS, LAPIC, MP_STATE, XSAVE, XCRS, EVENTS, NESTED, PARTS };

struct order {
	const char *name;
	enum part save[PARTS], restore[PARTS];
};

static const struct order orders[] = {
	{"qemu",
	 {EVENTS, MP_STATE, REGS, XSAVE, XCRS, SREGS, MSRS, LAPIC, DEBUGREGS, NESTED},
	 {LAPIC, SREGS, NESTED, REGS, XSAVE, XCRS, MSRS, EVENTS, MP_STATE, DEBUGREGS}},
	{"cloud-hypervisor",
	 {MP_STATE, REGS, SREGS, XSAVE, XCRS, DEBUGREGS, LAPIC, NESTED, MSRS, EVENTS},
	 {MP_STATE, REGS, SREGS, XSAVE, XCRS, DEBUGREGS, LAPIC, MSRS, NESTED, EVENTS}},
	{"firecracker",
	 {MP_STATE, REGS, SREGS, XSAVE, XCRS, DEBUGREGS, LAPIC, MSRS, EVENTS, NESTED},
	 {MP_STATE, REGS, SREGS, XSAVE, XCRS, DEBUGREGS, LAPIC, MSRS, EVENTS, NESTED}},
	{"reversed",
	 {NESTED, DEBUGREGS, LAPIC, MSRS, SREGS, XCRS, XSAVE, REGS, MP_STATE, EVENTS},
	 {DEBUGREGS, MP_STATE, REGS, EVENTS, SREGS, XCRS, XSAVE, LAPIC, MSRS, NESTED}},
};

const struct order *state_order(const char *options, const char *prefix)
{
	char word[64];

	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		snprintf(word, sizeof(word), "%s%s", prefix, orders[i].name);
		if (has_option(options, word))
			return &orders[i];
	}
	return NULL;
}

/* -- What there is. ---------------------------------------------------------------------------- */

enum { MSRS_MAX = 256 };

#define MSR_TSC 0x10
#define MSR_TSC_ADJUST 0x3b
#define MSR_APIC_BASE 0x1b

union msrs {
	struct kvm_msrs head;
	char room[sizeof(struct kvm_msrs) + MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

static struct {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_nested_state *nested;
} saved;

/* Of these the kernel's headers leave the end open, so that they stand alone. */
static union msrs saved_msrs;
static struct kvm_xsave saved_xsave;

static bool has_xcrs;
static long nested_bytes;

static bool one_msr(int cpu, unsigned long what, uint32_t index, uint64_t *value)
{
	union msrs one = {.head.nmsrs = 1};
	bool taken;

	one.head.entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
	taken = ioctl(cpu, what, &one) == 1;
	*value = one.head.entries[0].data;
	return taken;
}

/* Of KVM's list those that this CPU gives, and takes back as they are. */
static void list_msrs(int cpu)
{
	union {
		struct kvm_msr_list head;
		char room[sizeof(struct kvm_msr_list) + MSRS_MAX * sizeof(uint32_t)];
	} list = {.head.nmsrs = MSRS_MAX};

	must("KVM_GET_MSR_INDEX_LIST", ioctl(machine.kvm, KVM_GET_MSR_INDEX_LIST, &list));
	for (unsigned i = 0; i < list.head.nmsrs; i++) {
		uint32_t index = list.head.indices[i];
		uint64_t value = 0;

		if (!one_msr(cpu, KVM_GET_MSRS, index, &value))
			continue;
		if (index != MSR_TSC && !one_msr(cpu, KVM_SET_MSRS, index, &value))
			continue;
		saved_msrs.head.entries[saved_msrs.head.nmsrs++].index = index;
	}
}

static void learn(int cpu)
{
	static bool known;

	if (known)
		return;
	known = true;
	has_xcrs = ioctl(machine.kvm, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
	nested_bytes = ioctl(machine.vm, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);
	if (nested_bytes > 0)
		saved.nested = calloc(1, nested_bytes);
	list_msrs(cpu);
}

/* -- Part by part. ----------------------------------------------------------------------------- */

static void save(int cpu, enum part part)
{
	switch (part) {
	case REGS:
		must("KVM_GET_REGS", ioctl(cpu, KVM_GET_REGS, &saved.regs));
		break;
	case SREGS:
		must("KVM_GET_SREGS", ioctl(cpu, KVM_GET_SREGS, &saved.sregs));
		break;
	case DEBUGREGS:
		must("KVM_GET_DEBUGREGS", ioctl(cpu, KVM_GET_DEBUGREGS, &saved.debugregs));
		break;
	case MSRS:
		must("KVM_GET_MSRS", ioctl(cpu, KVM_GET_MSRS, &saved_msrs));
		break;
	case LAPIC:
		must("KVM_GET_LAPIC", ioctl(cpu, KVM_GET_LAPIC, &saved.lapic));
		break;
	case MP_STATE:
		must("KVM_GET_MP_STATE", ioctl(cpu, KVM_GET_MP_STATE, &saved.mp_state));
		break;
	case XSAVE:
		must("KVM_GET_XSAVE", ioctl(cpu, KVM_GET_XSAVE, &saved_xsave));
		break;
	case XCRS:
		if (has_xcrs)
			must("KVM_GET_XCRS", ioctl(cpu, KVM_GET_XCRS, &saved.xcrs));
		break;
	case EVENTS:
		must("KVM_GET_VCPU_EVENTS", ioctl(cpu, KVM_GET_VCPU_EVENTS, &saved.events));
		break;
	case NESTED:
		if (!saved.nested)
			break;
		saved.nested->size = nested_bytes;
		must("KVM_GET_NESTED_STATE", ioctl(cpu, KVM_GET_NESTED_STATE, saved.nested));
		break;
	case PARTS:
		break;
	}
}

/* In place the TSC goes on by itself. */
static void restore_msrs(int cpu, bool moved)
{
	for (unsigned i = 0; i < saved_msrs.head.nmsrs; i++) {
		struct kvm_msr_entry *entry = &saved_msrs.head.entries[i];
		uint64_t value = entry->data;

		if (!moved && (entry->index == MSR_TSC || entry->index == MSR_TSC_ADJUST))
			continue;
		if (!one_msr(cpu, KVM_SET_MSRS, entry->index, &value)) {
			pthread_mutex_lock(&machine.lock);
			end("KVM_SET_MSRS refuses %#llx for MSR %#x, which KVM_GET_MSRS gave",
			    entry->data, entry->index);
		}
	}
}

/* Which of the two modes it is for is in the MSR, whoever writes that. */
static void restore_lapic(int cpu)
{
	uint64_t base = saved.sregs.apic_base;

	one_msr(cpu, KVM_SET_MSRS, MSR_APIC_BASE, &base);
	must("KVM_SET_LAPIC", ioctl(cpu, KVM_SET_LAPIC, &saved.lapic));
}

static void restore(int cpu, enum part part, bool moved)
{
	switch (part) {
	case REGS:
		must("KVM_SET_REGS", ioctl(cpu, KVM_SET_REGS, &saved.regs));
		break;
	case SREGS:
		must("KVM_SET_SREGS", ioctl(cpu, KVM_SET_SREGS, &saved.sregs));
		break;
	case DEBUGREGS:
		must("KVM_SET_DEBUGREGS", ioctl(cpu, KVM_SET_DEBUGREGS, &saved.debugregs));
		break;
	case MSRS:
		restore_msrs(cpu, moved);
		break;
	case LAPIC:
		restore_lapic(cpu);
		break;
	case MP_STATE:
		must("KVM_SET_MP_STATE", ioctl(cpu, KVM_SET_MP_STATE, &saved.mp_state));
		break;
	case XSAVE:
		must("KVM_SET_XSAVE", ioctl(cpu, KVM_SET_XSAVE, &saved_xsave));
		break;
	case XCRS:
		if (has_xcrs)
			must("KVM_SET_XCRS", ioctl(cpu, KVM_SET_XCRS, &saved.xcrs));
		break;
	case EVENTS:
		must("KVM_SET_VCPU_EVENTS", ioctl(cpu, KVM_SET_VCPU_EVENTS, &saved.events));
		break;
	case NESTED:
		if (saved.nested)
			must("KVM_SET_NESTED_STATE",
			     ioctl(cpu, KVM_SET_NESTED_STATE, saved.nested));
		break;
	case PARTS:
		break;
	}
}

static void save_all(int cpu, const struct order *order)
{
	learn(cpu);
	for (unsigned i = 0; i < PARTS; i++)
		save(cpu, order->save[i]);
}

static void restore_all(int cpu, const struct order *order, bool moved)
{
	for (unsigned i = 0; i < PARTS; i++)
		restore(cpu, order->restore[i], moved);
}

void state_renew(unsigned index, const struct order *order)
{
	save_all(machine.vcpus[index], order);
	restore_all(machine.vcpus[index], order, false);
}

/* -- A new VM. --------------------------------------------------------------------------------- */

static void copy_chips(int from, int to)
{
	for (unsigned id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		struct kvm_irqchip chip = {.chip_id = id};

		must("KVM_GET_IRQCHIP", ioctl(from, KVM_GET_IRQCHIP, &chip));
		must("KVM_SET_IRQCHIP", ioctl(to, KVM_SET_IRQCHIP, &chip));
	}
}

void state_move(const struct order *order)
{
	int vm = machine.vm, cpu = machine.vcpus[0];
	sigset_t kick;

	/* A VM is not made between two kicks. */
	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	save_all(cpu, order);
	vm_create();
	apply_all_slots();
	vm_create_cpus(1);
	copy_chips(vm, machine.vm);
	restore_all(machine.vcpus[0], order, true);
	close(cpu);
	close(vm);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}
