/* SPDX-License-Identifier: BSD-2-Clause */
/* The general registers of a VMSA, which a VMCB's save area has not: all but RAX and RSP. APM 2, "Layout of VMSA". */
#ifndef LIB_X86_VMSA_REGS_H
#define LIB_X86_VMSA_REGS_H

#include "x86/arch/vmsa.h"
#include "x86/cpu/frame.h"

/* Both directions are this list. */
#define VMSA_REGS(X) \
	X(rcx)       \
	X(rdx) X(rbx) X(rbp) X(rsi) X(rdi) X(r8) X(r9) X(r10) X(r11) X(r12) X(r13) X(r14) X(r15)

static inline struct regs vmsa_get_regs(const struct vmsa *s)
{
	struct regs r = {0};

#define GET(name) r.name = s->name;
	VMSA_REGS(GET)
#undef GET
	return r;
}

static inline void vmsa_set_regs(struct vmsa *s, const struct regs *r)
{
#define SET(name) s->name = r->name;
	VMSA_REGS(SET)
#undef SET
}

#undef VMSA_REGS

#endif
