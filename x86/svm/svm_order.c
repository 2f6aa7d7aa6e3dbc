/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NMI, a physical and a virtual interrupt that are pending together when L1 enters L2.
 *
 * The rule (APM 2, "Simultaneous Interrupts", "NMI Intercept", "Injecting Virtual (INTR) Interrupts"). NMI first, then
 * the physical interrupt, then the virtual one; each is an exit or L2's own as its intercept says, and none takes
 * another with it. What L2 delivers to itself clears its IF: that holds back the rest, but not the physical interrupt
 * that L1's IF lets in by V_INTR_MASKING. `several_demand` says it for each combination.
 *
 * The bugs that taught it. QEMU drops V_IRQ where it delivers a physical interrupt. KVM asks the CPU for a window by
 * V_IRQ and the intercept of VINTR, which L1 may have set as well: then the window is L1's exit.
 *
 * Each case is a product (nested/product.h), for one choice of intercepts. A buggy hypervisor shows the combinations
 * that went another way.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#include "whose.h"

#define RULE_ORDER \
	"APM 2, Simultaneous Interrupts: NMI, then physical interrupts, then virtual ones"

/* masked_open: V_INTR_MASKING with L1's IF set, so that physical interrupts come whatever L2's IF. */
enum {
	WITH_NMI = 1 << 2,
	WITH_INTR = 1 << 3,
	WITH_V_IRQ = 1 << 4,
};

static const char *const several_axes[] = {"if", "masked_open", "nmi", "intr", "v_irq", NULL};

/*
 * Behind what L2 delivered to itself, its handler has IF clear: what its IF masks comes behind the handler's IRET,
 * and an interrupt that L1's IF lets through at the handler's first instruction, to be recorded first.
 */
static bool several_demand(unsigned c, struct text *out)
{
	bool early = c & MASKING && c & WITH_INTR; /* whatever L2's IF */
	const char *separator = "";
	const char *later = c & IF ? "target" : "open";

	/* Two groups of combinations have cases of their own. */
	bool behind_nmi = early && c & WITH_NMI && !wish.nmi;
	bool behind_intr = c & WITH_INTR && !wish.intr && c & WITH_V_IRQ;

	if (!(c & (WITH_NMI | WITH_INTR | WITH_V_IRQ)) || behind_nmi != (wish.part == WITH_NMI) ||
	    (behind_intr && !behind_nmi) != (wish.part == WITH_INTR))
		return false;
	if (c & WITH_NMI && wish.nmi) {
		text_append(out, "exit NMI@target, L1 nmi");
		separator = ", ";
	}
	if (early) {
		const char *at = c & WITH_NMI && !wish.nmi ? "handler[0x2]" : "target";

		text_append(out, wish.intr ? "%sexit INTR@%s, L1 intr 0x91" : "%sintr 0x91@%s",
			    separator, at);
		separator = ", ";
	}
	if (c & WITH_NMI && !wish.nmi) {
		text_append(out, "%snmi@target", separator);
		separator = ", ";
	}
	if (c & WITH_INTR && !early) {
		text_append(out, wish.intr ? "%sexit INTR@%s, L1 intr 0x91" : "%sintr 0x91@%s",
			    separator, later);
		separator = ", ";
	}
	if (c & WITH_V_IRQ)
		text_append(out,
			    wish.vintr ? "%sexit VINTR@%s, extint 0xa1@%s" : "%sextint 0xa1@%s",
			    separator, later, later);
	return true;
}

static void pend_several(struct l2 *v)
{
	if (v->exits > 1) {
		v->vmcb->int_control &= ~SVM_V_IRQ;
		l2_window(true);
		return;
	}
	if (now & WITH_INTR)
		interrupt_pending(PHYSICAL);
	if (now & WITH_NMI)
		nmi_to_self();
	if (now & MASKING) {
		v->vmcb->int_control |= SVM_V_INTR_MASKING;
		l2_setup.host_rflags = X86_EFLAGS_IF;
	}
	if (now & WITH_V_IRQ) {
		v->vmcb->v_intr_vector = VIRTUAL;
		v->vmcb->int_control |= SVM_V_IRQ | SVM_V_PRIORITY(5);
	}
}

static enum l2_action take_each(struct l2 *v)
{
	switch (v->vmcb->exit_code) {
	case SVM_EXIT(INTR):
		return take_intr(v);
	case SVM_EXIT(VINTR):
		return let_it_through(v);
	case SVM_EXIT(NMI):
		judge_exit(v);
		l2_window(false);
		return L2_RESUME;
	default:
		return L2_UNEXPECTED;
	}
}

static void prepare_several(unsigned combination)
{
	begin(combination);
	l2_setup.on_call = pend_several;
	l2_setup.on_exit = take_each;
}

static const struct product several = {
	.axes = several_axes,
	.snippet = &stretch,
	.demand = several_demand,
	.prepare = prepare_several,
};

static void try_several(struct wish of_case)
{
	apic_enable(0);
	wish = of_case;
	product_run(&several);
}

#define SEVERAL(name, bugs, ...)                           \
	CASE_NEEDS("apic=1", name, CPL0, RULE_ORDER, bugs) \
	{                                                  \
		try_several((struct wish){__VA_ARGS__});   \
	}

#define BUGS_ORDER "bochs-intr-masking bochs-v-irq"
#define BUGS_WINDOW "bochs-intr-masking bochs-v-irq nsvm-window-exit"

SEVERAL(not_intercepted, CATCHES(BUGS_ORDER), )
SEVERAL(vintr_intercepted, CATCHES(BUGS_WINDOW), .vintr = true)
SEVERAL(intr_intercepted, CATCHES(BUGS_ORDER " nsvm-masked-intr-spins"), .intr = true)
SEVERAL(intr_vintr_intercepted, CATCHES(BUGS_WINDOW " nsvm-masked-intr-spins"), .intr = true,
	.vintr = true)
SEVERAL(nmi_intercepted, CATCHES(BUGS_ORDER), .nmi = true)
SEVERAL(nmi_vintr_intercepted, CATCHES(BUGS_WINDOW), .nmi = true, .vintr = true)
SEVERAL(nmi_intr_intercepted, CATCHES(BUGS_ORDER " nsvm-masked-intr-spins"), .nmi = true,
	.intr = true)
SEVERAL(all_intercepted, CATCHES(BUGS_WINDOW " nsvm-masked-intr-spins"), .nmi = true, .intr = true,
	.vintr = true)

/* A physical interrupt that the handler of L2's NMI does not mask, as L1's IF decides on it. */
SEVERAL(intr_in_nmi_handler, CATCHES("tcg-intr-in-handler bochs-intr-masking"), .part = WITH_NMI)
SEVERAL(intr_exit_in_nmi_handler, CATCHES("tcg-intr-in-handler bochs-intr-masking"),
	.part = WITH_NMI, .intr = true)

/* L2's own delivery of a physical interrupt leaves V_IRQ alone. */
SEVERAL(v_irq_behind_intr, CATCHES("tcg-v-irq-lost"), .part = WITH_INTR)
SEVERAL(vintr_behind_intr, CATCHES("tcg-v-irq-lost nsvm-window-exit"), .part = WITH_INTR,
	.vintr = true)
SEVERAL(v_irq_behind_nmi_and_intr, CATCHES("tcg-v-irq-lost"), .part = WITH_INTR, .nmi = true)
