/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What VM entries and exits carry between L1 and L2, and what they must not: TF, RF, the interrupt shadow, DR7.
 *
 * The rule (SDM 3C, "Saving RIP, RSP, RFLAGS, and SSP", "Guest Non-Register State"). The shadow of STI or MOV SS
 * is in the interruptibility state, saved at an exit and in force again at an entry; both at once, or the one
 * of STI with IF clear, fail the entry. L2's TF traps after its first instruction, its RF spares that one a
 * breakpoint. An exit gives L1 a DR7 with nothing enabled, L2's is in the VMCS. L1 cannot enter L2 in a shadow
 * of MOV SS.
 *
 * The bugs that taught it. Bochs leaves a single step of L2's pending at an exit. Xen let an L1 enter in the
 * shadow of MOV SS.
 *
 * What SVM carries as well is in carried_state.h, TF in a shadow in vmx_pending_debug.c. A buggy hypervisor shows an
 * exit INVALID_... too many or too few, or a #DB or an interrupt one instruction early, late or never.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_GUEST_TF \
	"SDM 3C, Saving RIP, RSP, RFLAGS, and SSP: the guest's TF is in its own RFLAGS, and does not step L1"
#define RULE_TF_LOADED \
	"SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: TF that an entry loads traps after the first instruction, not before it"
#define RULE_GUEST_RF \
	"SDM 3C, Loading Guest RIP, RSP, RFLAGS, and SSP: RF that an entry loads spares the first instruction a breakpoint"
#define RULE_SHADOW \
	"SDM 3C, Guest Non-Register State: blocking by STI and by MOV SS is saved at an exit and in force again at an entry"
#define RULE_DR7 "SDM 3C, Loading Host Control Registers, Debug Registers, MSRs: DR7 is set to 400H"

#define BUGS_GUEST_TF CATCHES("bochs-exit-pending-bs")
#define BUGS_NO_SHADOW ""
#define BUGS_DR7 ""

#define CALL "vmcall"
#define DR7_AT_EXIT (~0ul)

static void name_places(void)
{
	notation_name("snippet_enter", (uint64_t)snippet_enter, 64);
}

#include "../nested/carried_state.h"
#include "vmx_state.h"

SNIPPET(call_twice, "mark call; vmcall; mark target; nop; mark after; nop; mark again; vmcall; "
		    "mark last; nop");

/* -- The shadow, at an entry. ------------------------------------------------------------------ */

static void try_shadow_kind(const struct snippet *snippet, uint64_t kind)
{
	nothing_in();
	grant_iopl();
	run_snippet(snippet);
	check((out.interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) == kind,
	      "the interruptibility state is %#lx at the exit", out.interruptibility);
}

CASE(shadow_kinds, IN_LONG_MODE, RULE_SHADOW, "")
{
	try_shadow_kind(&sti_call, BLOCKED_BY_STI);
	try_shadow_kind(&movss_call, BLOCKED_BY_MOV_SS);
	try_shadow_kind(&call, 0);
}

static void try_shadow_in(uint32_t kind)
{
	nothing_in();
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	in.interruptibility = kind;
	in.pend = true;
	run(call_twice);
}

CASE_NEEDS("apic=1", shadow_in, IN_LONG_MODE, RULE_SHADOW, "")
{
	expect("intr 0x31@target; intr 0x31@after x2");
	try_shadow_in(0);
	try_shadow_in(BLOCKED_BY_STI);
	try_shadow_in(BLOCKED_BY_MOV_SS);
}

/* -- L1's MOV SS. ------------------------------------------------------------------------------ */

static void behind_mov_ss(struct l2 *v)
{
	(void)v;
	vmx_enter_behind = VMX_BEHIND_MOV_SS;
}

CASE(entry_behind_movss, CPL0,
     "SDM 3C, Basic VM-Entry Checks: an entry in the shadow of MOV SS is VMfail with error 26",
     CATCHES("xen-nested-movss"))
{
	l2_setup.on_call = behind_mov_ss;
	expect("exit BLOCKED_BY_MOV_SS");
	run(call);
}
