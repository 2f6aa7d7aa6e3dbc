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
 * enum exception below with the rule's source, and the run counts how often it
 * applied.
 *
 * usage: decode_zydis [-s SEED] [-n RANDOM_STRINGS]
 * Prints "N compared, …" and exits 0, or prints disagreements and exits 1.
 */
#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decode.h"

_Static_assert(ZYDIS_VERSION_MAJOR(ZYDIS_VERSION) >= 4, "needs Zydis 4");

static ZydisDecoder decoders[3];
static unsigned long compared, accepted, refused, disagreements;
static unsigned long per_op[INSN_OP_COUNT];

/* ---- rules where the manuals overrule Zydis ---------------------------- */

enum exception {
	E_NONE,
	E_F2_WBINVD,
	E_VMGEXIT,
	E_WBNOINVD,
	E_MOVSXD16,
	E_GROUP_ALIAS,
	E_PREFIXED_0F01,
	E_R13D_BASE,
	E_COUNT
};

static const char *const exception_text[E_COUNT] = {
	[E_F2_WBINVD] = "F2 0F 09: reserved (SDM 2B, WBINVD: NFx)",
	[E_VMGEXIT] = "F2/F3 0F 01 D9 is VMGEXIT (APM 3, VMGEXIT); Zydis 4.0 knows VMMCALL only",
	[E_WBNOINVD] = "F3 0F 09 is WBNOINVD (APM 3, WBNOINVD); Zydis 4.0 says WBINVD",
	[E_MOVSXD16] = "66 63 /r: vendors differ, not claimed",
	[E_GROUP_ALIAS] = "82 /r, F6 /1, F7 /1: undocumented aliases, not claimed",
	[E_PREFIXED_0F01] = "F2/F3 before 0F 01 xx: reserved or another instruction, not claimed",
	[E_R13D_BASE] =
		"67, REX.B, mod 0, SIB base 101: no base (SDM 2A, Special Cases of REX Encodings); Zydis 4.0 says R13D",
};

static unsigned long exceptions[E_COUNT];

/* ---- what Zydis says, in our words ------------------------------------- */

/* INSN_OP_NONE for a mnemonic that the decoder does not claim in any form. */
static enum insn_op op_of(ZydisMnemonic m)
{
	/* clang-format off */
	switch (m) {
	case ZYDIS_MNEMONIC_ADD: return INSN_OP_ADD;
	case ZYDIS_MNEMONIC_OR: return INSN_OP_OR;
	case ZYDIS_MNEMONIC_ADC: return INSN_OP_ADC;
	case ZYDIS_MNEMONIC_SBB: return INSN_OP_SBB;
	case ZYDIS_MNEMONIC_AND: return INSN_OP_AND;
	case ZYDIS_MNEMONIC_SUB: return INSN_OP_SUB;
	case ZYDIS_MNEMONIC_XOR: return INSN_OP_XOR;
	case ZYDIS_MNEMONIC_CMP: return INSN_OP_CMP;
	case ZYDIS_MNEMONIC_TEST: return INSN_OP_TEST;
	case ZYDIS_MNEMONIC_NOT: return INSN_OP_NOT;
	case ZYDIS_MNEMONIC_NEG: return INSN_OP_NEG;
	case ZYDIS_MNEMONIC_INC: return INSN_OP_INC;
	case ZYDIS_MNEMONIC_DEC: return INSN_OP_DEC;
	case ZYDIS_MNEMONIC_MOV: return INSN_OP_MOV;
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD: return INSN_OP_MOVX;
	case ZYDIS_MNEMONIC_XCHG: return INSN_OP_XCHG;
	case ZYDIS_MNEMONIC_XADD: return INSN_OP_XADD;
	case ZYDIS_MNEMONIC_CMPXCHG: return INSN_OP_CMPXCHG;
	case ZYDIS_MNEMONIC_MOVSB: case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD: case ZYDIS_MNEMONIC_MOVSQ: return INSN_OP_MOVS;
	case ZYDIS_MNEMONIC_STOSB: case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD: case ZYDIS_MNEMONIC_STOSQ: return INSN_OP_STOS;
	case ZYDIS_MNEMONIC_LODSB: case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD: case ZYDIS_MNEMONIC_LODSQ: return INSN_OP_LODS;
	case ZYDIS_MNEMONIC_IN: return INSN_OP_IN;
	case ZYDIS_MNEMONIC_OUT: return INSN_OP_OUT;
	case ZYDIS_MNEMONIC_INSB: case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_INSD: return INSN_OP_INS;
	case ZYDIS_MNEMONIC_OUTSB: case ZYDIS_MNEMONIC_OUTSW:
	case ZYDIS_MNEMONIC_OUTSD: return INSN_OP_OUTS;
	case ZYDIS_MNEMONIC_CPUID: return INSN_OP_CPUID;
	case ZYDIS_MNEMONIC_RDMSR: return INSN_OP_RDMSR;
	case ZYDIS_MNEMONIC_WRMSR: return INSN_OP_WRMSR;
	case ZYDIS_MNEMONIC_RDPMC: return INSN_OP_RDPMC;
	case ZYDIS_MNEMONIC_RDTSC: return INSN_OP_RDTSC;
	case ZYDIS_MNEMONIC_RDTSCP: return INSN_OP_RDTSCP;
	case ZYDIS_MNEMONIC_RDPRU: return INSN_OP_RDPRU;
	case ZYDIS_MNEMONIC_XSETBV: return INSN_OP_XSETBV;
	case ZYDIS_MNEMONIC_HLT: return INSN_OP_HLT;
	case ZYDIS_MNEMONIC_INVD: return INSN_OP_INVD;
	case ZYDIS_MNEMONIC_WBINVD: return INSN_OP_WBINVD;
	case ZYDIS_MNEMONIC_MONITOR: return INSN_OP_MONITOR;
	case ZYDIS_MNEMONIC_MONITORX: return INSN_OP_MONITORX;
	case ZYDIS_MNEMONIC_MWAIT: return INSN_OP_MWAIT;
	case ZYDIS_MNEMONIC_MWAITX: return INSN_OP_MWAITX;
	case ZYDIS_MNEMONIC_RSM: return INSN_OP_RSM;
	case ZYDIS_MNEMONIC_VMRUN: return INSN_OP_VMRUN;
	case ZYDIS_MNEMONIC_VMMCALL: return INSN_OP_VMMCALL;
	case ZYDIS_MNEMONIC_VMLOAD: return INSN_OP_VMLOAD;
	case ZYDIS_MNEMONIC_VMSAVE: return INSN_OP_VMSAVE;
	case ZYDIS_MNEMONIC_STGI: return INSN_OP_STGI;
	case ZYDIS_MNEMONIC_CLGI: return INSN_OP_CLGI;
	case ZYDIS_MNEMONIC_SKINIT: return INSN_OP_SKINIT;
	case ZYDIS_MNEMONIC_INVLPGA: return INSN_OP_INVLPGA;
	default: break;
	}
	/* clang-format on */

	/* Not in the enum of Zydis 4.0, but newer ones may have them. */
	if (!strcmp(ZydisMnemonicGetString(m), "wbnoinvd"))
		return INSN_OP_WBNOINVD;
	if (!strcmp(ZydisMnemonicGetString(m), "vmgexit"))
		return INSN_OP_VMGEXIT;
	return INSN_OP_NONE;
}

/* The forms of claimed mnemonics that no MMIO access can have. */
static bool form_is_not_claimed(const ZydisDecodedInstruction *z)
{
	uint8_t n = z->opcode;

	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return true;
	if (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return (n < 0x40 && (n & 7) > 3) || /* AL/eAX, immediate */
		       (n >= 0x40 && n <= 0x4f) ||  /* INC, DEC register */
		       n == 0x8c || n == 0x8e ||    /* segment registers */
		       (n >= 0x90 && n <= 0x97) ||  /* XCHG eAX, register */
		       n == 0xa8 || n == 0xa9 ||    /* TEST eAX, immediate */
		       (n >= 0xb0 && n <= 0xbf);    /* MOV register, immediate */
	if (z->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return n == 0x20 || n == 0x22 || /* control registers */
		       n == 0x24 || n == 0x26 || /* test registers */
		       n == 0x10 || n == 0x11;	 /* SSE MOVSD */
	return true;
}

static enum exception manual_overrules(const ZydisDecodedInstruction *z, enum insn_rep rep)
{
	uint8_t n = z->opcode;

	if (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
		if (n == 0x63 && z->operand_width == 16)
			return E_MOVSXD16;
		if (n == 0x82 || ((n == 0xf6 || n == 0xf7) && z->raw.modrm.reg == 1))
			return E_GROUP_ALIAS;
	} else if (z->opcode_map == ZYDIS_OPCODE_MAP_0F && rep != INSN_REP_NONE) {
		if (n == 0x09)
			return rep == INSN_REP ? E_WBNOINVD : E_F2_WBINVD;
		if (n == 0x01)
			return z->mnemonic == ZYDIS_MNEMONIC_VMMCALL ? E_VMGEXIT : E_PREFIXED_0F01;
	}
	return E_NONE;
}

/* The last F2 or F3 among the prefixes. */
static enum insn_rep last_rep(const ZydisDecodedInstruction *z)
{
	enum insn_rep rep = INSN_REP_NONE;

	for (int i = 0; i < z->raw.prefix_count; i++) {
		if (z->raw.prefixes[i].value == 0xf3)
			rep = INSN_REP;
		if (z->raw.prefixes[i].value == 0xf2)
			rep = INSN_REPNE;
	}
	return rep;
}

static int segment_of(ZydisRegister reg)
{
	/* clang-format off */
	switch (reg) {
	case ZYDIS_REGISTER_ES: return INSN_ES;
	case ZYDIS_REGISTER_CS: return INSN_CS;
	case ZYDIS_REGISTER_SS: return INSN_SS;
	case ZYDIS_REGISTER_DS: return INSN_DS;
	case ZYDIS_REGISTER_FS: return INSN_FS;
	case ZYDIS_REGISTER_GS: return INSN_GS;
	default: return -1;
	}
	/* clang-format on */
}

static unsigned int number_of(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE || reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_NO_REG;
	return ZydisRegisterGetId(reg);
}

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

	SAME(i->segment == segment_of(z->mem.segment));
	if (z->mem.base == ZYDIS_REGISTER_R13D && zi->raw.modrm.mod == 0 && zi->raw.modrm.rm == 4 &&
	    zi->raw.sib.base == 5) {
		exceptions[E_R13D_BASE]++;
		SAME(i->mem.base == INSN_NO_REG);
		SAME(i->mem.disp == zi->raw.disp.value);
		disp_is_wrong = true;
	} else {
		SAME(i->mem.base == number_of(z->mem.base));
	}
	SAME(i->mem.index == number_of(z->mem.index));
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
			SAME(o->reg == number_of(z->reg.value));
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
		SAME(number_of(z->mem.base) == 6);
		SAME(i->segment == segment_of(z->mem.segment));
		return NULL;
	case INSN_MEM_DI:
		SAME(z->type == ZYDIS_OPERAND_TYPE_MEMORY && o->size * 8 == z->size);
		SAME(number_of(z->mem.base) == 7);
		SAME(segment_of(z->mem.segment) == INSN_ES);
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
	SAME(i->rep == last_rep(z));
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
		printf(" %s, %u bytes, operand %u, address %u", insn_op_name(i->op), i->length,
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
	enum exception e = E_NONE;
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
		if (!form_is_not_claimed(&z))
			op = op_of(z.mnemonic);
		if (op != INSN_OP_NONE)
			e = manual_overrules(&z, last_rep(&z));
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

/* ---- sources of code --------------------------------------------------- */

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state += 0x9e3779b97f4a7c15;
	uint64_t x = random_state;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static const uint8_t prefix_bytes[] = {
	0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e,
	0x64, 0x65, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f,
};
#define PREFIXES (sizeof(prefix_bytes))

/* Opcodes of which every ModRM byte is tried with every prefix sequence. */
static bool is_claimed_opcode(bool two_bytes, unsigned int n)
{
	static const uint8_t one[] = {
		0x63, 0x6c, 0x6d, 0x6e, 0x6f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
		0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xc6,
		0xc7, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xf4, 0xf6, 0xf7, 0xfe, 0xff,
	};
	static const uint8_t two[] = {
		0x01, 0x08, 0x09, 0x21, 0x23, 0x30, 0x31, 0x32, 0x33, 0xa2,
		0xaa, 0xb0, 0xb1, 0xb6, 0xb7, 0xbe, 0xbf, 0xc0, 0xc1,
	};

	if (two_bytes)
		return memchr(two, n, sizeof(two));
	return (n < 0x40 && (n & 7) < 4) || memchr(one, n, sizeof(one));
}

/* Which of the two follow an opcode does not matter: unused bytes are ignored. */
static void after_prefixes(uint8_t *bytes, size_t n, enum insn_mode mode, bool sib)
{
	static const uint8_t tail[] = {0x25, 0x81, 0xf0, 0x7f, 0x80, 0x01, 0xfe, 0x92, 0x44};

	for (unsigned int op = 0; op < 512; op++) {
		size_t at = n;
		bool claimed = is_claimed_opcode(op >= 256, op & 255);

		if (op >= 256)
			bytes[at++] = 0x0f;
		bytes[at++] = op;
		memcpy(bytes + at + 1, tail, sizeof(tail));
		for (unsigned int modrm = 0; modrm < 256; modrm += claimed ? 1 : 37) {
			bytes[at] = modrm;
			bytes[at + 1] = tail[0];
			check(bytes, at + 1 + sizeof(tail), mode);
			if (!sib || !claimed || modrm >= 0xc0 || (modrm & 7) != 4)
				continue;
			for (unsigned int byte = 0; byte < 256; byte++) {
				bytes[at + 1] = byte;
				check(bytes, at + 1 + sizeof(tail), mode);
			}
		}
	}
}

static void systematic(void)
{
	uint8_t bytes[32];

	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		size_t prefixes = mode == INSN_MODE_64 ? PREFIXES : PREFIXES - 6;

		after_prefixes(bytes, 0, mode, true);
		for (size_t a = 0; a < prefixes; a++) {
			bytes[0] = prefix_bytes[a];
			after_prefixes(bytes, 1, mode, true);
			for (size_t b = 0; b < prefixes; b++) {
				bytes[1] = prefix_bytes[b];
				after_prefixes(bytes, 2, mode, false);
			}
		}
	}
}

/* Up to 13 prefixes and an opcode that is likely one of ours. */
static size_t likely(uint8_t *bytes)
{
	uint64_t r = next_random();
	size_t n = r % 7 == 0 ? (r >> 8) % 14 : (r >> 8) % 4, at = 0;

	while (at < n)
		bytes[at++] = prefix_bytes[next_random() % PREFIXES];
	if (r >> 16 & 1)
		bytes[at++] = 0x0f;
	for (int tries = 0; tries < 8; tries++) {
		bytes[at] = next_random();
		if (is_claimed_opcode(at > n, bytes[at]))
			break;
	}
	at++;
	for (; at < 24; at++)
		bytes[at] = next_random();
	return next_random() % 17;
}

static void random_strings(unsigned long n)
{
	uint8_t bytes[32];
	size_t count;

	for (unsigned long i = 0; i < n; i++) {
		enum insn_mode mode = i % 3;

		if (i & 4) {
			count = likely(bytes);
		} else {
			for (int k = 0; k < 16; k += 8) {
				uint64_t r = next_random();

				memcpy(bytes + k, &r, 8);
			}
			count = next_random() % 17;
		}
		/* Mostly whole instructions, a quarter cut somewhere. */
		if (i % 4)
			count = 16;
		check(bytes, count, mode);
	}
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
	int opt, missing = 0;

	random_state = 1;
	while ((opt = getopt(argc, argv, "s:n:")) != -1) {
		if (opt == 's')
			random_state = strtoull(optarg, NULL, 0);
		else if (opt == 'n')
			strings = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	for (int m = 0; m < 3; m++)
		ZydisDecoderInit(&decoders[m], mode[m], width[m]);

	systematic();
	printf("systematic: %lu compared, %lu accepted\n", compared, accepted);
	random_strings(strings);

	for (int op = INSN_OP_NONE + 1; op < INSN_OP_COUNT; op++) {
		if (per_op[op] == 0) {
			printf("NEVER SEEN: %s\n", insn_op_name(op));
			missing++;
		}
	}
	for (int e = 1; e < E_COUNT; e++)
		printf("manual over Zydis, %lu times: %s\n", exceptions[e], exception_text[e]);
	printf("%lu compared, %lu accepted, %lu refused, %lu disagreements\n", compared, accepted,
	       refused, disagreements);
	return disagreements || missing;
}
