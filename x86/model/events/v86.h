/* SPDX-License-Identifier: BSD-2-Clause */
/* Bugs of virtual-8086 mode. */
#ifndef MODEL_V86_H
#define MODEL_V86_H

#include "vcpu.h"

/* Whether a bug wants to see this fault of L2's. */
bool v86_intercepts(unsigned vector);

/* An intercepted #GP or #UD: false where no bug makes anything else of it. */
bool v86_let_through(struct vcpu *v, unsigned vector);

/* A software interrupt is about to be injected: what a bug does to what its frame will hold. */
void v86_spoil_frame(struct vcpu *v);

#endif
