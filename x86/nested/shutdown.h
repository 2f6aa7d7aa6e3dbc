/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of L2, by SVM and VMX alike (svm_shutdown.c, vmx_shutdown.c).
 *
 * The file that includes this has defined CALL, the instruction that calls L1; SHUTDOWN, the exit of a
 * triple fault; RULE_SHUTDOWN.
 */
#ifndef X86_SHUTDOWN_H
#define X86_SHUTDOWN_H

SNIPPET(call_int3, "mark call; " CALL "; mark insn; int3; mark after; nop");

static void take_idt_away(struct l2 *v)
{
	l2_set(v, L2_IDT_LIMIT, 0);
}

CASE(triple_fault, IN_LONG_MODE, RULE_SHUTDOWN, CATCHES("l2-triple-fault"))
{
	l2_setup.on_call = take_idt_away;
	expect("exit " SHUTDOWN);
	run(call_int3);
}

#endif
