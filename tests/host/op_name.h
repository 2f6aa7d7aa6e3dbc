/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoder's operations in words, for messages. */
#ifndef TESTS_HOST_OP_NAME_H
#define TESTS_HOST_OP_NAME_H

#include "x86/insn/decode.h"

/* The mnemonic of an enum insn_op in lower case. */
static inline const char *op_name(enum insn_op op)
{
	static const char *const names[INSN_OP_COUNT] = {
		[INSN_OP_NONE] = "nothing",
		[INSN_OP_ADD] = "add",
		[INSN_OP_OR] = "or",
		[INSN_OP_ADC] = "adc",
		[INSN_OP_SBB] = "sbb",
		[INSN_OP_AND] = "and",
		[INSN_OP_SUB] = "sub",
		[INSN_OP_XOR] = "xor",
		[INSN_OP_CMP] = "cmp",
		[INSN_OP_TEST] = "test",
		[INSN_OP_NOT] = "not",
		[INSN_OP_NEG] = "neg",
		[INSN_OP_INC] = "inc",
		[INSN_OP_DEC] = "dec",
		[INSN_OP_MOV] = "mov",
		[INSN_OP_MOVX] = "movx",
		[INSN_OP_XCHG] = "xchg",
		[INSN_OP_XADD] = "xadd",
		[INSN_OP_CMPXCHG] = "cmpxchg",
		[INSN_OP_MOVS] = "movs",
		[INSN_OP_STOS] = "stos",
		[INSN_OP_LODS] = "lods",
		[INSN_OP_IN] = "in",
		[INSN_OP_OUT] = "out",
		[INSN_OP_INS] = "ins",
		[INSN_OP_OUTS] = "outs",
		[INSN_OP_MOV_DR] = "mov dr",
		[INSN_OP_CPUID] = "cpuid",
		[INSN_OP_RDMSR] = "rdmsr",
		[INSN_OP_WRMSR] = "wrmsr",
		[INSN_OP_RDPMC] = "rdpmc",
		[INSN_OP_RDTSC] = "rdtsc",
		[INSN_OP_RDTSCP] = "rdtscp",
		[INSN_OP_RDPRU] = "rdpru",
		[INSN_OP_XSETBV] = "xsetbv",
		[INSN_OP_HLT] = "hlt",
		[INSN_OP_INVD] = "invd",
		[INSN_OP_WBINVD] = "wbinvd",
		[INSN_OP_WBNOINVD] = "wbnoinvd",
		[INSN_OP_MONITOR] = "monitor",
		[INSN_OP_MONITORX] = "monitorx",
		[INSN_OP_MWAIT] = "mwait",
		[INSN_OP_MWAITX] = "mwaitx",
		[INSN_OP_RSM] = "rsm",
		[INSN_OP_VMRUN] = "vmrun",
		[INSN_OP_VMMCALL] = "vmmcall",
		[INSN_OP_VMGEXIT] = "vmgexit",
		[INSN_OP_VMLOAD] = "vmload",
		[INSN_OP_VMSAVE] = "vmsave",
		[INSN_OP_STGI] = "stgi",
		[INSN_OP_CLGI] = "clgi",
		[INSN_OP_SKINIT] = "skinit",
		[INSN_OP_INVLPGA] = "invlpga",
	};

	return names[op];
}

#endif
