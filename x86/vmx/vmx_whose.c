/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose an interrupt or an NMI is: L1's by an exit, L2's by its own IDT; and when.
 *
 * The rule. What decides is what L1 asks for (external-interrupt exiting, acknowledge on exit, NMI exiting, virtual
 * NMIs, windows), how it enters (an STI right before VMRESUME) and how L2 stands (IF, blocking by STI, by MOV SS, by
 * NMI). Each function `..._demand` below is the manual's answer for one source:
 *
 *	external interrupt	SDM 3C, "Other Causes of VM Exits", "Event Blocking"
 *	NMI			SDM 3C, the same, and "Pin-Based VM-Execution Controls" for virtual NMIs
 *	windows			SDM 3C, "Interrupt-Window Exiting and Virtual-Interrupt Delivery", "NMI-Window Exiting"
 *
 * With external-interrupt exiting IF does not matter, but "an external interrupt that is not blocked for other reasons"
 * still waits for the shadow of STI or MOV SS to end.
 *
 * The bugs that taught it. Bochs looks at interrupts only after L2's next event, where IF is 0 at the entry. KVM's
 * defects in nested VMX lie where an L1 is not like KVM: no external-interrupt exiting, windows beside pending events.
 *
 * Several at once are vmx_order.c's, an L2 in HLT is vmx_halted.c's. Each case is a product (nested/product.h). A buggy
 * hypervisor shows the combinations that went another way.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#include "whose.h"

#define RULE_INTR \
	"SDM 3C, Other Causes of VM Exits, Event Blocking: with external-interrupt exiting an interrupt exits whatever IF says; without it it is L2's, by its IF"
#define RULE_SHADOW \
	"SDM 3C, Event Blocking, Guest Non-Register State: blocking by STI or MOV SS holds back an interrupt, whoever gets it, for one instruction"
#define RULE_NMI \
	"SDM 3C, Other Causes of VM Exits, Pin-Based VM-Execution Controls: with NMI exiting an NMI exits; blocking by NMI holds it back unless NMIs are virtual"

/* -- Interrupts. ------------------------------------------------------------------------------- */

enum {
	ACK = 1 << 1,	  /* acknowledge interrupt on exit */
	STI = 1 << 2,	  /* of L1, right before VMRESUME */
	OPENING = 1 << 3, /* L1 waits for L2's interrupt window as well */
};

static const char *const intr_axes[] = {"if", "ack", "sti", "window", NULL};

static struct {
	bool exiting, if0; /* combinations with IF clear, or those with IF set */
	uint32_t shadow;   /* L2's */
} wish;

static bool intr_demand(unsigned c, struct text *out)
{
	const char *open = opens_at(c & IF, wish.shadow), *at = wish.shadow ? "after" : "target";

	if (wish.if0 == (c & IF))
		return false;
	separator = "";
	if (c & OPENING && c & IF)
		then(out, "exit INTR_WINDOW", open);
	if (wish.exiting) {
		then(out, "exit INTR", at);
		text_append(out, c & ACK ? "" : ", L1 intr 0x91");
	}
	if (c & OPENING && !(c & IF))
		then(out, "exit INTR_WINDOW", open);
	if (!wish.exiting)
		then(out, "intr 0x91", open);
	return true;
}

/* At the first call; at the second L1 takes what has not come yet. */
static void pend(struct l2 *v)
{
	if (v->exits > 1) {
		vmclear_bits(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
		l2_window(true);
		return;
	}
	interrupt_pending(PHYSICAL);
	ask_for_it();
	if (now & STI)
		vmx_enter_behind = VMX_BEHIND_STI;
}

static enum l2_action take_and_enter_plainly(struct l2 *v)
{
	vmx_enter_behind = VMX_NO_SHADOW;
	return take_each(v);
}

static void prepare_intr(unsigned combination)
{
	want_nothing(combination);
	if (combination & IF)
		setup.rflags = X86_EFLAGS_IF;
	want.pin = wish.exiting ? PIN_EXTERNAL_INTERRUPT : 0;
	want.exit = combination & ACK ? EXIT_ACK_INTERRUPT : 0;
	want.cpu = combination & OPENING ? CPU_INTERRUPT_WINDOW : 0;
	want.interruptibility = wish.shadow;
	l2_setup.on_call = pend;
	l2_setup.on_exit = take_and_enter_plainly;
}

static const struct product intr = {
	.axes = intr_axes,
	.snippet = &stretch,
	.demand = intr_demand,
	.prepare = prepare_intr,
};

#define INTERRUPT(name, rule, bugs, ...)             \
	CASE_NEEDS("apic=1", name, CPL0, rule, bugs) \
	{                                            \
		apic_enable(0);                      \
		wish = (typeof(wish)){__VA_ARGS__};  \
		product_run(&intr);                  \
	}

INTERRUPT(intr_exiting, RULE_INTR, "", .exiting = true)
INTERRUPT(intr_exiting_if0, RULE_INTR, CATCHES("bochs-vmentry-pending-intr"), .exiting = true,
	  .if0 = true)
INTERRUPT(intr_not_exiting, RULE_INTR, "", )
INTERRUPT(intr_not_exiting_if0, RULE_INTR, "", .if0 = true)

/* Blocking by STI with IF clear cannot be entered: vmx_refused_state.c. */
INTERRUPT(intr_exiting_behind_sti, RULE_SHADOW, "", .exiting = true, .shadow = BLOCKED_BY_STI)
INTERRUPT(intr_exiting_behind_mov_ss, RULE_SHADOW, "", .exiting = true, .shadow = BLOCKED_BY_MOV_SS)
INTERRUPT(intr_exiting_behind_mov_ss_if0, RULE_SHADOW, CATCHES("bochs-vmentry-pending-intr"),
	  .exiting = true, .if0 = true, .shadow = BLOCKED_BY_MOV_SS)
INTERRUPT(intr_not_exiting_behind_sti, RULE_SHADOW, "", .shadow = BLOCKED_BY_STI)
INTERRUPT(intr_not_exiting_behind_mov_ss, RULE_SHADOW, "", .shadow = BLOCKED_BY_MOV_SS)
INTERRUPT(intr_not_exiting_behind_mov_ss_if0, RULE_SHADOW, "", .if0 = true,
	  .shadow = BLOCKED_BY_MOV_SS)

/* -- NMIs. ------------------------------------------------------------------------------------- */

#define APIC_ICR_ADDRESS 0xfee00300ul

/* L2 sends it to itself: nothing else than an NMI's own exit would hold one back for L1. */
SNIPPET(send, "mark call; vmcall; mark target; mov %eax, (%edi); area sent; nop; nop; nop; nop; mark insn; int3; "
	      "area last; nop; nop; nop; nop");

enum {
	EXITING = 1 << 1,
	IS_VIRTUAL = 1 << 2,
	BLOCKED = 1 << 3, /* by NMI, in L2's state; IRET behind its INT3 may end that */
	NMI_WINDOW = 1 << 4,
};

static const char *const nmi_axes[] = {"if", "exiting", "virtual", "blocked", "window", NULL};

/* SDM 3C, "Changes to Instruction Behavior": with NMI exiting IRET does not unblock NMIs, but virtual ones. */
static bool nmi_demand(unsigned c, struct text *out)
{
	bool held = c & BLOCKED && !(c & IS_VIRTUAL);

	if ((c & IS_VIRTUAL && !(c & EXITING)) || (c & NMI_WINDOW && !(c & IS_VIRTUAL)))
		return false; /* vmx_refused.c */
	separator = "";
	if (c & NMI_WINDOW && !(c & BLOCKED))
		then(out, "exit NMI_WINDOW", "target");
	if (held)
		then(out, "#BP", "last");
	if (held && c & EXITING)
		text_append(out, ", L1 nmi");
	else
		then(out, c & EXITING ? "exit nmi" : "nmi", held ? "last" : "sent");
	if (!held)
		then(out, "#BP", "last");
	if (c & NMI_WINDOW && c & BLOCKED)
		then(out, "exit NMI_WINDOW", "last");
	return true;
}

static void begin_to_send(struct l2 *v)
{
	(void)v;
	ask_for_it();
}

static void prepare_nmi(unsigned combination)
{
	want_nothing(combination);
	if (combination & IF)
		setup.rflags = X86_EFLAGS_IF;
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	want.pin = (combination & EXITING ? PIN_NMI : 0) |
		   (combination & IS_VIRTUAL ? PIN_VIRTUAL_NMIS : 0);
	want.cpu = combination & NMI_WINDOW ? CPU_NMI_WINDOW : 0;
	want.interruptibility = combination & BLOCKED ? BLOCKED_BY_NMI : 0;
	l2_setup.on_call = begin_to_send;
	l2_setup.on_exit = take_each;
}

static const struct product nmi = {
	.axes = nmi_axes,
	.snippet = &send,
	.demand = nmi_demand,
	.prepare = prepare_nmi,
};

CASE_NEEDS("apic=1", nmi, CPL0, RULE_NMI, CATCHES("kvm-nvmx-blocked-nmi-exits"))
{
	apic_enable(0);
	product_run(&nmi);
}
