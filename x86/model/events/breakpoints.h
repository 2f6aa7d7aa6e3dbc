/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2's breakpoints on data and ports, for accesses that the model makes in its place. DR0-DR3 are L2's
 * own all the time: neither VMRUN nor we load them. SDM 3B, "Debug Registers".
 */
#ifndef MODEL_BREAKPOINTS_H
#define MODEL_BREAKPOINTS_H

#include "vcpu.h"

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_PORT };

/* Notes in L2's DR6 what an access of so many bytes hits; true if anything. */
bool breakpoints_hit(struct vcpu *v, uint64_t address, unsigned bytes, enum access access);

/* Whether L2 has one on code; whether its DR6 tells of a hit on code, on data. */
bool breakpoints_on_code(const struct vcpu *v);
bool breakpoints_of_code(const struct vcpu *v);
bool breakpoints_of_data(const struct vcpu *v);

/* A bug: a breakpoint on data is met by any access to its page. DR7 was written; the page was touched. */
void breakpoints_by_page(struct vcpu *v);
void breakpoints_page_touched(struct vcpu *v, uint64_t gpa);

#endif
