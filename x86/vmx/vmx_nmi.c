/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs while L2 runs: for L1, for L2, virtual, injected.
 *
 * The rule (SDM 3C, "Other Causes of VM Exits", "Pin-Based VM-Execution Controls", "Guest Non-Register State",
 * "Event Injection"). With NMI exiting an NMI is an exit. The blocking of NMIs is in the interruptibility state,
 * saved at an exit and in force again at an entry, until IRET. With virtual NMIs that bit is about injected ones
 * alone, and the NMI window opens where it is clear and no MOV SS stands before. An injected NMI blocks the next.
 *
 * The bugs that taught it. In Bochs before 2.8 an NMI that exits blocks the next one in L2 as well, not in L1
 * alone. KVM kept an injected NMI's blocking in L0, where L1 did not see it.
 *
 * What SVM has alike is in nmi_handler.h. A buggy hypervisor shows no NMI, one inside the handler of another, or
 * an exit in the wrong place.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_NMI "SDM 3C, Other Causes of VM Exits: with NMI exiting an NMI is an exit"
#define RULE_EXIT_BLOCKING \
	"SDM 3C, Architectural State Before a VM Exit: an NMI that exits blocks others only when the exit is complete; L2's blocking is what it was"
#define RULE_WINDOW \
	"SDM 3C, Other Causes of VM Exits: a window's exit comes at the first boundary where the event could be taken, and before an external interrupt"
#define RULE_NMI_BLOCKING \
	"SDM 3C, Guest Non-Register State: blocking by NMI is saved at an exit and in force again at an entry, until IRET"
#define RULE_VIRTUAL_NMIS \
	"SDM 3C, Pin-Based VM-Execution Controls: with virtual NMIs, blocking by NMI is about injected ones alone"
#define RULE_NONSENSE \
	"SDM 3C, Checks on the Guest State Area: state that cannot be fails the entry, exit reason 33"
#define RULE_INJECTED \
	"SDM 3C, Event Injection: with virtual NMIs or without, injection of an NMI blocks NMIs"

#define CALL "vmcall"

#include "../nested/nmi_handler.h"
#include "vmx_state.h"

SNIPPET(call_again, "mark call; vmcall; mark target; nop; mark after; nop; mark again; vmcall; mark last; nop");
SNIPPET(send_and_call, "mark call; vmcall; mark target; " SEND "area sent; nop; nop; nop; nop; mark again; "
		       "vmcall; mark last; nop");
SNIPPET(send_twice, "mark call; vmcall; mark target; " SEND "area sent; nop; nop; nop; nop; mark again; " SEND
		    "area sent_again; nop; nop; nop; nop; mark after; nop");
SNIPPET_SEND(send);

/* -- NMI exiting. ------------------------------------------------------------------------------ */

static uint32_t event_at_exit;

/* Then L1 has NMIs blocked: the exit does that, and l2.c ends it. */
static enum l2_action note_nmi(struct l2 *v)
{
	(void)v;
	event_at_exit = vmread(VMCS_EXIT_EVENT);
	return L2_UNEXPECTED;
}

CASE_NEEDS("apic=1", nmi, IN_LONG_MODE, RULE_NMI, "")
{
	nothing_in();
	sends(ICR_NMI);
	event_at_exit = 0;
	in.pin = PIN_NMI;
	l2_setup.on_exit = note_nmi;
	expect("exit nmi@sent");
	run(send);
	check(event_at_exit == (L2_EVENT_VALID | L2_NMI | VECTOR_NMI),
	      "the exit's information is %#x", event_at_exit);
}

/* The exit's own blocking is L1's: L2 has none, and an entry without any ends it. */
static uint64_t blocking_at_exit;
static unsigned nmi_exits;

static enum l2_action count_nmi_exit(struct l2 *v)
{
	if (vmx_reason(v) != VMX_EXCEPTION_OR_NMI)
		return L2_UNEXPECTED;
	blocking_at_exit |= vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI;
	vmclear_bits(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
	nmi_exits++;
	return L2_RESUME;
}

static void try_two_nmis(uint32_t controls)
{
	nothing_in();
	sends(ICR_NMI);
	blocking_at_exit = 0;
	nmi_exits = 0;
	in.pin = controls;
	l2_setup.on_exit = count_nmi_exit;
	l2_setup.show_exits = true;
	expect("exit nmi@sent, exit nmi@sent_again");
	run(send_twice);
	check(nmi_exits == 2, "%u NMIs have exited, not 2", nmi_exits);
	check(!blocking_at_exit, "blocking by NMI is set at the exit of an NMI");
}

CASE_NEEDS("apic=1", nmi_exit_blocks_l1_alone, IN_LONG_MODE, RULE_EXIT_BLOCKING,
	   CATCHES("bochs-nmi-blocking-at-entry"))
{
	try_two_nmis(PIN_NMI);
}

CASE_NEEDS("apic=1", nmi_exit_with_virtual_nmis, IN_LONG_MODE, RULE_EXIT_BLOCKING,
	   CATCHES("bochs-nmi-blocking-at-entry"))
{
	try_two_nmis(PIN_NMI | PIN_VIRTUAL_NMIS);
}

CASE_NEEDS("apic=1", nmi_not_intercepted, IN_LONG_MODE, RULE_NMI, "")
{
	nothing_in();
	sends(ICR_NMI);
	expect("nmi@sent, #BP@after");
	run(send);
}

/* -- The window. ------------------------------------------------------------------------------- */

static void try_nmi_window(uint32_t interruptibility)
{
	nothing_in();
	in.interruptibility = interruptibility;
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.cpu = CPU_NMI_WINDOW;
	run(call_again);
}

CASE(nmi_window, IN_LONG_MODE, RULE_WINDOW, "")
{
	expect("exit NMI_WINDOW@target");
	try_nmi_window(0);
}

CASE(nmi_window_behind_movss, IN_LONG_MODE, RULE_WINDOW, "")
{
	expect("exit NMI_WINDOW@after");
	try_nmi_window(BLOCKED_BY_MOV_SS);
}

/* The snippet has no IRET; the handler of its closing UD2 has one. */
CASE(nmi_window_blocked, IN_LONG_MODE, RULE_WINDOW, "")
{
	notation_name("behind_iret", (uint64_t)snippet_leave, 1);
	expect("exit NMI_WINDOW@behind_iret");
	try_nmi_window(BLOCKED_BY_NMI);
}

/* -- Blocking. --------------------------------------------------------------------------------- */

static uint64_t blocking_in_handler, blocking_behind;

static void note_blocking(struct l2 *v)
{
	uint64_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI;

	if (v->exits == 1)
		put_in(v);
	else if (nmis.depth)
		blocking_in_handler = blocking;
	else
		blocking_behind = blocking;
}

/* L2's handler does this; L1 looks at the blocking there, and behind it. */
static void watch_blocking(void (*in_handler)(void))
{
	nothing_in();
	blocking_in_handler = blocking_behind = ~0ul;
	in_first_nmi(in_handler);
	l2_setup.on_call = note_blocking;
}

static void check_blocking(void)
{
	check(blocking_in_handler == BLOCKED_BY_NMI, "blocking by NMI is clear in the handler");
	check(blocking_behind == 0, "blocking by NMI is set behind the handler's IRET");
}

static void exit_and_send(void)
{
	exit_to_l1();
	send_another();
}

CASE_NEEDS("apic=1", nmi_blocked_across_exit, IN_LONG_MODE, RULE_NMI_BLOCKING, "")
{
	watch_blocking(exit_and_send);
	sends(ICR_NMI);
	expect("nmi@sent, nmi@sent");
	run(send_and_call);
	check_nesting(1);
	check_blocking();
}

CASE_NEEDS("apic=1", nmi_blocked_at_entry, IN_LONG_MODE, RULE_NMI_BLOCKING, "")
{
	nothing_in();
	sends(ICR_NMI);
	in.interruptibility = BLOCKED_BY_NMI;
	expect("#BP@after, nmi@after");
	run(send);
}

CASE(virtual_nmi, IN_LONG_MODE, RULE_VIRTUAL_NMIS, "")
{
	watch_blocking(exit_to_l1);
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.event = L2_NMI | VECTOR_NMI;
	expect("nmi@target");
	run(call_again);
	check_blocking();
}

CASE_NEEDS("apic=1", virtual_blocking_is_virtual, IN_LONG_MODE, RULE_VIRTUAL_NMIS, "")
{
	nothing_in();
	sends(ICR_NMI);
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.interruptibility = BLOCKED_BY_NMI;
	expect("exit nmi@sent");
	run(send);
}

CASE(virtual_nmi_injected_twice, IN_LONG_MODE, RULE_NONSENSE,
     CATCHES("bochs-virtual-nmi-unchecked"))
{
	nothing_in();
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.interruptibility = BLOCKED_BY_NMI;
	in.event = L2_NMI | VECTOR_NMI;
	expect("exit INVALID_GUEST");
	run(call_again);
}

CASE_NEEDS("apic=1", nmi_blocks, CPL0, RULE_INJECTED, "")
{
	nothing_in();
	in_first_nmi(send_another);
	in.event = L2_NMI | VECTOR_NMI;
	allow("SDM 3A, Handling Multiple NMIs: the second comes behind the handler's IRET",
	      "nmi@target, nmi@target");
	allow("SDM 3A, Handling Multiple NMIs: with the boundary behind IRET not among those that take it",
	      "nmi@target, nmi@after");
	run(call_again);
	check_nesting(1);
}
