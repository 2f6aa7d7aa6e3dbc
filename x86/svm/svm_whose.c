/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose an event is: L1's by an exit, L2's by its own IDT, or L1's once L2 is left.
 *
 * The rule. What decides is what L1 asks for (the intercepts of INTR and VINTR, V_INTR_MASKING, V_TPR, V_IGN_TPR,
 * vGIF), how it enters (GIF, its IF, an STI right before VMRUN) and how L2 stands (IF, the interrupt shadow). Each
 * function `..._demand` below is the manual's answer for one source:
 *
 *	physical interrupt	APM 2, "Physical (INTR) Interrupt Masking in EFLAGS", "INTR Intercept"
 *	virtual interrupt	APM 2, "Injecting Virtual (INTR) Interrupts", "Virtual Interrupt Intercept"
 *	either, with vGIF	APM 2, "Virtual GIF"
 *
 * The bugs that taught it. Most cases of nested SVM have one L1 in mind, which enters with GIF 0, intercepts all that
 * comes from outside and sets V_INTR_MASKING, as KVM does. QEMU's, Xen's, Bochs's and KVM's own defects lie in the
 * combinations beside that: Bochs knows no V_INTR_MASKING, KVM 6.1 lets a vector of its own into an L2 that L1 leaves
 * unmasked, KVM 5.10 never gets on while an interrupt waits.
 *
 * Several events at once are svm_order.c's, an L2 in HLT is svm_halted.c's. Each case is a product (nested/product.h). A buggy hypervisor shows the combinations that went another way.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#include "whose.h"

#define RULE_INTR \
	"APM 2, Physical (INTR) Interrupt Masking in EFLAGS: V_INTR_MASKING says whose IF masks, the intercept says who gets it"
#define RULE_SHADOW \
	"APM 2, Interrupt Shadows: VMRUN loads INTERRUPT_SHADOW, and the instruction in it recognizes no interrupts"
#define RULE_V_IRQ \
	"APM 2, Injecting Virtual (INTR) Interrupts: taken if IF, GIF, V_TPR and the interrupt shadow allow it"
#define RULE_VINTR \
	"APM 2, Virtual Interrupt Intercept: taken just before the interrupt, which stays pending in V_IRQ"

/* -- Physical interrupts. ---------------------------------------------------------------------- */

enum {
	HOST_IF = 1 << 2, /* L1's at VMRUN, by POPF well before it */
	STI = 1 << 3,	  /* ... by STI right before it instead */
	GIF = 1 << 4,	  /* L1 has set GIF before VMRUN */
};

static const char *const intr_axes[] = {"if", "masking", "host_if", "sti", "gif", NULL};

static bool intr_demand(unsigned c, struct text *out)
{
	bool masking = c & MASKING, host_if = c & (HOST_IF | STI);
	const char *at = masking ? "target" : opens_at(c & IF, wish.shadow);

	if ((c & HOST_IF && c & STI) || (c & MASKING) != wish.part)
		return false;
	if (c & HOST_IF && c & GIF)
		text_append(out, "L1 intr 0x91@vmrun"); /* nothing holds it back any longer */
	else if (masking && !host_if)
		text_append(out, "L1 intr 0x91");
	else if (wish.intr)
		text_append(out, "exit INTR@%s, L1 intr 0x91", at);
	else
		text_append(out, "intr 0x91@%s", at);
	return true;
}

/* At the first call; at the second L1 takes what has not come yet. */
static void pend(struct l2 *v)
{
	if (v->exits > 1) {
		l2_window(true);
		return;
	}
	interrupt_pending(PHYSICAL);
	if (wish.shadow)
		v->vmcb->int_state |= SVM_INTERRUPT_SHADOW;
	if (now & MASKING)
		v->vmcb->int_control |= SVM_V_INTR_MASKING;
	l2_setup.host_rflags = now & HOST_IF ? X86_EFLAGS_IF : 0;
	svm_sti_before_vmrun = now & STI;
	if (now & GIF)
		stgi();
}

static void prepare_intr(unsigned combination)
{
	begin(combination);
	l2_setup.on_call = pend;
	l2_setup.on_exit = take_intr;
}

static const struct product intr = {
	.axes = intr_axes,
	.snippet = &stretch,
	.demand = intr_demand,
	.prepare = prepare_intr,
};

static void try_intr(struct wish of_case)
{
	apic_enable(0);
	notation_name("vmrun", (uint64_t)svm_vmrun_insn, svm_vmrun_next - svm_vmrun_insn);
	wish = of_case;
	product_run(&intr);
}

#define INTERRUPT(name, rule, bugs, ...)              \
	CASE_NEEDS("apic=1", name, CPL0, rule, bugs)  \
	{                                             \
		try_intr((struct wish){__VA_ARGS__}); \
	}

#define BUGS_SPIN CATCHES("tcg-pending-at-vmrun nsvm-masked-intr-spins")
#define BUGS_MASKING CATCHES("bochs-intr-masking nsvm-window-vector nsvm-masked-intr-spins")

INTERRUPT(intr_intercepted, RULE_INTR, BUGS_SPIN, .intr = true)
INTERRUPT(intr_not_intercepted, RULE_INTR, CATCHES("tcg-pending-at-vmrun"), )
INTERRUPT(intr_intercepted_masking, RULE_INTR, BUGS_MASKING, .intr = true, .part = MASKING)
INTERRUPT(intr_not_intercepted_masking, RULE_INTR, BUGS_MASKING, .part = MASKING)

/* Does L2's shadow hold back what L1's IF alone decides on? The manual does not say; so without V_INTR_MASKING. */
INTERRUPT(intr_intercepted_in_shadow, RULE_SHADOW,
	  CATCHES("tcg-vmrun-shadow nsvm-sti-shadow-reflect nsvm-masked-intr-spins"), .intr = true,
	  .shadow = true)
INTERRUPT(intr_not_intercepted_in_shadow, RULE_SHADOW, CATCHES("tcg-vmrun-shadow"), .shadow = true)

/* -- Virtual interrupts. ----------------------------------------------------------------------- */

/* All of priority 5, with V_TPR 4 or 6; that they are equal is svm_interrupts.c's. */
enum {
	TPR = 1 << 2,	     /* V_TPR holds it back */
	IGNORE_TPR = 1 << 3, /* V_IGN_TPR */
	HOST_IF_TOO = 1 << 4,
};

static const char *const v_irq_axes[] = {"if", "masking", "tpr", "ignore_tpr", "host_if", NULL};

/* V_IRQ as L1 finds it behind L2's last instruction. */
static bool v_irq_left;

static bool v_irq_demand(unsigned c, struct text *out)
{
	bool held = c & TPR && !(c & IGNORE_TPR);

	if (held != (wish.part == TPR))
		return false;
	if (held)
		text_append(out, "(none)");
	else if (wish.vintr)
		text_append(out, "exit VINTR@%s, extint 0xa1@%s", opens_at(c & IF, wish.shadow),
			    opens_at(c & IF, wish.shadow));
	else
		text_append(out, "extint 0xa1@%s", opens_at(c & IF, wish.shadow));
	text_append(out, ", V_IRQ %u", held);
	return true;
}

static void make_virtual(struct l2 *v)
{
	if (v->exits > 1) {
		v_irq_left = v->vmcb->int_control & SVM_V_IRQ;
		v->vmcb->int_control &= ~SVM_V_IRQ;
		return;
	}
	if (wish.shadow)
		v->vmcb->int_state |= SVM_INTERRUPT_SHADOW;
	l2_setup.host_rflags = now & HOST_IF_TOO ? X86_EFLAGS_IF : 0;
	v->vmcb->v_intr_vector = VIRTUAL;
	v->vmcb->int_control |= SVM_V_IRQ | SVM_V_PRIORITY(5) | (now & TPR ? 6 : 4) |
				(now & MASKING ? SVM_V_INTR_MASKING : 0) |
				(now & IGNORE_TPR ? SVM_V_IGNORE_TPR : 0);
}

static void prepare_v_irq(unsigned combination)
{
	begin(combination);
	v_irq_left = false;
	l2_setup.on_call = make_virtual;
	l2_setup.on_exit = let_it_through;
}

static void add_v_irq(unsigned combination, struct text *out)
{
	(void)combination;
	text_append(out, ", V_IRQ %u", v_irq_left);
}

static const struct product v_irq = {
	.axes = v_irq_axes,
	.snippet = &stretch,
	.demand = v_irq_demand,
	.prepare = prepare_v_irq,
	.finish = add_v_irq,
};

static void try_v_irq(bool intercepted, bool shadow, unsigned part)
{
	wish = (struct wish){.vintr = intercepted, .shadow = shadow, .part = part};
	product_run(&v_irq);
}

CASE(v_irq, CPL0, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	try_v_irq(false, false, 0);
}

CASE(v_irq_in_shadow, CPL0, RULE_SHADOW, CATCHES("bochs-v-irq tcg-vmrun-shadow"))
{
	try_v_irq(false, true, 0);
}

CASE(vintr, CPL0, RULE_VINTR, CATCHES("bochs-v-irq"))
{
	try_v_irq(true, false, 0);
}

CASE(vintr_in_shadow, CPL0, RULE_SHADOW, CATCHES("bochs-v-irq tcg-vmrun-shadow"))
{
	try_v_irq(true, true, 0);
}

CASE(v_irq_held_by_tpr, CPL0, RULE_V_IRQ, CATCHES("nsvm-v-tpr"))
{
	try_v_irq(false, false, TPR);
}

CASE(vintr_held_by_tpr, CPL0, RULE_VINTR, CATCHES("nsvm-v-tpr"))
{
	try_v_irq(true, false, TPR);
}

/* -- A virtual GIF. ---------------------------------------------------------------------------- */

SNIPPET(gif_stretch, "mark call; vmmcall; mark target; nop; mark after; stgi; mark open; nop; clgi; "
		     "mark again; vmmcall; mark last; nop");

#define CPUID_SVM 0x8000000a
#define SVM_FEATURE_V_GIF (1u << 16)

enum {
	V_GIF = 1 << 2,	     /* set already at VMRUN */
	IS_VIRTUAL = 1 << 3, /* the interrupt */
};

static const char *const v_gif_axes[] = {"if", "masking", "v_gif", "virtual", NULL};

/* L2's STGI sets V_GIF, its CLGI clears it; physical interrupts do not ask for it. */
static bool v_gif_demand(unsigned c, struct text *out)
{
	if (!(c & IS_VIRTUAL))
		text_append(out, c & IF && !(c & MASKING) ? "intr 0x91@target" : "L1 intr 0x91");
	else if (c & IF)
		text_append(out, "extint 0xa1@%s", c & V_GIF ? "target" : "open");
	else
		text_append(out, "(none)");
	text_append(out, ", V_IRQ %u, V_GIF 0", c & IS_VIRTUAL && !(c & IF));
	return true;
}

static bool v_gif_left;

static void make_v_gif(struct l2 *v)
{
	if (v->exits > 1) {
		v_irq_left = v->vmcb->int_control & SVM_V_IRQ;
		v_gif_left = v->vmcb->int_control & SVM_V_GIF;
		v->vmcb->int_control &= ~(SVM_V_IRQ | SVM_V_GIF_ENABLE);
		l2_window(true);
		return;
	}
	v->vmcb->int_control |= SVM_V_GIF_ENABLE | (now & V_GIF ? SVM_V_GIF : 0) |
				(now & MASKING ? SVM_V_INTR_MASKING : 0);
	if (now & IS_VIRTUAL) {
		v->vmcb->v_intr_vector = VIRTUAL;
		v->vmcb->int_control |= SVM_V_IRQ | SVM_V_PRIORITY(5);
	} else {
		interrupt_pending(PHYSICAL);
	}
}

static void prepare_v_gif(unsigned combination)
{
	begin(combination);
	v_irq_left = v_gif_left = false;
	l2_setup.on_call = make_v_gif;
}

static void add_v_gif(unsigned combination, struct text *out)
{
	(void)combination;
	text_append(out, ", V_IRQ %u, V_GIF %u", v_irq_left, v_gif_left);
}

static const struct product v_gif = {
	.axes = v_gif_axes,
	.snippet = &gif_stretch,
	.demand = v_gif_demand,
	.prepare = prepare_v_gif,
	.finish = add_v_gif,
};

CASE_NEEDS(
	"apic=1", v_gif, CPL0,
	"APM 2, Virtual GIF: STGI and CLGI of the guest move V_GIF, which holds back virtual interrupts alone",
	CATCHES("nsvm-window-vector"))
{
	need_of_machine(cpuid(CPUID_SVM, 0).d & SVM_FEATURE_V_GIF, "vGIF");
	apic_enable(0);
	wish = (struct wish){0};
	product_run(&v_gif);
}
