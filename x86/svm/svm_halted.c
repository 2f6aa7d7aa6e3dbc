/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An L2 that executes HLT, and what ends it.
 *
 * The rule (APM 3, "HLT"; APM 2, "Instruction Intercepts", "Injecting Virtual (INTR) Interrupts"). HLT right behind STI
 * is executed in STI's shadow, whatever is pending; then the interrupt comes behind it, to whoever gets it: L1 by an
 * exit, or L2. A virtual interrupt ends HLT as a physical one does. Intercepted, HLT is an exit in the shadow.
 *
 * The bugs that taught it. KVM carries out an L2's HLT itself where L1 does not intercept it, and asks its own APIC alone
 * whether there is a reason to wake: with V_IRQ set L2 sleeps until something else wakes it.
 *
 * Each case is a product (nested/product.h). A buggy hypervisor shows the watchdog's interrupt, or an exit too many.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#include "whose.h"

#define RULE_HLT \
	"APM 3, HLT, and APM 2, HLT Intercept: any interrupt that is not masked ends it, whoever gets that; intercepted it is not executed"

/* Which interrupt ends it: a virtual one, a physical one that has waited, or the timer's. */
enum {
	HLT = 1 << 0, /* intercepted */
	INTR = 1 << 1,
	WAITS = 1 << 2,
	BY_VIRTUAL = 1 << 3,
};

static const char *const hlt_axes[] = {"hlt_intercepted", "intr_intercepted", "waits", "virtual",
				       NULL};

/* HLT is in the shadow of STI, so it is executed whatever waits. */
static bool hlt_demand(unsigned c, struct text *out)
{
	if (c & BY_VIRTUAL && (!(c & WAITS) || c & INTR))
		return false;
	if ((c & BY_VIRTUAL) != wish.part)
		return false;
	if (c & HLT)
		text_append(out, "exit HLT@halt, ");
	if (c & BY_VIRTUAL)
		text_append(out, "extint 0xa1@woken");
	else if (c & INTR)
		text_append(out, "exit INTR@woken, L1 intr 0x91");
	else
		text_append(out, "intr 0x91@woken");
	if (c & HLT)
		text_append(out, ", shadow 1");
	return true;
}

static bool hlt_shadow;

static void send_waker(struct l2 *v)
{
	if (v->exits > 1) {
		timer_stop();
		v->vmcb->int_control &= ~SVM_V_IRQ;
		l2_window(true);
	} else if (now & BY_VIRTUAL) {
		timer_start(WATCHDOG, LATE);
		v->vmcb->v_intr_vector = VIRTUAL;
		v->vmcb->int_control |= SVM_V_IRQ | SVM_V_PRIORITY(5);
	} else if (now & WAITS) {
		interrupt_pending(PHYSICAL);
	} else {
		timer_start(PHYSICAL, SOON);
	}
}

/* L1 lets L2 sleep by itself: what wakes it is behind the HLT. */
static enum l2_action halt(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT(HLT))
		return take_intr(v);
	judge_exit(v);
	hlt_shadow = v->vmcb->int_state & SVM_INTERRUPT_SHADOW;
	v->vmcb->int_state &= ~SVM_INTERRUPT_SHADOW;
	v->vmcb->rip++;
	if (!(now & (WAITS | BY_VIRTUAL)))
		await(apic_bit(APIC_IRR, PHYSICAL), "the timer's interrupt");
	return L2_RESUME;
}

static void ask_for_hlt(struct l2 *v)
{
	if (now & HLT)
		svm_intercept(v, SVM_INTERCEPT_HLT);
	if (now & INTR)
		svm_intercept(v, SVM_INTERCEPT_INTR);
}

static void prepare_hlt(unsigned combination)
{
	begin(combination);
	setup.rflags = 0;
	hlt_shadow = false;
	l2_setup.before = ask_for_hlt;
	l2_setup.on_call = send_waker;
	l2_setup.on_exit = halt;
}

static void add_shadow(unsigned combination, struct text *out)
{
	if (combination & HLT)
		text_append(out, ", shadow %u", hlt_shadow);
}

static const struct product hlt = {
	.axes = hlt_axes,
	.snippet = &sleep,
	.demand = hlt_demand,
	.prepare = prepare_hlt,
	.finish = add_shadow,
};

static void try_hlt(unsigned part)
{
	apic_enable(0);
	wish = (struct wish){.part = part};
	product_run(&hlt);
}

CASE_NEEDS("apic=1", by_physical, CPL0, RULE_HLT, CATCHES("nsvm-masked-intr-spins"))
{
	try_hlt(0);
}

CASE_NEEDS("apic=1", by_virtual, CPL0, RULE_HLT, CATCHES("nsvm-hlt-v-irq bochs-v-irq"))
{
	try_hlt(BY_VIRTUAL);
}
