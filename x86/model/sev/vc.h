/* SPDX-License-Identifier: BSD-2-Clause */
/* Delivery of #VC to L2, with its error code; EVENTINJ of QEMU pushes none for vector 29. */
#ifndef MODEL_VC_H
#define MODEL_VC_H

#include "vcpu.h"

/* At L2's RIP: the next thing that L2 does is its handler. An event that was to come is dropped. */
void l2_raise_vc(struct vcpu *v, unsigned error);

#endif
