/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed IPIs in x2APIC mode: the cases of ipi.c, whose first page has rule and bugs, on every CPU's
 * x2APIC, and the SELF IPI register besides.
 *
 * What differs: registers are MSRs, the ICR is one write of 64 bits without a busy bit, ids have 32 bits
 * and so has the broadcast, logical ids are fixed as cluster and member by the APIC id, and there is no
 * flat model. It is a guest of its own since a machine need not come back from x2APIC mode: Bochs 2.7
 * then reads 0xffffffff from the xAPIC's page.
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi.c"

/* KVM sends such an IPI without leaving its innermost loop, and has loaded an old DR6 there. */
SNIPPET_BOTH(dr6_over_icr, "mov %rbp, %dr6; mark insn; wrmsr; mark after; mov %dr6, %rbp; nop",
	     "nop");

#define DR6_LEFT (DR6_CLEAR | DR6_BS | 1)

CASE_NEEDS(MODE_NEEDS, dr6_over_icr, CPL0,
	   "SDM 3B, Debug Status Register (DR6): written by debug exceptions and by MOV alone",
	   CATCHES("kvm-dr6-stale model-exit-dr6"))
{
	static uint32_t watched;

	need_breakpoints();
	breakpoint_set(3, (uint64_t)&watched, BREAK_WRITE, 4);
	setup.regs.rbp = DR6_LEFT;
	setup.regs.rcx = 0x830;
	setup.regs.rax = ICR_FIXED | ICR_ASSERT | LATER;
	setup.regs.rdx = apic_id();
	expect("(none)");
	run(dr6_over_icr);
	check(setup.result.rbp == DR6_LEFT, "DR6 is %#lx, not %#x", setup.result.rbp, DR6_LEFT);
	check(apic_bit(APIC_IRR, LATER), "the IPI is not pending");
	write_dr6(DR6_CLEAR);
	interrupts_drain();
}
