/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is L2's own over exits and entries, by SVM and VMX alike (svm_state.c, vmx_state.c): TF, RF and
 * the interrupt shadow.
 *
 * The file that includes this has defined CALL, the instruction that calls L1; name_places(), which
 * names those of L1 where an event of L2's might go astray; RULE_... and BUGS_... as they are used below.
 */
#ifndef X86_CARRIED_H
#define X86_CARRIED_H

SNIPPET(call, "mark call; " CALL "; mark target; nop; mark after; nop; mark third; nop");
SNIPPET(sti_call, "sti; mark call; " CALL "; mark target; nop; mark after; cli");
SNIPPET(movss_call, "mov %ss, %eax; mov %eax, %ss; mark call; " CALL "; mark target; nop");
SNIPPET(sti_nop_call, "sti; nop; mark call; " CALL "; mark target; nop; cli");

/* -- TF and RF. ---------------------------------------------------------------------------------------------------------- */

static void nothing(struct l2 *v)
{
	(void)v;
}

/* The snippet's first instruction is the call; L1 has it emulated, and steps on it belong to L1. */
CASE(guest_tf, ALL_NATIVE, RULE_GUEST_TF, BUGS_GUEST_TF)
{
	name_places();
	setup.rflags = X86_EFLAGS_TF;
	l2_setup.on_call = nothing;
	expect("#DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	run(call);
}

static void set_tf(struct l2 *v)
{
	l2_set(v, L2_RFLAGS, l2_get(v, L2_RFLAGS) | X86_EFLAGS_TF);
}

CASE(guest_tf_loaded, ALL_NATIVE, RULE_TF_LOADED, "")
{
	l2_setup.on_call = set_tf;
	expect("#DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	run(call);
}

static void set_rf(struct l2 *v)
{
	l2_set(v, L2_RFLAGS, l2_get(v, L2_RFLAGS) | X86_EFLAGS_RF);
}

CASE(guest_rf, ALL_NATIVE, RULE_GUEST_RF, "")
{
	breakpoint_set(0, mark_address(&call, "target"), BREAK_CODE, 1);
	l2_setup.on_call = set_rf;
	expect("(none)");
	run(call);
}

CASE(guest_breakpoint_on_first, ALL_NATIVE, RULE_GUEST_RF, "")
{
	breakpoint_set(0, mark_address(&call, "target"), BREAK_CODE, 1);
	l2_setup.on_call = nothing;
	expect("#DB[B0]@target");
	run(call);
}

/* -- The shadow, at an exit. --------------------------------------------------------------------------------------------- */

#define NOT_SEEN 2u

static unsigned shadow;

static void note_shadow(struct l2 *v)
{
	shadow = l2_get(v, L2_SHADOW) != 0;
}

static void try_shadow_out(const struct snippet *snippet, bool expected)
{
	shadow = NOT_SEEN;
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	l2_setup.on_call = note_shadow;
	run_snippet(snippet);
	check(shadow == expected, "L2 %s in a shadow at the exit",
	      shadow == NOT_SEEN ? "was never seen"
	      : shadow		 ? "is"
				 : "is not");
}

CASE(shadow_out_sti, ALL_NATIVE, RULE_SHADOW, "")
{
	try_shadow_out(&sti_call, true);
}

CASE(shadow_out_movss, ALL_NATIVE, RULE_SHADOW, "")
{
	try_shadow_out(&movss_call, true);
}

CASE(no_shadow_out, ALL_NATIVE, RULE_SHADOW, BUGS_NO_SHADOW)
{
	try_shadow_out(&call, false);
	try_shadow_out(&sti_nop_call, false);
}

#endif
