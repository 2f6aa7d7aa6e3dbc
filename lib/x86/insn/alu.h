/* SPDX-License-Identifier: BSD-2-Clause */
/* What the arithmetic instructions of the decoder compute, with their flags: by the CPU itself. */
#ifndef LIB_X86_ALU_H
#define LIB_X86_ALU_H

#include "decode.h"

/**
 * alu - result of an arithmetic or logic operation
 * @op:     INSN_OP_ADD to INSN_OP_DEC; CMP and TEST give back @dst
 * @size:   bytes: 1, 2, 4, 8
 * @dst:    left operand
 * @src:    right operand; unused by NOT, NEG, INC and DEC
 * @rflags: CF is an input of ADC and SBB; the arithmetic flags are those of the operation afterwards,
 *          all others stay
 *
 * Returns the result, zero-extended from @size bytes.
 */
uint64_t alu(unsigned int op, unsigned int size, uint64_t dst, uint64_t src, uint64_t *rflags);

#endif
