/* SPDX-License-Identifier: BSD-2-Clause */
#include "churn.h"

#include "../common/order.h"
#include "machine.h"
#include "memory.h"
#include "state.h"

#include <stdlib.h>
#include <sys/ioctl.h>

static bool events, state, slots;
static long nested_bytes;
static const struct order *renewed, *moved;

/* A new VM costs some ten times what an order in place does. */
#define KICKS_A_MOVE 16

void churn_start(const char *options)
{
	state = has_option(options, "state");
	events = state || has_option(options, "events");
	slots = has_option(options, "slots");
	/* What another CPU sends in the middle of it would be lost. */
	if (machine.cpus == 1) {
		renewed = state_order(options, "state=");
		moved = state_order(options, "moved=");
	}
	nested_bytes = ioctl(machine.vm, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);
}

bool churn_wanted(void)
{
	return events || slots || renewed || moved;
}

static void write_events(int cpu, struct kvm_vcpu_events *saved)
{
	/* An NMI of another CPU may have come since. */
	if (machine.cpus > 1)
		saved->flags &= ~KVM_VCPUEVENT_VALID_NMI_PENDING;
	must("KVM_SET_VCPU_EVENTS", ioctl(cpu, KVM_SET_VCPU_EVENTS, saved));
}

static void renew_state(int cpu)
{
	struct kvm_vcpu_events saved_events;
	struct kvm_nested_state *nested = NULL;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	must("KVM_GET_REGS", ioctl(cpu, KVM_GET_REGS, &regs));
	must("KVM_GET_SREGS", ioctl(cpu, KVM_GET_SREGS, &sregs));
	must("KVM_GET_VCPU_EVENTS", ioctl(cpu, KVM_GET_VCPU_EVENTS, &saved_events));
	if (nested_bytes > 0) {
		nested = calloc(1, nested_bytes);
		nested->size = nested_bytes;
		must("KVM_GET_NESTED_STATE", ioctl(cpu, KVM_GET_NESTED_STATE, nested));
	}
	must("KVM_SET_SREGS", ioctl(cpu, KVM_SET_SREGS, &sregs));
	if (nested)
		must("KVM_SET_NESTED_STATE", ioctl(cpu, KVM_SET_NESTED_STATE, nested));
	must("KVM_SET_REGS", ioctl(cpu, KVM_SET_REGS, &regs));
	write_events(cpu, &saved_events);
	free(nested);
}

bool churn(unsigned index)
{
	static unsigned kicks;
	struct kvm_vcpu_events saved;
	int cpu = machine.vcpus[index];

	if (state) {
		renew_state(cpu);
	} else if (events) {
		must("KVM_GET_VCPU_EVENTS", ioctl(cpu, KVM_GET_VCPU_EVENTS, &saved));
		write_events(cpu, &saved);
	}
	/* While a slot is away, another CPU would see no memory there. */
	if (slots && machine.cpus == 1)
		renew_all_slots();
	if (renewed)
		state_renew(index, renewed);
	if (!moved || ++kicks % KICKS_A_MOVE)
		return false;
	state_move(moved);
	return true;
}
