/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several events that are due at once: preemption timer, NMI, windows, interrupt, with an event injected or without.
 *
 * The rule (SDM 3C, "VM-Entry Event Injection", "VMX-Preemption Timer", "NMI-Window Exiting", "Interrupt-Window
 * Exiting and Virtual-Interrupt Delivery"; SDM 3A, "Prioritization of Concurrent Events"). What L1 injects is delivered
 * first, whatever waits. Then, at the boundary where L2 stands: the preemption timer, the NMI window, the NMI, the
 * interrupt window, the interrupt; each is one exit or one event, and takes none of the others with it. What IF or
 * the handler of an earlier event holds back waits.
 *
 * The bugs that taught it. KVM sorts by itself what is pending for an L2 (vmx_check_nested_events), as the CPU below it
 * knows of nothing; each source that it learned of has stood in the wrong place once.
 *
 * Each case is a product (nested/product.h). A buggy hypervisor shows the combinations that went another way.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#include "whose.h"

#define RULE_ORDER \
	"SDM 3C, VMX-Preemption Timer, NMI-Window Exiting, Interrupt-Window Exiting: the timer before the NMI window before the interrupt window before an interrupt"
#define RULE_INJECTED \
	"SDM 3C, VM-Entry Event Injection: the event is delivered first; what is due then is so at its handler's first instruction"
#define RULE_NMI \
	"SDM 3C, Interrupt-Window Exiting: NMIs are before the exit of an interrupt window, and that is before interrupts"

/* -- All of them at an entry. ------------------------------------------------------------------ */

enum {
	NMI_WINDOW = 1 << 1,
	OPENING = 1 << 2,
	INTR = 1 << 3,
};

static const char *const axes[] = {"if", "nmi_window", "window", "intr", NULL};

static struct {
	bool exiting, injected;
	bool timer; /* of preemption, 0 at the entry */
	bool if0;   /* combinations with IF clear, or those with IF set */
} wish;

#define INJECTED_VECTOR 0x50

static bool demand(unsigned c, struct text *out)
{
	/* What does not ask for IF; and where IF lets the rest through. */
	const char *at = wish.injected ? "handler[0x50]" : "target";
	const char *open = opens_at(c & IF, false);
	bool exit_first = !(c & IF) || wish.injected; /* the window is closed there */

	if (wish.if0 == (c & IF))
		return false;
	separator = "";
	if (wish.timer)
		then(out, "exit PREEMPTION_TIMER", at);
	if (c & NMI_WINDOW)
		then(out, "exit NMI_WINDOW", at);
	if (c & OPENING && !exit_first)
		then(out, "exit INTR_WINDOW", at);
	if (c & INTR && wish.exiting) {
		then(out, "exit INTR", at);
		text_append(out, ", L1 intr 0x91");
	}
	if (wish.injected)
		then(out, "extint 0x50", "target");
	if (c & OPENING && exit_first)
		then(out, "exit INTR_WINDOW", open);
	if (c & INTR && !wish.exiting)
		then(out, "intr 0x91", open);
	if (!*separator)
		text_append(out, "(none)");
	return true;
}

static void pend_all(struct l2 *v)
{
	if (v->exits > 1) {
		vmclear_bits(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW | CPU_NMI_WINDOW);
		l2_window(true);
		return;
	}
	if (now & INTR)
		interrupt_pending(PHYSICAL);
	ask_for_it();
	if (wish.injected)
		l2_inject(v, L2_INTR | INJECTED_VECTOR, 0, 0);
}

static void prepare(unsigned combination)
{
	want_nothing(combination);
	if (combination & IF)
		setup.rflags = X86_EFLAGS_IF;
	want.pin = (wish.exiting ? PIN_EXTERNAL_INTERRUPT : 0) |
		   (wish.timer ? PIN_PREEMPTION_TIMER : 0) |
		   (combination & NMI_WINDOW ? PIN_NMI | PIN_VIRTUAL_NMIS : 0);
	want.cpu = (combination & NMI_WINDOW ? CPU_NMI_WINDOW : 0) |
		   (combination & OPENING ? CPU_INTERRUPT_WINDOW : 0);
	l2_setup.on_call = pend_all;
	l2_setup.on_exit = take_each;
}

static const struct product order = {
	.axes = axes,
	.snippet = &stretch,
	.demand = demand,
	.prepare = prepare,
};

static void need_timer(void)
{
	need_of_machine(!wish.timer || has_timer(), "VMX-preemption timer");
}

#define ORDER(name, rule, bugs, ...)                 \
	CASE_NEEDS("apic=1", name, CPL0, rule, bugs) \
	{                                            \
		apic_enable(0);                      \
		wish = (typeof(wish)){__VA_ARGS__};  \
		need_timer();                        \
		product_run(&order);                 \
	}

#define BUGS_TIMER CATCHES("kvm-nvmx-timer-late")
#define BUGS_IF0 CATCHES("bochs-vmentry-pending-intr")

ORDER(exiting, RULE_ORDER, "", .exiting = true)
ORDER(exiting_if0, RULE_ORDER, BUGS_IF0, .exiting = true, .if0 = true)
ORDER(not_exiting, RULE_ORDER, "", )
ORDER(not_exiting_if0, RULE_ORDER, "", .if0 = true)

/* An interrupt, which IF lets in, and whose handler has IF clear. */
ORDER(exiting_and_injected, RULE_INJECTED, BUGS_IF0, .exiting = true, .injected = true)
ORDER(not_exiting_and_injected, RULE_INJECTED, "", .injected = true)

ORDER(timer, RULE_ORDER, BUGS_TIMER, .timer = true)
ORDER(timer_if0, RULE_ORDER, BUGS_TIMER, .timer = true, .if0 = true)
ORDER(timer_and_injected, RULE_INJECTED, BUGS_TIMER, .timer = true, .injected = true)
ORDER(timer_and_exiting, RULE_ORDER, BUGS_TIMER, .timer = true, .exiting = true)

/* -- With an NMI. ------------------------------------------------------------------------------ */

#define APIC_ICR_ADDRESS 0xfee00300ul

/* STI's shadow holds back what needs IF until the NMI is due as well. */
SNIPPET(sti_send, "mark call; vmcall; mark target; sti; mark shadow; mov %eax, (%edi); area sent; nop; nop; nop; nop; "
		  "nop; nop; cli; mark again; vmcall; mark last; nop");

enum {
	NMI = 1 << 0,
	NMI_EXITING = 1 << 1,
	WINDOW_TOO = 1 << 2,
	INTR_TOO = 1 << 3,
};

static const char *const nmi_axes[] = {"nmi", "nmi_exiting", "window", "intr", NULL};

static bool nmi_demand(unsigned c, struct text *out)
{
	if (!(c & (NMI | WINDOW_TOO | INTR_TOO)))
		return false;
	separator = "";
	if (c & NMI)
		then(out, c & NMI_EXITING ? "exit nmi" : "nmi", "sent");
	if (c & WINDOW_TOO)
		then(out, "exit INTR_WINDOW", "sent");
	if (c & INTR_TOO)
		then(out, "intr 0x91", "sent");
	return true;
}

static uint32_t nowhere;

static void prepare_nmi(unsigned combination)
{
	want_nothing(combination);
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = combination & NMI ? APIC_ICR_ADDRESS : (uint64_t)&nowhere;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	want.pin = combination & NMI_EXITING ? PIN_NMI : 0;
	want.cpu = combination & WINDOW_TOO ? CPU_INTERRUPT_WINDOW : 0;
	l2_setup.on_call = pend_all;
	l2_setup.on_exit = take_each;
	now = combination & INTR_TOO ? INTR : 0;
}

static const struct product with_nmi = {
	.axes = nmi_axes,
	.snippet = &sti_send,
	.demand = nmi_demand,
	.prepare = prepare_nmi,
};

CASE_NEEDS("apic=1", with_nmi, CPL0, RULE_NMI, "")
{
	apic_enable(0);
	wish = (typeof(wish)){0};
	product_run(&with_nmi);
}
