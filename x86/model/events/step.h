/* SPDX-License-Identifier: BSD-2-Clause */
/* Single-step and #DB; IRET, which is stepped over while NMIs are blocked. */
#ifndef MODEL_STEP_H
#define MODEL_STEP_H

#include "vcpu.h"

/* From the next entry L2 runs one instruction; step_done then ends it. */
void step_one(struct vcpu *v);

/* An exit from stepping one instruction; false: the #DB is L2's own. */
bool step_done(struct vcpu *v);

/* What was to be stepped over has ended without its trap: what we have changed is as it was. */
void step_end(struct vcpu *v);

/* An instruction was emulated, so that no step ends: whether a trap of L2's own is due behind it. */
bool step_emulated(struct vcpu *v);

/* L2's own #DB, and the intercept of it for those who want to see it: a bug, or DEBUGCTL.BTF. */
void step_debug(struct vcpu *v);
void step_debug_intercept(struct vcpu *v);

/* L2 is about to execute IRET: the end of NMI blocking comes behind it, also if it faults. */
void step_iret(struct vcpu *v);

/* The instruction that is being stepped over may have faulted instead; false: that is not what the exit is. */
bool step_faulted(struct vcpu *v);

/* A bug: the instruction at RIP counts as one that met breakpoints, a mask of DR6. */
void step_break_behind(struct vcpu *v, unsigned hit);

/* A bug: the single-step trap of the instruction that exited never comes. */
void step_swallow(struct vcpu *v);

#endif
