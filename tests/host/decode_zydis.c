/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The #VC handler's decoder against Zydis, an independent disassembler.
 *
 * Two sources of code: every opcode under systematically combined prefixes,
 * ModRM and SIB bytes in all three modes, and random strings from a seed. For
 * each, both must agree on whether it is an instruction that the decoder
 * claims, on its length and on all operands.
 *
 * Where Zydis and the manuals disagree, the manuals win; each such place is an
 * enum zydis_exception with the rule's source (zydis_words.c), and the run
 * counts how often it applied.
 *
 * usage: decode_zydis [-s SEED] [-n RANDOM_STRINGS]
 * Prints "N compared, …" and exits 0, or prints disagreements and exits 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "code_source.h"
#include "op_name.h"
#include "zydis_words.h"

static ZydisDecoder decoders[3];
static unsigned long compared, accepted, refused, disagreements;
static unsigned long per_op[INSN_OP_COUNT];
static unsigned long exceptions[E_COUNT];

/* ---- comparison -------------------------------------------------------- */

#define SAME(x)                    \
	do {                       \
		if (!(x))          \
			return #x; \
	} while (0)

static const char *compare_mem(const struct insn *i, const ZydisDecodedInstruction *zi,
			       const ZydisDecodedOperand *z)
{
	bool disp_is_wrong = false;

	SAME(i->segment == zydis_segment(z->mem.segment));
	if (z->mem.base == ZYDIS_REGISTER_R13D && zi->raw.modrm.mod == 0 && zi->raw.modrm.rm == 4 &&
	    zi->raw.sib.base == 5) {
		exceptions[E_R13D_BASE]++;
		SAME(i->mem.base == INSN_NO_REG);
		SAME(i->mem.disp == zi->raw.disp.value);
		disp_is_wrong = true;
	} else {
		SAME(i->mem.base == zydis_number(z->mem.base));
	}
	SAME(i->mem.index == zydis_number(z->mem.index));
	SAME(i->mem.index == INSN_NO_REG || i->mem.scale == z->mem.scale);
	SAME(i->mem.rip_relative ==
	     (z->mem.base == ZYDIS_REGISTER_RIP || z->mem.base == ZYDIS_REGISTER_EIP));
	/* A moffs is an address: zero-extended. Zydis extends the sign. */
	if (i->mem.moffs && i->address_size < 8)
		SAME(i->mem.disp ==
		     (z->mem.disp.value & (INT64_MAX >> (63 - 8 * i->address_size))));
	else if (!disp_is_wrong)
		SAME(i->mem.disp == z->mem.disp.value);
	return NULL;
}

static const char *compare_operand(const struct insn *i, const struct insn_operand *o,
				   const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *z)
{
	ZydisRegisterClass class;

	SAME(z);
	switch (o->kind) {
	case INSN_GPR:
		SAME(z->type == ZYDIS_OPERAND_TYPE_REGISTER);
		class = ZydisRegisterGetClass(z->reg.value);
		SAME(class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16 ||
		     class == ZYDIS_REGCLASS_GPR32 || class == ZYDIS_REGCLASS_GPR64);
		SAME(!(z->reg.value >= ZYDIS_REGISTER_AH && z->reg.value <= ZYDIS_REGISTER_BH));
		SAME(o->size * 8 == z->size);
		/* Zydis numbers byte registers AL..BL, AH..BH, SPL..R15B. */
		if (class == ZYDIS_REGCLASS_GPR8)
			SAME(o->reg == (z->reg.value >= ZYDIS_REGISTER_SPL
						? 4 + z->reg.value - ZYDIS_REGISTER_SPL
						: z->reg.value - ZYDIS_REGISTER_AL));
		else
			SAME(o->reg == zydis_number(z->reg.value));
		return NULL;
	case INSN_GPR_HIGH:
		SAME(z->type == ZYDIS_OPERAND_TYPE_REGISTER && o->size == 1);
		SAME(z->reg.value == (ZydisRegister)(ZYDIS_REGISTER_AH + o->reg));
		return NULL;
	case INSN_DR:
		SAME(z->type == ZYDIS_OPERAND_TYPE_REGISTER && o->size * 8 == z->size);
		SAME(z->reg.value == (ZydisRegister)(ZYDIS_REGISTER_DR0 + o->reg));
		return NULL;
	case INSN_MEM:
		SAME(z->type == ZYDIS_OPERAND_TYPE_MEMORY && o->size * 8 == z->size);
		return compare_mem(i, zi, z);
	case INSN_MEM_SI:
		SAME(z->type == ZYDIS_OPERAND_TYPE_MEMORY && o->size * 8 == z->size);
		SAME(zydis_number(z->mem.base) == 6);
		SAME(i->segment == zydis_segment(z->mem.segment));
		return NULL;
	case INSN_MEM_DI:
		SAME(z->type == ZYDIS_OPERAND_TYPE_MEMORY && o->size * 8 == z->size);
		SAME(zydis_number(z->mem.base) == 7);
		SAME(zydis_segment(z->mem.segment) == INSN_ES);
		return NULL;
	case INSN_IMM:
		SAME(z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE);
		SAME(o->size == i->operand_size);
		if (z->imm.is_signed)
			SAME(i->imm == z->imm.value.s);
		else
			SAME(((uint64_t)i->imm ^ z->imm.value.u) << (64 - 8 * o->size) == 0);
		return NULL;
	case INSN_PORT_IMM:
		SAME(z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->size == i->operand_size);
		SAME((uint64_t)i->imm == (z->imm.value.u & 0xff));
		return NULL;
	case INSN_PORT_DX:
		SAME(z->type == ZYDIS_OPERAND_TYPE_REGISTER && o->size == i->operand_size);
		SAME(z->reg.value == ZYDIS_REGISTER_DX);
		return NULL;
	}
	return "operand kind";
}

static bool is_string(const struct insn *i)
{
	return i->dst.kind == INSN_MEM_DI || i->src.kind == INSN_MEM_SI;
}

static const char *compare(const struct insn *i, const ZydisDecodedInstruction *z,
			   const ZydisDecodedOperand *ops, enum insn_op op)
{
	const ZydisDecodedOperand *first = NULL, *second = NULL;
	const char *why;

	SAME(i->length == z->length);
	SAME(i->op == op);
	SAME(i->address_size * 8 == z->address_width);
	SAME(i->lock == !!(z->attributes & ZYDIS_ATTRIB_HAS_LOCK));
	SAME(i->rep == zydis_last_rep(z));
	if (is_string(i))
		SAME((i->rep != INSN_REP_NONE) ==
			     !!(z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
						 ZYDIS_ATTRIB_HAS_REPNE)) ||
		     /* F2 repeats these forms as F3 does; Zydis drops it. */
		     i->rep == INSN_REPNE);
	SAME(i->extend == (z->mnemonic == ZYDIS_MNEMONIC_MOVZX ? INSN_EXTEND_ZERO
			   : op == INSN_OP_MOVX		       ? INSN_EXTEND_SIGN
							       : INSN_EXTEND_NONE));

	if (i->dst.kind == INSN_NO_OPERAND) {
		SAME(i->src.kind == INSN_NO_OPERAND && i->operand_size == 0);
		return NULL;
	}
	/* I/O and control forms list operands that are partly hidden. */
	for (int k = 0; k < z->operand_count && !second; k++) {
		if (ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (ZydisRegisterGetClass(ops[k].reg.value) == ZYDIS_REGCLASS_FLAGS))
			continue;
		if (!first)
			first = &ops[k];
		else
			second = &ops[k];
	}
	why = compare_operand(i, &i->dst, z, first);
	if (!why && i->src.kind != INSN_NO_OPERAND)
		why = compare_operand(i, &i->src, z, second);
	return why;
}

static const char *const mode_name[] = {"16", "32", "64"};
static const char *const status_name[] = {"ok", "more", "too long", "invalid", "unsupported"};

static void complain(const uint8_t *bytes, size_t count, enum insn_mode mode,
		     enum insn_status status, const struct insn *i,
		     const ZydisDecodedInstruction *z, ZyanStatus zs, const char *why)
{
	if (++disagreements > 40)
		return;
	printf("DISAGREE %s-bit:", mode_name[mode]);
	for (size_t k = 0; k < count; k++)
		printf(" %02x", bytes[k]);
	printf("\n  ours: %s", status_name[status]);
	if (status == INSN_OK)
		printf(" %s, %u bytes, operand %u, address %u", op_name(i->op), i->length,
		       i->operand_size, i->address_size);
	if (ZYAN_SUCCESS(zs))
		printf("\n  Zydis: %s, %u bytes, operand %u, address %u\n  %s\n",
		       ZydisMnemonicGetString(z->mnemonic), z->length, z->operand_width / 8,
		       z->address_width / 8, why);
	else
		printf("\n  Zydis: status %" PRIx32 "\n  %s\n", (uint32_t)zs, why);
}

static void check(const uint8_t *bytes, size_t count, enum insn_mode mode)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	enum zydis_exception e = E_NONE;
	ZydisDecodedInstruction z;
	enum insn_op op = INSN_OP_NONE;
	enum insn_status status;
	const char *why = NULL;
	struct insn insn;
	ZyanStatus zs;

	compared++;
	status = insn_decode(&insn, bytes, count, mode);
	zs = ZydisDecoderDecodeFull(&decoders[mode], bytes, count, &z, ops);
	if (ZYAN_SUCCESS(zs)) {
		if (!zydis_form_is_not_claimed(&z))
			op = zydis_op(z.mnemonic);
		if (op != INSN_OP_NONE)
			e = zydis_manual_overrules(&z, zydis_last_rep(&z));
	}
	if (e != E_NONE) {
		exceptions[e]++;
		if (e == E_VMGEXIT)
			op = INSN_OP_VMGEXIT;
		else if (e == E_WBNOINVD)
			op = INSN_OP_WBNOINVD;
		else
			op = INSN_OP_NONE;
	}

	switch (status) {
	case INSN_OK:
		accepted++;
		per_op[insn.op]++;
		if (!ZYAN_SUCCESS(zs))
			why = "ours only";
		else if (insn.op == INSN_OP_MOV_DR)
			why = z.mnemonic == ZYDIS_MNEMONIC_MOV
				      ? compare(&insn, &z, ops, INSN_OP_MOV_DR)
				      : "not MOV";
		else
			why = op == INSN_OP_NONE ? "not claimed" : compare(&insn, &z, ops, op);
		break;
	case INSN_MORE:
		refused++;
		/* Zydis may refuse an instruction before it asks for the rest. */
		if (ZYAN_SUCCESS(zs))
			why = "Zydis needs no more";
		break;
	case INSN_TOO_LONG:
		refused++;
		if (ZYAN_SUCCESS(zs))
			why = "Zydis finds it not too long";
		break;
	case INSN_INVALID:
		refused++;
		if (ZYAN_SUCCESS(zs))
			why = "Zydis finds it valid";
		break;
	case INSN_UNSUPPORTED:
		refused++;
		if (op != INSN_OP_NONE)
			why = "claimed, but refused";
		break;
	}
	if (why)
		complain(bytes, count, mode, status, &insn, &z, zs, why);
}

int main(int argc, char **argv)
{
	static const ZydisMachineMode mode[] = {
		ZYDIS_MACHINE_MODE_LEGACY_16,
		ZYDIS_MACHINE_MODE_LEGACY_32,
		ZYDIS_MACHINE_MODE_LONG_64,
	};
	static const ZydisStackWidth width[] = {
		ZYDIS_STACK_WIDTH_16,
		ZYDIS_STACK_WIDTH_32,
		ZYDIS_STACK_WIDTH_64,
	};
	unsigned long strings = 3000000;
	uint64_t seed = 1;
	int opt, missing = 0;

	while ((opt = getopt(argc, argv, "s:n:")) != -1) {
		if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (opt == 'n')
			strings = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	for (int m = 0; m < 3; m++)
		ZydisDecoderInit(&decoders[m], mode[m], width[m]);

	code_systematic(check);
	printf("systematic: %lu compared, %lu accepted\n", compared, accepted);
	code_random(seed, strings, check);

	for (int op = INSN_OP_NONE + 1; op < INSN_OP_COUNT; op++) {
		if (per_op[op] == 0) {
			printf("NEVER SEEN: %s\n", op_name(op));
			missing++;
		}
	}
	for (int e = 1; e < E_COUNT; e++)
		printf("manual over Zydis, %lu times: %s\n", exceptions[e],
		       zydis_exception_text[e]);
	printf("%lu compared, %lu accepted, %lu refused, %lu disagreements\n", compared, accepted,
	       refused, disagreements);
	return disagreements || missing;
}
