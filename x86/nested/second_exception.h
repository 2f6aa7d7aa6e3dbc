/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A second exception in the delivery of a first, by SVM and VMX alike (svm_vectoring.c, vmx_vectoring.c): whether
 * L1 sees it before the two are combined, what they are combined to, and how it ends. The rows are those of
 * vectoring.h.
 *
 * The file that includes this has defined
 *	SHUTDOWN, PLACE_OF_DF	how a triple fault looks, and where a #DF that L1 intercepts shows
 *	expect_ext()		expects an error code, with EXT as the vendor has it
 *	RULE_BEFORE_COMBINED, RULE_SHUTDOWN, RULE_DF, BUGS_DF
 */
#ifndef X86_SECOND_EXCEPTION_H
#define X86_SECOND_EXCEPTION_H

#include "vectoring.h"

static uint32_t second; /* exceptions to intercept */

static void intercept_second(struct l2 *v)
{
	l2_intercept_exceptions(v, second);
}

static void try_second(const struct row *r, uint32_t intercepted)
{
	set_up(r);
	second = intercepted;
	l2_setup.before = intercept_second;
	run_snippet(r->snippet);
}

/* The error code of a fault about a vector's gate, without EXT, over which the vendors differ. */
#define GATE_ERROR(vector) ((vector)*8 + 2)

CASE(np_during_ud, IN_LONG_MODE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	gate_set_present(VECTOR_UD, false);
	expect_ext("exit #NP(%#x)(vectoring #UD)@insn", GATE_ERROR(VECTOR_UD));
	try_second(&row_ud, EXCEPTION(VECTOR_NP));
}

/* Both are contributory: without the intercept this is #DF. */
CASE(np_during_gp, IN_LONG_MODE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	gate_set_present(VECTOR_GP, false);
	expect_ext("exit #NP(%#x)(vectoring #GP(0x58))@insn", GATE_ERROR(VECTOR_GP));
	try_second(&row_gp, EXCEPTION(VECTOR_NP) | EXCEPTION(VECTOR_DF));
}

CASE(np_during_int_n, IN_LONG_MODE, RULE_BEFORE_COMBINED,
     CATCHES("kvm-nested-exception tcg-idt-errcode-64"))
{
	gate_set_present(0x80, false);
	expect("exit #NP(0x402)(vectoring int 0x80)@insn");
	try_second(&row_int_0x80, EXCEPTION(VECTOR_NP));
}

CASE(df_intercepted, IN_LONG_MODE, RULE_DF, BUGS_DF)
{
	gate_set_present(VECTOR_GP, false);
	expect("exit #DF(0x0)" PLACE_OF_DF);
	try_second(&row_gp, EXCEPTION(VECTOR_DF));
}

/* Not intercepted: the CPU combines by itself, and L1 sees nothing. */
CASE(df_delivered, IN_LONG_MODE, "APM 2, #DF: a second contributory exception makes #DF",
     CATCHES("kvm-nested-exception"))
{
	gate_set_present(VECTOR_GP, false);
	setup.leave_after = 1;
	expect("#DF(0x0)@insn");
	try_second(&row_gp, 0);
}

CASE(pf_during_ud, IN_LONG_MODE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	use_ist(VECTOR_UD, WINDOW + PAGE_BYTES);
	window_map(1, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	expect("exit #PF(0x2,cr2=window+0xff8)(vectoring #UD)@insn");
	try_second(&row_ud, EXCEPTION(VECTOR_PF));
}

/* The kernel's nested_exceptions_test: with an IDT of no length everything ends in shutdown. */
static void take_idt_away(struct l2 *v)
{
	start(v);
	l2_set(v, L2_IDT_LIMIT, 0);
}

static void try_without_idt(const struct row *r, uint32_t intercepted)
{
	set_up(r);
	second = intercepted;
	l2_setup.before = intercept_second;
	l2_setup.on_call = take_idt_away;
	run_snippet(r->snippet);
}

CASE(no_idt_gp, IN_LONG_MODE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	expect_ext("exit #GP(%#x)(vectoring #SS(0x58))@insn", GATE_ERROR(VECTOR_SS));
	try_without_idt(&row_inj_ss, EXCEPTION(VECTOR_GP) | EXCEPTION(VECTOR_DF));
}

CASE(no_idt_df, IN_LONG_MODE, RULE_BEFORE_COMBINED, BUGS_DF)
{
	expect("exit #DF(0x0)" PLACE_OF_DF);
	try_without_idt(&row_inj_ss, EXCEPTION(VECTOR_DF));
}

CASE(no_idt_shutdown, CPL0, RULE_SHUTDOWN, CATCHES("l2-triple-fault"))
{
	expect("exit " SHUTDOWN);
	try_without_idt(&row_inj_ss, 0);
}

CASE(no_idt_int3_shutdown, CPL0, RULE_SHUTDOWN, CATCHES("l2-triple-fault"))
{
	expect("exit " SHUTDOWN);
	try_without_idt(&row_int3, 0);
}

#endif
