/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * External interrupts while L2 runs, and the window that L1 waits for to inject one.
 *
 * The rule (SDM 3C, "Other Causes of VM Exits", "Vectored-Event Information"). With external-interrupt exiting
 * L2's IF means nothing; the interrupt stays pending, or is acknowledged by the exit, as L1 chose. Without it
 * interrupts are L2's, by its own IF. The window opens at the first boundary where L2 could take an interrupt,
 * and before an external interrupt.
 *
 * The bugs that taught it. KVM lost interrupts that were pending when L1 entered L2 (2018). Bochs looks at them
 * only after L2's next event, where IF is 0 at the entry.
 *
 * What SVM has alike is in interrupts.h. A buggy hypervisor shows an event in the place of `exit ...`, or an
 * exit one instruction early or late.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_INTR \
	"SDM 3C, Other Causes of VM Exits: an external interrupt exits whatever RFLAGS.IF says, and stays pending if it is not acknowledged"
#define RULE_ACK \
	"SDM 3C, Vectored-Event Information: acknowledged on exit, the interrupt's vector is in the exit's information and in service"
#define RULE_WINDOW \
	"SDM 3C, Other Causes of VM Exits: a window's exit comes at the first boundary where the event could be taken, and before an external interrupt"

#define BUGS_INTR ""

#define CALL "vmcall"

#include "vmx_state.h"

static bool is_interrupt_exit(const struct l2 *v)
{
	return vmx_reason(v) == VMX_EXTERNAL_INTERRUPT;
}

static void try_interrupt(void);

#include "../nested/interrupts.h"

/* -- External interrupts. ---------------------------------------------------------------------- */

static uint32_t event_at_exit;

static enum l2_action note_and_take_interrupt(struct l2 *v)
{
	event_at_exit = vmread(VMCS_EXIT_EVENT);
	return take_interrupt(v);
}

static void try_exit(const struct snippet *snippet, uint32_t exit_controls, uint32_t event)
{
	apic_enable(0);
	memset(&at_exit, 0, sizeof(at_exit));
	event_at_exit = ~0u;
	in.pin = PIN_EXTERNAL_INTERRUPT;
	in.exit = exit_controls;
	l2_setup.on_exit = note_and_take_interrupt;
	l2_setup.show_exits = true;
	run_snippet(snippet);
	check(event ? event_at_exit == event : !(event_at_exit & L2_EVENT_VALID),
	      "the exit's information is %#x", event_at_exit);
}

static void try_interrupt(void)
{
	nothing_in();
	in.pend = true;
	try_exit(&call_again, 0, 0);
}

CASE_NEEDS("apic=1", intr_if0, IN_LONG_MODE, RULE_INTR, CATCHES("bochs-vmentry-pending-intr"))
{
	expect("exit INTR@target, L1 intr 0x31");
	try_interrupt();
}

SNIPPET_SEND(send);

/* It comes while L2 runs: L2 sends it to itself. */
CASE_NEEDS("apic=1", intr_if0_sent, IN_LONG_MODE, RULE_INTR, CATCHES("bochs-vmentry-pending-intr"))
{
	nothing_in();
	sends(ICR_SELF | ICR_FIXED | PENDING_VECTOR);
	expect("exit INTR@sent, L1 intr 0x31, #BP@after");
	try_exit(&send, 0, 0);
}

CASE_NEEDS("apic=1", intr_acknowledged, IN_LONG_MODE, RULE_ACK, "")
{
	setup.rflags = X86_EFLAGS_IF;
	nothing_in();
	in.pend = true;
	expect("exit INTR@target");
	try_exit(&call_again, EXIT_ACK_INTERRUPT, L2_EVENT_VALID | L2_INTR | PENDING_VECTOR);
	check(!at_exit.in_irr && at_exit.in_isr, "at the exit the interrupt is not in ISR alone");
}

CASE_NEEDS(
	"apic=1", intr_not_intercepted, IN_LONG_MODE,
	"SDM 3C, Event Blocking: without external-interrupt exiting interrupts are the guest's, by its IF",
	"")
{
	apic_enable(0);
	nothing_in();
	in.pend = true;
	setup.rflags = X86_EFLAGS_IF;
	l2_setup.show_exits = true;
	expect("intr 0x31@target");
	run(call_again);
}

/* -- The window. ------------------------------------------------------------------------------- */

static void try_window(const struct snippet *snippet, uint32_t interruptibility)
{
	nothing_in();
	in.interruptibility = interruptibility;
	in.cpu = CPU_INTERRUPT_WINDOW;
	run_snippet(snippet);
}

CASE(window, IN_LONG_MODE, RULE_WINDOW, "")
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR_WINDOW@target");
	try_window(&call_again, 0);
}

CASE(window_if0, IN_LONG_MODE, RULE_WINDOW, "")
{
	expect("(none)");
	try_window(&call_again, 0);
}

CASE(window_behind_sti, IN_LONG_MODE, RULE_WINDOW, "")
{
	grant_iopl();
	expect("exit INTR_WINDOW@after");
	try_window(&call_sti, 0);
}

CASE(window_behind_shadow, IN_LONG_MODE, RULE_WINDOW, "")
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR_WINDOW@after x2");
	try_window(&call_again, BLOCKED_BY_STI);
	try_window(&call_again, BLOCKED_BY_MOV_SS);
}

CASE_NEEDS("apic=1", window_before_interrupt, IN_LONG_MODE, RULE_WINDOW, "")
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR_WINDOW@target");
	nothing_in();
	in.pin = PIN_EXTERNAL_INTERRUPT;
	in.cpu = CPU_INTERRUPT_WINDOW;
	in.pend = true;
	run(call_again);
	interrupts_drain();
}
