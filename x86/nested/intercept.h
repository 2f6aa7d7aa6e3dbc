/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions that L1 intercepts, and what is none: by SVM and VMX alike (svm_intercept.c, vmx_intercept.c).
 *
 * The file that includes this has defined
 *	CALL			the instruction that calls L1
 *	SOFT			what stands before INT3 and INTO in the name of their exit
 *	ALL_EXCEPTIONS		an exception bitmap with all that may be set
 *	intercept_instruction()	makes `what` exit, in the vendor's own numbers
 *	RULE_..., BUGS_...	as they are used below
 */
#ifndef X86_INTERCEPT_H
#define X86_INTERCEPT_H

SNIPPET(int3, "mark insn; int3; mark after; nop");
SNIPPET(into, "mark insn; .byte 0xce; mark after; nop");
SNIPPET_BOTH(bound, "mark insn; nop; mark after",
	     "push $0; push $0; mark insn; bound %eax, (%esp); mark after; nop");
SNIPPET(ud, "mark insn; ud2; mark after; nop");
SNIPPET(de, "xor %edx, %edx; xor %ecx, %ecx; mark insn; div %ecx; mark after; nop");
SNIPPET(gp, "mov $0x58, %ecx; mark insn; mov %ecx, %ds; mark after; nop");
SNIPPET(pf, "mov $0x40000000, %ecx; mark insn; movl $0, (%ecx); mark after; nop");
SNIPPET(step, "mark insn; nop; mark after; nop");
SNIPPET(int_n, "mark insn; int $0x80; mark after; nop");
SNIPPET(call, "mark call; " CALL "; mark target; nop; mark after; nop");

static uint32_t exceptions;
static unsigned instruction;
#define NO_INSTRUCTION ~0u

static void intercept(struct l2 *v)
{
	l2_intercept_exceptions(v, exceptions);
	if (instruction != NO_INSTRUCTION)
		intercept_instruction(v, instruction);
}

static void intercepting(uint32_t vectors, unsigned what)
{
	exceptions = vectors;
	instruction = what;
	l2_setup.before = intercept;
}

/* -- Exceptions. ------------------------------------------------------------------------------- */

static void try_exceptions(const struct snippet *snippet, uint32_t vectors)
{
	intercepting(vectors, NO_INSTRUCTION);
	setup.regs.rax = 5;
	run_snippet(snippet);
}

CASE(int3, IN_LONG_MODE, RULE_EXCEPTION, BUGS_INT3)
{
	expect("exit " SOFT "#BP@insn");
	try_exceptions(&int3, ALL_EXCEPTIONS);
}

CASE(into, COMPAT, RULE_EXCEPTION, BUGS_INT3)
{
	setup.rflags = X86_EFLAGS_OF;
	expect("exit " SOFT "#OF@insn");
	try_exceptions(&into, ALL_EXCEPTIONS);
}

CASE(bound, COMPAT, RULE_EXCEPTION, "")
{
	expect("exit #BR@insn");
	try_exceptions(&bound, ALL_EXCEPTIONS);
}

CASE(ud, IN_LONG_MODE, RULE_EXCEPTION, "")
{
	expect("exit #UD@insn");
	try_exceptions(&ud, ALL_EXCEPTIONS);
}

CASE(de, IN_LONG_MODE, RULE_EXCEPTION, "")
{
	expect("exit #DE@insn");
	try_exceptions(&de, ALL_EXCEPTIONS);
}

CASE(gp, IN_LONG_MODE, RULE_EXCEPTION, "")
{
	expect("exit #GP(0x58)@insn");
	try_exceptions(&gp, ALL_EXCEPTIONS);
}

CASE(step, IN_LONG_MODE, RULE_EXCEPTION, BUGS_DB)
{
	setup.rflags = X86_EFLAGS_TF;
	expect("exit #DB[BS]@after");
	try_exceptions(&step, ALL_EXCEPTIONS);
}

CASE(code_breakpoint, IN_LONG_MODE, RULE_EXCEPTION, BUGS_DB)
{
	breakpoint_set(0, mark_address(&step, "after"), BREAK_CODE, 1);
	expect("exit #DB[B0]@after");
	try_exceptions(&step, ALL_EXCEPTIONS);
}

static uint64_t cr2_at_exit;

static enum l2_action note_cr2(struct l2 *v)
{
	cr2_at_exit = l2_get(v, L2_CR2);
	return L2_UNEXPECTED;
}

CASE(pf, IN_LONG_MODE, RULE_CR2, "")
{
	window_map(0, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	write_cr2(0x1234);
	l2_setup.on_exit = note_cr2;
	expect("exit #PF(%#x,cr2=window)@insn", PF_WRITE | (environment_is_user() ? PF_USER : 0));
	try_exceptions(&pf, ALL_EXCEPTIONS);
	check(cr2_at_exit == 0x1234, "CR2 is %#lx at the exit", cr2_at_exit);
}

/* Each bit for itself: none may do another's work. */
CASE(int3_all_but_bp, IN_LONG_MODE, RULE_EXCEPTION, "")
{
	expect("#BP@after");
	try_exceptions(&int3, ALL_EXCEPTIONS & ~EXCEPTION(VECTOR_BP));
}

CASE(int_n_is_no_exception, IN_LONG_MODE, RULE_NOT_INT_N, CATCHES("kvm-nvmx-soft-intercept"))
{
	expect("[0x0-0x1f] int v@after");
	for_each_vector(v, 0, 31) {
		snippet_patch(&int_n, "insn", 1, v);
		subject_begin(v);
		try_exceptions(&int_n, ALL_EXCEPTIONS);
		subject_end();
	}
}

static unsigned pending;

static void make_pending(struct l2 *v)
{
	(void)v;
	interrupt_pending(pending);
}

CASE_NEEDS("apic=1", ipi_is_no_exception, IN_LONG_MODE, RULE_NOT_INT_N,
	   CATCHES("kvm-nvmx-soft-intercept"))
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	l2_setup.on_call = make_pending;
	expect("[0x10-0x1f] intr v@target");
	for (pending = 16; pending < 32; pending++) {
		subject_begin(pending);
		try_exceptions(&call, ALL_EXCEPTIONS);
		subject_end();
	}
}

/* From the snippet's call on; the way into it has instructions of its own. */
static void try_after_call(const struct snippet *snippet, unsigned what)
{
	exceptions = 0;
	instruction = what;
	l2_setup.on_call = intercept;
	run_snippet(snippet);
}

#endif
