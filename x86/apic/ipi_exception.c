/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fixed interrupt is no exception: what its gate refuses, and `INT v` and exception v beside it.
 *
 * The rule. An interrupt pushes no error code, whatever exception has its number: none on 17 (#AC),
 * 21 (#CP), 29 (#VC) or 30 (#SX). Its gate's DPL is not looked at. If the gate is not present or beyond the
 * IDT's limit, the fault's error code has EXT set, and the vector is in service by then and needs its EOI.
 * A CPU that takes an interrupt on v, runs `INT v` and raises the exception v has three different events
 * to tell apart: INT v is held back by nothing, sets no ISR bit and leaves the pending interrupt pending.
 *
 * The bugs that taught it. Handlers of hypervisors and of their test suites pop an error code by vector
 * number, so no suite sends one IPI below 32.
 *
 * A buggy hypervisor shows `intr v(0x0)@wait` or an exception's name in the place of `intr v`; #GP where the
 * gate's DPL is 0; `isr=0x0` behind a refused gate; one event where two were due.
 *
 * All by IPIs of one CPU to itself (ipi.c). This file is also the guest ipi_exception_x2apic.
 */
#include "self.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_EXT \
	"SDM 3A, Error Code: a gate that refuses an interrupt is #NP or #GP with the error code n*8+IDT+EXT; the vector is in service by then"
#define RULE_BOTH \
	"SDM 3A, Sources of Interrupts: an interrupt, INT n and an exception of the same number are three events"

/* -- The gate refuses: a fault on the way to the handler of an interrupt that has been accepted.  */

/*
 * Every vector to itself, with its gate spoilt while it is delivered and no longer: under SEV-ES the APIC's registers
 * take a #VC, which needs the IDT. An interrupt that its gate refuses is in service, and has no handler to end that.
 */
static void try_gate(void (*spoil)(unsigned v), void (*mend)(unsigned v), bool refused)
{
	grant_iopl();
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		send_self(v);
		observe("irr", apic_bit(APIC_IRR, v));
		spoil(v);
		run_until(held, 1);
		mend(v);
		if (refused) {
			observe("isr", apic_bit(APIC_ISR, v));
			apic_eoi();
		}
		end();
	}
}

static void make_absent(unsigned v)
{
	gate_set_present(v, false);
}

static void make_present(unsigned v)
{
	gate_set_present(v, true);
}

CASE_NEEDS(MODE_NEEDS, gate_not_present, ALL_NATIVE, RULE_EXT,
	   CATCHES("tcg-ext-bit model-ipi-no-isr"))
{
	expect("[0x10-0xff] irr=0x1, #NP(v*8+3)@wait, isr=0x1");
	try_gate(make_absent, make_present, true);
}

static void cut_idt(unsigned v)
{
	load_idt(idt, v * sizeof(struct gate) - 1);
}

static void restore_idt(unsigned v)
{
	(void)v;
	load_idt(idt, 256 * sizeof(struct gate) - 1);
}

CASE_NEEDS(MODE_NEEDS, beyond_limit, ALL_NATIVE, RULE_EXT, CATCHES("tcg-ext-bit model-ipi-no-isr"))
{
	expect("[0x10-0xff] irr=0x1, #GP(v*8+3)@wait, isr=0x1");
	try_gate(cut_idt, restore_idt, true);
}

static void close_to_users(unsigned v)
{
	gate_set_dpl(v, 0);
}

static void open_to_users(unsigned v)
{
	gate_set_dpl(v, 3);
}

/* DPL is for INT n alone. */
CASE_NEEDS(
	MODE_NEEDS, gate_dpl0, USER,
	"SDM 3A, Protection of Exception- and Interrupt-Handler Procedures: the gate's DPL is not checked for interrupts",
	CATCHES("model-dpl-for-interrupts"))
{
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	try_gate(close_to_users, open_to_users, false);
}

/* -- The same number, three events. ------------------------------------------------------------ */

SNIPPET(held_and_int, "mark insn; int $0x80; mark after_int; sti; nop; " WAIT);
SNIPPET(open_and_int, "sti; nop; " WAIT "; mark insn; int $0x80; mark after_int; nop");

CASE_NEEDS(MODE_NEEDS, int_n_while_pending, ALL_NATIVE, RULE_BOTH, CATCHES("model-ipi-as-int-n"))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, int v@after_int, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		snippet_patch(&held_and_int, "insn", 1, v);
		begin(v);
		send_self(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held_and_int, 1);
		subject_end();
	}
}

CASE_NEEDS(MODE_NEEDS, int_n_while_in_service, ALL_NATIVE, RULE_BOTH,
	   CATCHES("model-ipi-as-int-n model-int-n-masked"))
{
	grant_iopl();
	setup.hold_eoi = true;
	expect("[0x10-0xff] intr v@wait, int v@after_int, isr=0x1");
	for_each_vector(v, FIRST, LAST) {
		snippet_patch(&open_and_int, "insn", 1, v);
		begin(v);
		send_self(v);
		run_until(open_and_int, 1);
		observe("isr", apic_bit(APIC_ISR, v));
		event_eoi();
		subject_end();
	}
}

SNIPPET(unaligned,
	"mark insn; mov -7(%esp), %eax; mark int_17; int $17; mark after_int; sti; nop; " WAIT);

static enum action stop_alignment_checks(const struct event *event, struct trap_frame *frame)
{
	if (event->origin != FROM_EXCEPTION)
		return BY_RULE;
	frame->iret.rflags &= ~(uint64_t)X86_EFLAGS_AC;
	return RESUME;
}

CASE_NEEDS(
	MODE_NEEDS, alignment_check, USER,
	"SDM 3A, Interrupt 17-Alignment Check Exception (#AC): a fault with error code 0; an IPI on 17 is neither",
	CATCHES("model-ipi-error-code tcg-no-alignment-check"))
{
	setup.rflags = X86_EFLAGS_IOPL | X86_EFLAGS_AC;
	setup.hook = stop_alignment_checks;
	expect("[0x11] irr=0x1, #AC(0x0)@insn, int v@after_int, intr v@wait");
	write_cr0(read_cr0() | X86_CR0_AM);
	subject_begin(VECTOR_AC);
	send_self(VECTOR_AC);
	observe("irr", apic_bit(APIC_IRR, VECTOR_AC));
	run_until(unaligned, 1);
	subject_end();
	write_cr0(read_cr0() & ~(uint64_t)X86_CR0_AM);
}

#define CPUID_7_D_IBT (1u << 20)
#define X86_CR4_CET (1u << 23)
#define MSR_U_CET 0x6a0
#define U_CET_ENDBR_EN (1u << 2)

/* An indirect jump to something that is no ENDBR. */
SNIPPET_BOTH(no_endbr,
	     "lea 1f(%rip), %rax; jmp *%rax; mark landed; 1: nop; "
	     "mark int_21; int $21; mark after_int; sti; nop; " WAIT,
	     "call 2f; 2: pop %eax; add $(1f - 2b), %eax; jmp *%eax; mark landed; 1: nop; "
	     "mark int_21; int $21; mark after_int; sti; nop; " WAIT);

static enum action stop_branch_tracking(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->origin != FROM_EXCEPTION)
		return BY_RULE;
	wrmsr(MSR_U_CET, 0);
	return RESUME;
}

CASE_NEEDS(
	MODE_NEEDS, control_protection, USER,
	"SDM 3A, Interrupt 21-Control Protection Exception (#CP): a fault with error code 3 for ENDBRANCH; an IPI on 21 is neither",
	CATCHES("model-ipi-error-code"))
{
	need_of_machine(cpuid(0, 0).a >= 7 && cpuid(7, 0).d & CPUID_7_D_IBT,
			"indirect branch tracking (CET)");
	grant_iopl();
	setup.hook = stop_branch_tracking;
	expect("[0x15] irr=0x1, #CP(0x3)@landed, int v@after_int, intr v@wait");
	write_cr4(read_cr4() | X86_CR4_CET);
	wrmsr(MSR_U_CET, U_CET_ENDBR_EN);
	subject_begin(VECTOR_CP);
	send_self(VECTOR_CP);
	observe("irr", apic_bit(APIC_IRR, VECTOR_CP));
	run_until(no_endbr, 1);
	subject_end();
	wrmsr(MSR_U_CET, 0);
	write_cr4(read_cr4() & ~(uint64_t)X86_CR4_CET);
}
