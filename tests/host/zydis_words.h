/* SPDX-License-Identifier: BSD-2-Clause */
/* What Zydis, an independent disassembler, says of an instruction, in the words of our decoder. */
#ifndef TESTS_HOST_ZYDIS_WORDS_H
#define TESTS_HOST_ZYDIS_WORDS_H

#include <Zydis/Zydis.h>

#include "x86/insn/decode.h"

_Static_assert(ZYDIS_VERSION_MAJOR(ZYDIS_VERSION) >= 4, "needs Zydis 4");

/* Rules where the manuals overrule Zydis; zydis_exception_text has their sources. */
enum zydis_exception {
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

extern const char *const zydis_exception_text[E_COUNT];

/* INSN_OP_NONE for a mnemonic that the decoder does not claim in any form. */
enum insn_op zydis_op(ZydisMnemonic m);

/* The forms of claimed mnemonics that no MMIO access can have. */
bool zydis_form_is_not_claimed(const ZydisDecodedInstruction *z);

/* E_NONE where Zydis is right; `rep` is that of zydis_last_rep(). */
enum zydis_exception zydis_manual_overrules(const ZydisDecodedInstruction *z, enum insn_rep rep);

/* The last F2 or F3 among the prefixes. */
enum insn_rep zydis_last_rep(const ZydisDecodedInstruction *z);

/* enum insn_segment, or -1 for what is no segment register. */
int zydis_segment(ZydisRegister reg);

/* Number of a general register; INSN_NO_REG for none, and for RIP and EIP. */
unsigned int zydis_number(ZydisRegister reg);

#endif
