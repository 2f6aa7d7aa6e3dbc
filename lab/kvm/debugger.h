/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's side of x86/debug/hoststep.c without gdb: the same plan, obeyed by KVM_SET_GUEST_DEBUG alone. What
 * scripts/gdb/hoststep.gdb says to QEMU's stub, and what that makes of it, is here in one place, so that
 * a case that fails shows KVM's fault and nobody else's.
 */
#ifndef KVM_DEBUGGER_H
#define KVM_DEBUGGER_H

#include <linux/kvm.h>

/*
 * `places` has the addresses of host_plan, host_waits_here and host_is_done_here, in hexadecimal with colons
 * between.
 */
void debugger_start(const char *places);
/* KVM_EXIT_DEBUG of the first CPU; `run` is of that exit. */
void debugger_exit(const struct kvm_run *run);

#endif
