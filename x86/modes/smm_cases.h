/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests about system management mode begin with. */
#ifndef X86_MODES_SMM_CASES_H
#define X86_MODES_SMM_CASES_H

#include "trapline.h"

#define APIC_ICR_ADDRESS 0xfee00300ul
#define PENDING 0x31
#define LOOPS 4000000

/* Sends what EAX says, and goes on as soon as there were EBX SMIs, or never: then ECX has counted down. */
#define WAIT_FOR_SMI                                                              \
	"area sent; 1: dec %ecx; jz 2f; cmp %ebx, (%esi); jb 1b; 2: mark after\n" \
	"nop; nop"
#define SEND "mov %eax, (%edi)\n"

/* Whether an SMI to this CPU reaches a handler at the default SMBASE, tried once for each boot. */
static inline void need_smi(void)
{
	static bool known, has;

	apic_enable(0);
	need(!apic_is_x2(), "the snippets know the xAPIC's page only");
	smm_install();
	if (!known) {
		apic_icr(apic_id(), ICR_SMI | ICR_ASSERT);
		has = !stays(smm->count == 0);
		known = true;
		smm_install();
	}
	need_of_machine(has, "SMI");
}

/* The snippet's SEND sends this CPU an SMI, of which it waits for `smis`. */
static inline void prepare_smi(unsigned smis)
{
	need_smi();
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_SMI | ICR_ASSERT;
	setup.regs.rbx = smis;
	setup.regs.rcx = LOOPS;
	setup.regs.rsi = (uint64_t)&smm->count;
}

/* The witness: so many SMIs were taken. */
static inline void took_smis(unsigned count)
{
	witness(smm->count >= 1, "no SMI was taken");
	check(smm->count == count, "%u SMIs, must be %u", smm->count, count);
}

/* Runs it, with the SMIs in its trace. */
static inline void run_with_smis(const struct snippet *snippet, unsigned count)
{
	run_snippet(snippet);
	took_smis(count);
	smm_into_trace();
}

#endif
