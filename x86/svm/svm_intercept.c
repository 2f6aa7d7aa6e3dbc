/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an intercept catches, and what it does not.
 *
 * The rule (APM 2, "Exception Intercepts", "Instruction Intercepts", "Interrupt Intercepts"). An
 * exception's bit catches the exception, and INT3, INTO and BOUND with it; their exit has the RIP of the
 * instruction. It does not catch INT n or an interrupt, whatever the vector: INT 14 is no #PF, and an
 * IPI on vector 17 no #AC. INT n has an intercept of its own, INT1 another, and bit 1 does not catch
 * INT1. An intercepted interrupt or NMI stays pending until L1 takes it. An intercepted #PF has not
 * written CR2.
 *
 * The bugs that taught it. KVM's nested VMX took INT n for the exception of the same number
 * (CVE-2016-9588): the guest could make its hypervisor believe in exceptions that did not happen. QEMU
 * has the opposite: INT3 does not look at the bit of #BP at all, but at the one of INT n. The
 * mistake is as easy with vectors 16 to 31 that come through the APIC.
 *
 * A buggy hypervisor shows an event in the place of `exit …`, or an exit in the place of the event.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_EXCEPTION \
	"APM 2, Exception Intercepts: caught before delivery; for INT3, INTO and BOUND with the RIP of the instruction"
#define RULE_NOT_INT_N \
	"APM 2, Exception Intercepts: INT n and external interrupts do not check them, whatever their vector"
#define RULE_INT_N \
	"APM 2, Instruction Intercepts: INT n is caught before any exception is checked, with its own RIP"
#define RULE_NOT_INT3 "APM 2, Instruction Intercepts: the one of INT n is for opcode CD alone"
#define RULE_ICEBP \
	"APM 2, Instruction Intercepts: INT1 is not caught by the intercept of #DB but by one of its own"
#define RULE_CR2 "APM 2, #PF (Page Fault): intercepted before CR2 is written"
#define RULE_NEXT_RIP \
	"APM 2, State Saved on Exit: nRIP is set for instruction intercepts, INT3, INTO and BOUND, and zero for all others"
#define RULE_INSTRUCTION \
	"APM 2, Instruction Intercepts: caught before it has done anything, each with its own exit code"

#define BUGS_INT3 CATCHES("tcg-int3-intercept")
#define BUGS_DB CATCHES("bochs-db-exit-dr6")

#define CALL "vmmcall"
#define SOFT ""
#define ALL_EXCEPTIONS SVM_ALL_EXCEPTIONS
#define intercept_instruction svm_intercept

#include "../nested/intercept.h"

SNIPPET(int1, "mark insn; .byte 0xf1; mark after; nop");
SNIPPET(cpuid_insn, "vmmcall; mark insn; cpuid; mark after; nop");
SNIPPET(pushf_insn, "vmmcall; mark insn; pushf; mark after; nop");
SNIPPET(popf_insn, "vmmcall; pushf; mark insn; popf; mark after; nop");
SNIPPET(rdtsc_insn, "vmmcall; mark insn; rdtsc; mark after; nop");
SNIPPET(rdtscp_insn, "vmmcall; mark insn; rdtscp; mark after; nop");
SNIPPET(pause_insn, "vmmcall; mark insn; pause; mark after; nop");
SNIPPET(hlt_insn, "vmmcall; mark insn; hlt; mark after; nop");
SNIPPET(out_insn, "vmmcall; mov $0x80, %edx; mark insn; out %al, (%dx); mark after; nop");
SNIPPET(rdmsr_insn, "vmmcall; mov $0x10, %ecx; mark insn; rdmsr; mark after; nop");
SNIPPET(invd_insn, "vmmcall; mark insn; invd; mark after; nop");
SNIPPET(wbinvd_insn, "vmmcall; mark insn; wbinvd; mark after; nop");

CASE(int1, IN_LONG_MODE, RULE_ICEBP, CATCHES("tcg-icebp"))
{
	expect("#DB[]@after");
	try_exceptions(&int1, ALL_EXCEPTIONS);
}

/* -- INT n and INT1. --------------------------------------------------------------------------- */

static void try_instruction(const struct snippet *snippet, unsigned what)
{
	intercepting(0, what);
	run_snippet(snippet);
}

CASE(int_n, IN_LONG_MODE, RULE_INT_N, "")
{
	expect("[0x0-0xff] exit SWINT@insn");
	for_each_vector(v, 0, 255) {
		snippet_patch(&int_n, "insn", 1, v);
		subject_begin(v);
		try_instruction(&int_n, SVM_INTERCEPT_INTN);
		subject_end();
	}
}

CASE(int_n_gate_dpl0, CPL3 | COMPAT, RULE_INT_N, "")
{
	gate_set_dpl(0x80, 0);
	expect("exit SWINT@insn");
	try_instruction(&int_n, SVM_INTERCEPT_INTN);
}

CASE(int3_is_no_int_n, IN_LONG_MODE, RULE_NOT_INT3, CATCHES("tcg-int3-intercept"))
{
	expect("#BP@after");
	try_instruction(&int3, SVM_INTERCEPT_INTN);
}

CASE(into_is_no_int_n, COMPAT, RULE_NOT_INT3, CATCHES("tcg-int3-intercept"))
{
	setup.rflags = X86_EFLAGS_OF;
	expect("#OF@after");
	try_instruction(&into, SVM_INTERCEPT_INTN);
}

CASE(int1_intercept, IN_LONG_MODE, RULE_ICEBP, CATCHES("tcg-icebp"))
{
	expect("exit ICEBP@insn");
	try_instruction(&int1, SVM_INTERCEPT_ICEBP);
}

/* -- Other instructions, a few of each kind. --------------------------------------------------- */

#define INSTRUCTION(name, environments, code, bugs)                 \
	CASE(name, environments, RULE_INSTRUCTION, bugs)            \
	{                                                           \
		expect("exit " #code "@insn");                      \
		try_after_call(&name##_insn, SVM_INTERCEPT_##code); \
	}

INSTRUCTION(cpuid, IN_LONG_MODE, CPUID, "")
INSTRUCTION(pushf, IN_LONG_MODE, PUSHF, "")
INSTRUCTION(popf, IN_LONG_MODE, POPF, "")
INSTRUCTION(rdtsc, IN_LONG_MODE, RDTSC, "")
INSTRUCTION(rdtscp, IN_LONG_MODE, RDTSCP, CATCHES("tcg-rdtscp-exit"))
INSTRUCTION(pause, IN_LONG_MODE, PAUSE, CATCHES("bochs-pause-filter"))
INSTRUCTION(hlt, CPL0, HLT, "")
INSTRUCTION(out, CPL0, IOIO, "")
INSTRUCTION(rdmsr, CPL0, MSR, "")
INSTRUCTION(invd, CPL0, INVD, CATCHES("tcg-invd-exit"))
INSTRUCTION(wbinvd, CPL0, WBINVD, "")

/* -- nRIP. ------------------------------------------------------------------------------------- */

static uint64_t next_rip;

static enum l2_action note_next_rip(struct l2 *v)
{
	next_rip = v->vmcb->next_rip;
	return L2_UNEXPECTED;
}

static void try_next_rip(const struct snippet *snippet, const char *next)
{
	next_rip = ~0ul;
	l2_setup.on_exit = note_next_rip;
	setup.regs.rax = 5;
	run_snippet(snippet);
	check(next_rip == (next ? mark_address(snippet, next) : 0), "nRIP is %#lx", next_rip);
}

static void need_next_rip(void)
{
	need_of_machine(svm_has_next_rip(), "NRIPS");
	setup.rflags = X86_EFLAGS_OF;
}

CASE(next_rip_of_int3, IN_LONG_MODE, RULE_NEXT_RIP, CATCHES("nsvm-nextrip-not-synced"))
{
	need_next_rip();
	intercepting(ALL_EXCEPTIONS, NO_INSTRUCTION);
	try_next_rip(&int3, "after");
}

CASE(next_rip_of_into_and_bound, COMPAT, RULE_NEXT_RIP, "")
{
	need_next_rip();
	intercepting(ALL_EXCEPTIONS, NO_INSTRUCTION);
	try_next_rip(&into, "after");
	try_next_rip(&bound, "after");
}

CASE(next_rip_of_int_n, IN_LONG_MODE, RULE_NEXT_RIP, CATCHES("nsvm-nextrip-not-synced"))
{
	need_next_rip();
	intercepting(0, SVM_INTERCEPT_INTN);
	try_next_rip(&int_n, "after");
}

CASE(next_rip_of_cpuid, IN_LONG_MODE, RULE_NEXT_RIP, CATCHES("nsvm-nextrip-not-synced"))
{
	need_next_rip();
	instruction = SVM_INTERCEPT_CPUID;
	exceptions = 0;
	l2_setup.on_call = intercept;
	try_next_rip(&cpuid_insn, "after");
}

CASE(no_next_rip_of_ud, IN_LONG_MODE, RULE_NEXT_RIP, CATCHES("bochs-next-rip-always"))
{
	need_next_rip();
	intercepting(ALL_EXCEPTIONS, NO_INSTRUCTION);
	try_next_rip(&ud, NULL);
}

CASE(no_next_rip_of_gp, IN_LONG_MODE, RULE_NEXT_RIP, CATCHES("bochs-next-rip-always"))
{
	need_next_rip();
	intercepting(ALL_EXCEPTIONS, NO_INSTRUCTION);
	try_next_rip(&gp, NULL);
}
