/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interrupt that is pending for L1 when it enters L2, by SVM and VMX alike (svm_interrupts.c,
 * vmx_interrupts.c).
 *
 * The file that includes this has defined
 *	CALL			the instruction that calls L1
 *	PENDING_VECTOR		the vector of the interrupt
 *	is_interrupt_exit()	whether the exit is that of an external interrupt
 *	try_interrupt()		a run of call_again with the interrupt pending, and such an exit
 *	RULE_INTR, BUGS_INTR	as they are used below
 */
#ifndef X86_INTERRUPTS_H
#define X86_INTERRUPTS_H

SNIPPET(call_again, "mark call; " CALL "; mark target; nop; mark after; nop; mark again; " CALL
		    "; mark last; nop");
SNIPPET(call_sti, "mark call; " CALL "; mark target; sti; mark shadow; nop; mark after; nop; mark third; "
		  "nop; cli; mark again; " CALL "; mark last; nop");

/* Where the interrupt was at its exit. */
static struct {
	bool in_irr, in_isr;
} at_exit;

/* L1 takes what is still pending in the APIC. */
static enum l2_action take_interrupt(struct l2 *v)
{
	if (!is_interrupt_exit(v))
		return L2_UNEXPECTED;
	at_exit.in_irr = apic_bit(APIC_IRR, PENDING_VECTOR);
	at_exit.in_isr = apic_bit(APIC_ISR, PENDING_VECTOR);
	if (at_exit.in_isr)
		apic_eoi();
	else
		l2_window(true);
	return L2_RESUME;
}

CASE_NEEDS("apic=1", intr, IN_LONG_MODE, RULE_INTR, BUGS_INTR)
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR@target, L1 intr 0x31");
	try_interrupt();
	check(at_exit.in_irr && !at_exit.in_isr, "at the exit the interrupt is not in IRR alone");
}

#endif
