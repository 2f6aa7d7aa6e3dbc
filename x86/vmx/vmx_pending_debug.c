/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pending debug exceptions, and TF in a shadow.
 *
 * The rule (SDM 3C, "Checks on Guest Non-Register State", "Delivery of Pending Debug Exceptions after VM Entry",
 * "Saving Non-Register State"). #DBs that are due are in the pending debug exceptions: they come before L2's
 * first instruction, or behind it in the shadow of MOV SS, and not at all if L1 injects an interrupt. In a shadow
 * a pending single step that does not say what TF says fails the entry. At an exit they are those that MOV SS
 * holds back, and clear otherwise.
 *
 * The bugs that taught it. KVM's guest died of a failed VM entry where L2 had TF set in an STI shadow: L0
 * had set the shadow without BS ("Set vmcs.PENDING_DBG.BS on #DB in STI/MOVSS blocking shadow", 5.17).
 * XSA-308 is the same in Xen.
 *
 * SVM has no such field: there L1 injects the #DB itself (l2_trap). A buggy hypervisor shows an exit INVALID_...
 * too many or too few, or a #DB one instruction early, late or never.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_BS \
	"SDM 3C, Checks on Guest Non-Register State: in a shadow or in HLT, pending BS must say what RFLAGS.TF says"
#define RULE_PENDING \
	"SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: before the first instruction, or behind it in the shadow of MOV SS"
#define RULE_PENDING_OUT \
	"SDM 3C, Saving Non-Register State: pending debug exceptions are those that MOV SS holds back, and clear at most other exits"
#define CALL "vmcall"
#include "vmx_state.h"

#define TF X86_EFLAGS_TF
#define IF X86_EFLAGS_IF

SNIPPET(call, "mark call; vmcall; mark target; nop; mark after; nop; mark third; nop");

/* -- In. --------------------------------------------------------------------------------------- */

static void try_pending(uint32_t pending, uint32_t interruptibility, uint64_t rflags)
{
	nothing_in();
	in.pending_debug = pending;
	in.interruptibility = interruptibility;
	in.rflags = rflags;
	run(call);
}

CASE(tf_in_sti_shadow_without_bs, IN_LONG_MODE, RULE_BS,
     CATCHES("kvm-vmx-pending-dbg bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_pending(0, BLOCKED_BY_STI, TF | IF);
}

CASE(tf_in_sti_shadow_with_bs, IN_LONG_MODE, RULE_BS, CATCHES("kvm-vmx-pending-dbg"))
{
	expect("#DB[BS]@target, #DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	try_pending(DR6_BS, BLOCKED_BY_STI, TF | IF);
}

CASE(tf_in_movss_shadow_without_bs, IN_LONG_MODE, RULE_BS,
     CATCHES("kvm-vmx-pending-dbg xsa-308 bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_pending(0, BLOCKED_BY_MOV_SS, TF);
}

CASE(tf_in_movss_shadow_with_bs, IN_LONG_MODE, RULE_PENDING, CATCHES("kvm-vmx-pending-dbg"))
{
	expect("#DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	try_pending(DR6_BS, BLOCKED_BY_MOV_SS, TF);
}

CASE(bs_in_shadow_without_tf, IN_LONG_MODE, RULE_BS, CATCHES("bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST x2");
	try_pending(DR6_BS, BLOCKED_BY_STI, IF);
	try_pending(DR6_BS, BLOCKED_BY_MOV_SS, 0);
}

CASE(pending_bs, IN_LONG_MODE, RULE_PENDING, "")
{
	expect("#DB[BS]@target");
	try_pending(DR6_BS, 0, 0);
}

CASE(pending_breakpoint, IN_LONG_MODE, RULE_PENDING, "")
{
	expect("#DB[B0]@target; #DB[B1,B3,BS]@target");
	try_pending(1 | PENDING_DEBUG_ENABLED, 0, 0);
	try_pending(0xa | PENDING_DEBUG_ENABLED | DR6_BS, 0, 0);
}

/* A match that is not enabled is no reason for a #DB. */
CASE(pending_not_enabled, IN_LONG_MODE, RULE_PENDING, "")
{
	expect("(none)");
	try_pending(1, 0, 0);
}

CASE(pending_behind_movss, IN_LONG_MODE, RULE_PENDING, "")
{
	expect("#DB[B0]@after");
	try_pending(1 | PENDING_DEBUG_ENABLED, BLOCKED_BY_MOV_SS, 0);
}

CASE(pending_and_injected, IN_LONG_MODE,
     "SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: there are none if an external interrupt is injected",
     "")
{
	nothing_in();
	in.pending_debug = DR6_BS;
	in.rflags = IF;
	in.event = L2_INTR | 0x50;
	expect("extint 0x50@target");
	run(call);
}

/* -- Out. -------------------------------------------------------------------------------------- */

SNIPPET(step_call, "mark call; vmcall; mark target; nop; mark after; vmcall; mark last; nop");
SNIPPET(movss_read_call, "mark call; mov (%edi), %ss; vmcall; mark target; nop; mark after; nop");

CASE(nothing_pending_out, IN_LONG_MODE, RULE_PENDING_OUT, CATCHES("bochs-exit-pending-bs"))
{
	nothing_in();
	in.rflags = TF;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(step_call);
	check(!out.pending_debug, "pending debug exceptions are %#lx at the exit",
	      out.pending_debug);
}

static uint16_t selector;

CASE(breakpoint_pending_out, IN_LONG_MODE, RULE_PENDING_OUT, "")
{
	nothing_in();
	selector = stack_selector();
	setup.regs.rdi = (uint64_t)&selector;
	breakpoint_set(0, (uint64_t)&selector, BREAK_ACCESS, 2);
	expect("#DB[B0]@after");
	run(movss_read_call);
	check(out.pending_debug == (1 | PENDING_DEBUG_ENABLED),
	      "pending debug exceptions are %#lx at the exit", out.pending_debug);
	check(out.interruptibility & BLOCKED_BY_MOV_SS, "L2 is not in the shadow of MOV SS");
}
