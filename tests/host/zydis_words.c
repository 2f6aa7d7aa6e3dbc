/* SPDX-License-Identifier: BSD-2-Clause */
#include "zydis_words.h"

#include <string.h>

const char *const zydis_exception_text[E_COUNT] = {
	[E_F2_WBINVD] = "F2 0F 09: reserved (SDM 2B, WBINVD: NFx)",
	[E_VMGEXIT] = "F2/F3 0F 01 D9 is VMGEXIT (APM 3, VMGEXIT); Zydis 4.0 knows VMMCALL only",
	[E_WBNOINVD] = "F3 0F 09 is WBNOINVD (APM 3, WBNOINVD); Zydis 4.0 says WBINVD",
	[E_MOVSXD16] = "66 63 /r: vendors differ, not claimed",
	[E_GROUP_ALIAS] = "82 /r, F6 /1, F7 /1: undocumented aliases, not claimed",
	[E_PREFIXED_0F01] = "F2/F3 before 0F 01 xx: reserved or another instruction, not claimed",
	[E_R13D_BASE] =
		"67, REX.B, mod 0, SIB base 101: no base (SDM 2A, Special Cases of REX Encodings); Zydis 4.0 says R13D",
};

enum insn_op zydis_op(ZydisMnemonic m)
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

bool zydis_form_is_not_claimed(const ZydisDecodedInstruction *z)
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

enum zydis_exception zydis_manual_overrules(const ZydisDecodedInstruction *z, enum insn_rep rep)
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

enum insn_rep zydis_last_rep(const ZydisDecodedInstruction *z)
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

int zydis_segment(ZydisRegister reg)
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

unsigned int zydis_number(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE || reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_NO_REG;
	return ZydisRegisterGetId(reg);
}
