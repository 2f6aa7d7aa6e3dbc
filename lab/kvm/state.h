/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that KVM gives of a virtual CPU, read and written in the order of some VMM: what a snapshot or a migration
 * does. The interface says little of the order, and what a later call overwrites of an earlier one differs with it.
 *
 *   qemu               kvm_arch_get_registers() and kvm_arch_put_registers() in target/i386/kvm/kvm.c; the local APIC is
 *                      put before, by hw/i386/kvm/apic.c
 *   cloud-hypervisor   state() and set_state() in hypervisor/src/kvm/mod.rs; it has no debug registers, which stand
 *                      where Firecracker has them
 *   firecracker        save_state() and restore_state() in src/vmm/src/arch/x86_64/vcpu.rs; it has no nested state,
 *                      which comes last
 *   reversed           QEMU's the other way round, but for what must not be: KVM_SET_REGS forgets an exception, so it
 *                      comes before KVM_SET_VCPU_EVENTS; the APIC's base and EFER.SVME are in KVM_SET_SREGS, which comes
 *                      before KVM_SET_LAPIC and KVM_SET_NESTED_STATE; KVM_SET_LAPIC before the MSR of the TSC deadline
 *
 * Sources of 2026.
 */
#ifndef KVM_STATE_H
#define KVM_STATE_H

#include <stdbool.h>

struct order;

/* The order of that name among `options` behind `prefix` ("state=qemu"), or NULL. */
const struct order *state_order(const char *options, const char *prefix);

/* CPU `index`, which is not running: everything is read, and written back. */
void state_renew(unsigned index, const struct order *order);

/*
 * The machine goes on in a new VM with a new CPU, over the same memory. It has one CPU, which is the thread that
 * calls; its run page is another from now on.
 */
void state_move(const struct order *order);

#endif
