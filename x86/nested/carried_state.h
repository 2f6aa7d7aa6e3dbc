/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is L2's own over exits and entries, by SVM and VMX alike (svm_carried.c, vmx_carried.c): TF, RF,
 * the interrupt shadow and DR7.
 *
 * The file that includes this has defined
 *	CALL			the instruction that calls L1
 *	name_places()		names those of L1 where an event of L2's might go astray
 *	DR7_AT_EXIT		the bits of L1's DR7 that an exit makes those of DR7_CLEAR
 *	RULE_..., BUGS_...	as they are used below
 */
#ifndef X86_CARRIED_STATE_H
#define X86_CARRIED_STATE_H

SNIPPET(call, "mark call; " CALL "; mark target; nop; mark after; nop; mark third; nop");
SNIPPET(sti_call, "sti; mark call; " CALL "; mark target; nop; mark after; cli");
SNIPPET(movss_call, "mov %ss, %eax; mov %eax, %ss; mark call; " CALL "; mark target; nop");
SNIPPET(sti_fault, "sti; mark insn; ud2; mark after; cli");
SNIPPET(movss_fault, "mov %ss, %eax; mov %eax, %ss; mark insn; ud2; mark after; nop");
SNIPPET(sti_nop_call, "sti; nop; mark call; " CALL "; mark target; nop; cli");

/* -- TF and RF. -------------------------------------------------------------------------------- */

static void nothing(struct l2 *v)
{
	(void)v;
}

/* The snippet's first instruction is the call; L1 has it emulated, and steps on it belong to L1. */
CASE(guest_tf, IN_LONG_MODE, RULE_GUEST_TF, BUGS_GUEST_TF)
{
	name_places();
	setup.rflags = X86_EFLAGS_TF;
	l2_setup.on_call = nothing;
	expect("#DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	run(call);
}

static uint64_t rflags_at_call;

static void set_rflags(struct l2 *v)
{
	l2_set(v, L2_RFLAGS, l2_get(v, L2_RFLAGS) | rflags_at_call);
}

CASE(guest_tf_loaded, IN_LONG_MODE, RULE_TF_LOADED, "")
{
	rflags_at_call = X86_EFLAGS_TF;
	l2_setup.on_call = set_rflags;
	expect("#DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	run(call);
}

CASE(guest_rf, IN_LONG_MODE, RULE_GUEST_RF, "")
{
	breakpoint_set(0, mark_address(&call, "target"), BREAK_CODE, 1);
	rflags_at_call = X86_EFLAGS_RF;
	l2_setup.on_call = set_rflags;
	expect("(none)");
	run(call);
}

CASE(guest_breakpoint_on_first, IN_LONG_MODE, RULE_GUEST_RF, "")
{
	breakpoint_set(0, mark_address(&call, "target"), BREAK_CODE, 1);
	l2_setup.on_call = nothing;
	expect("#DB[B0]@target");
	run(call);
}

/* -- The shadow, at an exit. ------------------------------------------------------------------- */

#define NOT_SEEN 2u

static unsigned shadow;

static void note_shadow(struct l2 *v)
{
	shadow = l2_get(v, L2_SHADOW) != 0;
}

static void try_shadow_out(const struct snippet *snippet, bool expected)
{
	shadow = NOT_SEEN;
	grant_iopl();
	l2_setup.on_call = note_shadow;
	run_snippet(snippet);
	check(shadow == expected, "L2 %s in a shadow at the exit",
	      shadow == NOT_SEEN ? "was never seen"
	      : shadow		 ? "is"
				 : "is not");
}

CASE(shadow_out_sti, IN_LONG_MODE, RULE_SHADOW, "")
{
	try_shadow_out(&sti_call, true);
}

CASE(shadow_out_movss, IN_LONG_MODE, RULE_SHADOW, "")
{
	try_shadow_out(&movss_call, true);
}

CASE(no_shadow_out, IN_LONG_MODE, RULE_SHADOW, BUGS_NO_SHADOW)
{
	try_shadow_out(&call, false);
	try_shadow_out(&sti_nop_call, false);
}

static void catch_ud(struct l2 *v)
{
	l2_intercept_exceptions(v, EXCEPTION(VECTOR_UD));
}

static enum l2_action note_shadow_of_ud(struct l2 *v)
{
	if (l2_exception(v) == VECTOR_UD)
		note_shadow(v);
	return L2_END;
}

/* The instruction in the shadow is not done: whoever goes on with it is in the shadow still. */
CASE(shadow_of_fault_sti, IN_LONG_MODE, RULE_SHADOW, CATCHES("bochs-fault-exit-shadow"))
{
	l2_setup.before = catch_ud;
	l2_setup.on_exit = note_shadow_of_ud;
	try_shadow_out(&sti_fault, true);
}

CASE(shadow_of_fault_movss, IN_LONG_MODE, RULE_SHADOW, CATCHES("bochs-fault-exit-shadow"))
{
	l2_setup.before = catch_ud;
	l2_setup.on_exit = note_shadow_of_ud;
	try_shadow_out(&movss_fault, true);
}

/* -- Debug registers. -------------------------------------------------------------------------- */

static uint64_t dr7_of_host, dr7_of_guest;

static void note_dr7(struct l2 *v)
{
	dr7_of_guest = l2_get(v, L2_DR7);
	dr7_of_host = read_dr7();
}

CASE(dr7_after_exit, IN_LONG_MODE, RULE_DR7, BUGS_DR7)
{
	breakpoint_set(0, mark_address(&call, "call"), BREAK_WRITE, 1);
	dr7_of_host = ~0ul;
	l2_setup.on_call = note_dr7;
	run(call);
	check(!((dr7_of_host ^ DR7_CLEAR) & DR7_AT_EXIT), "L1's DR7 is %#lx after the exit",
	      dr7_of_host);
	check((dr7_of_guest & 0xff) == 2, "L1 finds %#lx as L2's DR7", dr7_of_guest);
}

#endif
