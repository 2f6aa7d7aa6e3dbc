/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guests about SEV share (vc.c, vc_io.c, sev_paging.c and so on): why they run in no layer, registers that
 * must not change, and the #VC in the trace.
 */
#ifndef X86_VC_H
#define X86_VC_H

#include "trapline.h"

#define GUEST_NEEDS_NATIVE "the hypervisor of L2 is our own, and offers no SEV"

#define ANY 0x1122334455667788ul

/* Registers that no instruction here is about. */
static inline void poison(void)
{
	setup.regs = (struct regs){ANY,	     ANY + 1,  ANY + 2,	 ANY + 3,  ANY + 4,
				   ANY + 5,  ANY + 6,  ANY + 7,	 ANY + 8,  ANY + 9,
				   ANY + 10, ANY + 11, ANY + 12, ANY + 13, ANY + 14};
}

#define RAX (1u << 0)
#define RBX (1u << 1)
#define RCX (1u << 2)
#define RDX (1u << 3)
#define RSI (1u << 4)
#define RDI (1u << 5)

/* In compatibility mode bits 63:32 of all registers, and R8 to R15, are nobody's. */
static inline void check_others(uint32_t written)
{
	static const char *const names[] = {"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R8",
					    "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
	const uint64_t *before = (const uint64_t *)&setup.regs;
	const uint64_t *now = (const uint64_t *)&setup.result;
	bool narrow = setup.environment == COMPAT;

	for (unsigned i = 0; i < (narrow ? 7 : 15); i++)
		if (!(written >> i & 1))
			check(narrow ? (uint32_t)now[i] == (uint32_t)before[i]
				     : now[i] == before[i],
			      "%s became %#lx, was %#lx", names[i], now[i], before[i]);
}

/* What stands in the trace before what the instruction does anywhere. */
static inline void expect_vc(unsigned code, const char *then)
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	if (!sev_is_es())
		expect("%s", *then ? then : "(none)");
	else
		expect("#VC(%#x)@insn%s%s", code, *then ? ", " : "", then);
}

/* Ports that every machine of ours has: the configuration space of its host bridge. */
#define ADDRESS 0xcf8
#define DATA 0xcfc
#define ENABLE 0x80000000u

/* The bridge's identification, 32 bits that are all different and never change. */
static inline uint32_t identification(void)
{
	outl(ADDRESS, ENABLE);
	return inl(DATA);
}

#endif
