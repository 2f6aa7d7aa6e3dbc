/* SPDX-License-Identifier: BSD-2-Clause */
#include "alu.h"

#define ARITHMETIC 0x8d5ul /* OF, SF, ZF, AF, PF, CF */

/* BT puts the carry in back; no flag but the arithmetic ones is touched. */
#define CARRY_IN "btq $0, %[flags]; "
#define FLAGS_OUT "; pushfq; popq %[flags]"

#define BINARY(name, insn, type, letter)                                             \
	static uint64_t name##_##letter(uint64_t dst, uint64_t src, uint64_t *flags) \
	{                                                                            \
		type d = dst, s = src;                                               \
                                                                                     \
		asm volatile(CARRY_IN insn #letter " %[s], %[d]" FLAGS_OUT           \
			     : [d] "+q"(d), [flags] "+r"(*flags)                     \
			     : [s] "q"(s)                                            \
			     : "cc", "memory");                                      \
		return d;                                                            \
	}

#define UNARY(name, insn, type, letter)                                              \
	static uint64_t name##_##letter(uint64_t dst, uint64_t src, uint64_t *flags) \
	{                                                                            \
		type d = dst;                                                        \
                                                                                     \
		(void)src;                                                           \
		asm volatile(CARRY_IN insn #letter " %[d]" FLAGS_OUT                 \
			     : [d] "+q"(d), [flags] "+r"(*flags)                     \
			     :                                                       \
			     : "cc", "memory");                                      \
		return d;                                                            \
	}

#define SIZES(kind, name, insn)                                                                  \
	kind(name, insn, uint8_t, b) kind(name, insn, uint16_t, w) kind(name, insn, uint32_t, l) \
		kind(name, insn, uint64_t, q)

#define TABLE(name)                                    \
	{                                              \
		name##_b, name##_w, name##_l, name##_q \
	}

SIZES(BINARY, add, "add")
SIZES(BINARY, or, "or")
SIZES(BINARY, adc, "adc")
SIZES(BINARY, sbb, "sbb")
SIZES(BINARY, and, "and")
SIZES(BINARY, sub, "sub")
SIZES(BINARY, xor, "xor")
SIZES(BINARY, cmp, "cmp")
SIZES(BINARY, test, "test")
SIZES(UNARY, neg, "neg")
SIZES(UNARY, inc, "inc")
SIZES(UNARY, dec, "dec")

typedef uint64_t operation(uint64_t dst, uint64_t src, uint64_t *flags);

uint64_t alu(unsigned int op, unsigned int size, uint64_t dst, uint64_t src, uint64_t *rflags)
{
	static operation *const table[][4] = {
		[INSN_OP_ADD] = TABLE(add),   [INSN_OP_OR] = TABLE(or),
		[INSN_OP_ADC] = TABLE(adc),   [INSN_OP_SBB] = TABLE(sbb),
		[INSN_OP_AND] = TABLE(and),   [INSN_OP_SUB] = TABLE(sub),
		[INSN_OP_XOR] = TABLE(xor),   [INSN_OP_CMP] = TABLE(cmp),
		[INSN_OP_TEST] = TABLE(test), [INSN_OP_NEG] = TABLE(neg),
		[INSN_OP_INC] = TABLE(inc),   [INSN_OP_DEC] = TABLE(dec),
	};
	unsigned int column = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
	uint64_t mask = size < 8 ? (1ul << 8 * size) - 1 : ~0ul, flags = *rflags, result;

	if (op == INSN_OP_NOT)
		return ~dst & mask;
	if (op >= sizeof(table) / sizeof(table[0]) || !table[op][column])
		return dst & mask;
	result = table[op][column](dst, src, &flags);
	*rflags = (*rflags & ~ARITHMETIC) | (flags & ARITHMETIC);
	return result & mask;
}
