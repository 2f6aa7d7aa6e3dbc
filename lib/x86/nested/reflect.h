/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the layers `svm-reflect` and `vmx-reflect` have in common. In both L1 catches whatever happens in
 * L2 and gives it back, as a hypervisor does that wants to see everything. L2 must not be able to tell:
 * the cases' expectations are those of the native layer.
 */
#ifndef LIB_X86_REFLECT_H
#define LIB_X86_REFLECT_H

#include "l2.h"

/* More exits than any case has: whoever makes so many is going round in circles. */
#define REFLECT_MAX_EXITS 10000

/*
 * Injects the exception that an exit was about, or the #DF that it makes with the event which it
 * interrupted (`vectoring`, as L2_EVENT_…). SDM 3A, "Conditions for Generating a Double Fault".
 */
void reflect_exception(struct l2 *v, uint32_t what, uint32_t error, uint32_t vectoring);

/*
 * The exit was that of an interrupt which L2 can take: L1 takes it from the APIC and injects it. It stays
 * in service and nobody is told, so that L2's own handler finds it there. The layer has
 * reflect_take_l1_event, and calls reflect_begin before each run.
 */
void reflect_begin(const struct l2 *v);
void reflect_interrupt(struct l2 *v);
bool reflect_take_l1_event(struct recording *rec, const struct event *event);

#endif
