/* SPDX-License-Identifier: BSD-2-Clause */
/* What the model intercepts, and the bitmaps of ports and MSRs that it does not. */
#ifndef MODEL_INTERCEPTS_H
#define MODEL_INTERCEPTS_H

#include "x86/arch/vmcb.h"

#include <stdbool.h>

/* The bitmaps, which all CPUs share; then what each has of its own. */
void intercepts_init_maps(void);
void intercepts_init(struct vmcb *b);
void intercept(struct vmcb *b, unsigned which, bool on);
void intercept_msr(uint32_t msr);
void pass_msr(uint32_t msr);
void intercept_all_msrs(void);
void intercept_all_ports(void);

/* COM1 and the ways to end the machine are L2's own, else. */
bool port_is_passed(unsigned port);

void intercept_exception(struct vmcb *b, unsigned vector, bool on);

#endif
