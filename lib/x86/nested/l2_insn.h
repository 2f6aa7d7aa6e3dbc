/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions of L2 that exited: what stands there, and L1 doing them in L2's place. */
#ifndef LIB_X86_L2_INSN_H
#define LIB_X86_L2_INSN_H

#include "l2.h"

/* The opcode at L2's RIP, behind the prefixes; L2's addresses are L1's. */
const uint8_t *l2_opcode(const struct l2 *v);

/*
 * L1 has done the instruction: on at `next`. What the instruction trapped on, B0 to B3, and the single step
 * make one #DB.
 */
void l2_skip(struct l2 *v, uint32_t dr6, uint64_t next);

/* Each does the instruction that ends at `next`, and skips it. */
void l2_do_cpuid(struct l2 *v, uint64_t next);
void l2_do_rdmsr(struct l2 *v, uint64_t next);
void l2_do_wrmsr(struct l2 *v, uint64_t next);
void l2_do_port(struct l2 *v, uint16_t port, unsigned bytes, bool in, uint64_t next);

/* The same for MOV to or from CR8; `gpr` is the other register as ModRM and REX number it, and not RSP. */
void l2_do_cr8(struct l2 *v, unsigned gpr, bool write, uint64_t next);

#endif
