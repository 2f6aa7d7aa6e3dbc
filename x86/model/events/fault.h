/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults of L2's own instructions that nothing but a bug of ours intercepts. */
#ifndef MODEL_FAULT_H
#define MODEL_FAULT_H

#include "vcpu.h"

/* Whether the fault of this vector, 0 to 31, is intercepted at all times. */
bool fault_is_intercepted(unsigned vector);

/* The exit of such a fault: raises it again, as right or wrong as the bugs have it. */
void fault_reflect(struct vcpu *v, unsigned vector);

#endif
