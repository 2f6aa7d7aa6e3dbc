/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What userspace may do to a virtual CPU between any two exits, and a guest must not notice: it is what a
 * migration does, or a debugger that only looks. Each millisecond a CPU is kicked out of KVM_RUN, and
 *
 *   events   its pending and injected events are read and written back: KVM_SET_VCPU_EVENTS. An event whose
 *            delivery faulted waits there for its next try
 *   state    registers and the state of nested virtualization as well, in QEMU's order: KVM_SET_SREGS,
 *            KVM_SET_NESTED_STATE, KVM_SET_REGS, KVM_SET_VCPU_EVENTS
 *   state=ORDER
 *            all that KVM gives of a CPU, in the order of a VMM (state.h)
 *   moved=ORDER
 *            the same into a new VM with a new CPU over the same memory, at every sixteenth kick
 *   slots    all memory slots go and come again: everything is cold
 *
 * A kick comes when it comes: what is hit differs from run to run, what must come out does not.
 */
#ifndef KVM_CHURN_H
#define KVM_CHURN_H

#include <stdbool.h>

/* `options` are words with commas between, of which it knows those above. */
void churn_start(const char *options);
bool churn_wanted(void);
/* CPU `index` has come out of KVM_RUN, nothing is half done. True: it is another CPU now, in another VM. */
bool churn(unsigned index);

#endif
