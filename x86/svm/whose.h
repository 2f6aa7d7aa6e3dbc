/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event that is pending when L1 enters L2, of which a product (nested/product.h) asks whose it is: svm_whose.c,
 * svm_order.c, svm_halted.c.
 */
#ifndef X86_SVM_WHOSE_H
#define X86_SVM_WHOSE_H

#define CALL "vmmcall"
#include "../nested/whose.h"

/* The second bit of a combination, where it is among its axes. */
#define MASKING (1u << 1) /* V_INTR_MASKING */

/* Of a case: the same for all its combinations. */
static struct wish {
	bool intr, nmi, vintr; /* intercepted */
	bool shadow;	       /* L2's */
	unsigned part;	       /* of the combinations, those that have these bits */
} wish;

/* What an exit by an event must have left as it was. */
static void judge_exit(const struct l2 *v)
{
	check(!(v->vmcb->exit_int_info.what & L2_EVENT_VALID),
	      "combination %#x: EXITINTINFO is %#x at an exit that interrupted no event", now,
	      v->vmcb->exit_int_info.what);
}

static enum l2_action take_intr(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT(INTR))
		return L2_UNEXPECTED;
	judge_exit(v);
	check(apic_bit(APIC_IRR, PHYSICAL),
	      "combination %#x: the interrupt of an exit does not wait in IRR", now);
	l2_window(true);
	return L2_RESUME;
}

static void ask_for(struct l2 *v)
{
	if (wish.intr)
		svm_intercept(v, SVM_INTERCEPT_INTR);
	if (wish.nmi)
		svm_intercept(v, SVM_INTERCEPT_NMI);
	if (wish.vintr)
		svm_intercept(v, SVM_INTERCEPT_VINTR);
}

static void begin(unsigned combination)
{
	now = combination;
	svm_sti_before_vmrun = false;
	l2_setup.before = ask_for;
	l2_setup.show_exits = true;
	if (combination & IF)
		setup.rflags |= X86_EFLAGS_IF;
}

/* The exit has not taken it; the second time it gets through. */
static inline enum l2_action let_it_through(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT(VINTR))
		return L2_UNEXPECTED;
	judge_exit(v);
	check(v->vmcb->int_control & SVM_V_IRQ, "combination %#x: V_IRQ is clear at the exit VINTR",
	      now);
	v->vmcb->intercept[SVM_INTERCEPT_VINTR / 32] &= ~(1u << SVM_INTERCEPT_VINTR % 32);
	return L2_RESUME;
}

#endif
