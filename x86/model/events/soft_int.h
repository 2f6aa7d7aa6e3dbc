/* SPDX-License-Identifier: BSD-2-Clause */
/* Software interrupts, carried out here. */
#ifndef MODEL_SOFT_INT_H
#define MODEL_SOFT_INT_H

#include "vcpu.h"

/* INT1 at RIP, `length` bytes long: #DB whatever its gate's DPL is. */
void soft_int1(struct vcpu *v, unsigned length);

/* Software interrupt of L2's instruction at RIP, `length` bytes long: by INT n, or by INT3 or INTO. */
void soft_int(struct vcpu *v, unsigned vector, unsigned length, bool int_n);

#endif
