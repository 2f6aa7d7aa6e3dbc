/* SPDX-License-Identifier: BSD-2-Clause */
/* What is delivered at the next entry, and what an exit interrupted. */
#ifndef MODEL_EVENTS_H
#define MODEL_EVENTS_H

#include "vcpu.h"

/* Before an entry: one event into EVENTINJ, or a window to get one in later. */
void events_before_entry(struct vcpu *v);

/* Whether something is to be delivered that ends HLT. */
bool events_due(const struct vcpu *v);

/* After an exit: an event whose delivery it interrupted is to be delivered again. */
void events_after_exit(struct vcpu *v);

/* An exit from stepping one instruction; false: the #DB is L2's own. */
bool events_step_done(struct vcpu *v);

/* An instruction was emulated, so that no step ends: whether a trap of L2's own is due behind it. */
bool events_emulated(struct vcpu *v);

/* L2's own #DB, and the intercept of it for those who want to see it: a bug, or DEBUGCTL.BTF. */
void events_debug(struct vcpu *v);
void events_debug_intercept(struct vcpu *v);

/* #UD and #BR, which only a bug intercepts. */
void events_fault(struct vcpu *v, unsigned vector);

/* L2 is about to execute IRET: the end of NMI blocking comes behind it, also if it faults. */
void events_iret(struct vcpu *v);
void events_iret_faulted(struct vcpu *v);

/* #PF, which else only a bug intercepts. */
void events_pf_or_iret(struct vcpu *v);
bool events_pf_is_spoilt(void);

/* A bug: the instruction at RIP counts as one that met breakpoints, a mask of DR6. */
void events_break_behind(struct vcpu *v, unsigned hit);

/* A bug: the single-step trap of the instruction that exited never comes. */
void events_swallow_step(struct vcpu *v);

/* An interrupt is held back by the shadow that the instruction which exited stands in. */
bool events_shadow_holds(const struct vcpu *v);

/* INT1 at RIP, `length` bytes long: #DB whatever its gate's DPL is. */
void events_int1(struct vcpu *v, unsigned length);

/* Software interrupt of L2's instruction at RIP, `length` bytes long: by INT n, or by INT3 or INTO. */
void events_soft_int(struct vcpu *v, unsigned vector, unsigned length, bool int_n);

#endif
