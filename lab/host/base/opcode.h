/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an instruction ends, and which it is. lib/x86/insn/decode.c knows operands, but only of instructions that
 * raise #VC; an exit is also taken at INT n, MOV CRn, PUSHF and more, and next_rip has to be known for all.
 *
 * APM 3, "Instruction Encoding" and appendix A, "Opcode and Operand Encodings": the one-byte map and those behind
 * 0F, 0F 38 and 0F 3A. VEX, EVEX and XOP are not here: no intercept is about them.
 */
#ifndef HOST_OPCODE_H
#define HOST_OPCODE_H

#include <stdbool.h>
#include <stdint.h>

struct opcode {
	uint8_t length; /* 1 to 15, prefixes and immediates with it */
	uint8_t map;	/* 0: one byte; 1: behind 0F; 2: 0F 38; 3: 0F 3A */
	uint8_t number; /* the byte itself */
	uint8_t at;	/* where it stands */
	bool has_modrm;
	uint8_t modrm, rex;
	uint8_t rep; /* F2, F3 or 0: the last of them counts */
};

/**
 * opcode_at - the instruction at the start of some bytes
 * @o:     result, valid where true is returned
 * @bytes: the code
 * @count: of bytes
 * @bits:  the size of code: 16, 32 or 64
 *
 * Returns false where the bytes end before the instruction does, where it would have more than 15, and for the
 * encodings that are not here.
 */
bool opcode_at(struct opcode *o, const uint8_t *bytes, unsigned count, unsigned bits);

/* The general register that ModRM.rm and REX.B name. */
static inline unsigned opcode_rm(const struct opcode *o)
{
	return (o->modrm & 7) | (o->rex & 1) << 3;
}

/* The one of ModRM.reg and REX.R. */
static inline unsigned opcode_reg(const struct opcode *o)
{
	return (o->modrm >> 3 & 7) | (o->rex & 4) << 1;
}

#endif
