/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An L2 that is entered asleep: activity state HLT.
 *
 * The rule (SDM 3C, "Activity State", "Delivery of Events after VM Entry", "Checks on Guest Non-Register
 * State"). L2 in HLT sleeps until something that it can take comes, a pending debug exception included. Only
 * interrupts, NMIs, #DB and #MC can be injected into it, it cannot be in a shadow, nor in user mode.
 *
 * The bugs that taught it. KVM lost an interrupt that was pending when L1 entered an L2 in HLT (2018), and lets one
 * sleep that is in a shadow or in user mode. Bochs takes any event for injection, and sleeps over a pending #DB.
 *
 * SVM has no activity state: its L2 executes HLT, which L1 intercepts (svm_intercept/hlt). A buggy hypervisor
 * sleeps, which the watchdog shows as `exit INTR`, or shows an exit INVALID_GUEST too many or too few.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_ACTIVITY \
	"SDM 3C, Activity State, and Delivery of Events after VM Entry: an L2 in HLT is woken by what it can take"
#define RULE_BS \
	"SDM 3C, Checks on Guest Non-Register State: in a shadow or in HLT, pending BS must say what RFLAGS.TF says"
#define RULE_NO_HLT \
	"SDM 3C, Checks on Guest Non-Register State: an L2 in a shadow or at CPL 3 cannot be in HLT; exit reason 33"

#define CALL "vmcall"
#include "vmx_state.h"

SNIPPET(call, "mark call; vmcall; mark target; nop; mark after; nop; mark third; nop");

CASE_NEEDS("apic=1", hlt_woken, CPL0, RULE_ACTIVITY, CATCHES("kvm-nvmx-pending"))
{
	nothing_in();
	apic_enable(0);
	in.activity = ACTIVITY_HLT;
	in.rflags = X86_EFLAGS_IF;
	in.pend = true;
	expect("intr 0x31@target");
	run(call);
}

CASE(hlt_injected, CPL0, RULE_ACTIVITY, "")
{
	static const uint32_t wakes[] = {L2_INTR | 0x50, L2_NMI | VECTOR_NMI,
					 L2_EXCEPTION | VECTOR_DB, L2_EXCEPTION | VECTOR_MC};

	expect("extint 0x50@target; nmi@target; #DB[]@target; #MC@target");
	for (unsigned i = 0; i < sizeof(wakes) / sizeof(wakes[0]); i++) {
		nothing_in();
		in.activity = ACTIVITY_HLT;
		in.rflags = X86_EFLAGS_IF;
		in.event = wakes[i];
		setup.leave_after = 1;
		run(call);
	}
}

/* Whoever goes to sleep where he must not is woken by an exit, and shows it. */
#define WATCHDOG 0x22
#define SLEEP_TICKS 200000 /* longer than a refused entry takes on Bochs */

static enum l2_action wake(struct l2 *v)
{
	if (vmx_reason(v) != VMX_EXTERNAL_INTERRUPT)
		return L2_UNEXPECTED;
	l2_show_exit(v);
	l2_window(true);
	return L2_END;
}

static void try_sleep_in_shadow(uint64_t rflags, uint32_t pending, uint32_t interruptibility)
{
	nothing_in();
	in.activity = ACTIVITY_HLT;
	in.interruptibility = interruptibility;
	in.rflags = rflags | X86_EFLAGS_IF;
	in.pending_debug = pending;
	in.pin = PIN_EXTERNAL_INTERRUPT;
	l2_setup.on_exit = wake;
	timer_start(WATCHDOG, SLEEP_TICKS);
	run(call);
	timer_stop();
}

static void try_sleep(uint64_t rflags, uint32_t pending)
{
	try_sleep_in_shadow(rflags, pending, 0);
}

CASE_NEEDS("apic=1", hlt_sleeps, CPL0, RULE_ACTIVITY, "")
{
	expect("exit INTR@target, L1 intr 0x22");
	try_sleep(0, 0);
}

CASE_NEEDS("apic=1", hlt_pending_debug, CPL0,
	   "SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: they wake an L2 in HLT",
	   CATCHES("bochs-hlt-pending-debug"))
{
	expect("#DB[BS]@target, #DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	try_sleep(X86_EFLAGS_TF, DR6_BS);
}

CASE_NEEDS("apic=1", hlt_tf_without_bs, CPL0, RULE_BS, CATCHES("bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_sleep(X86_EFLAGS_TF, 0);
}

CASE_NEEDS("apic=1", hlt_in_shadow, CPL0, RULE_NO_HLT, CATCHES("kvm-nvmx-hlt-unchecked"))
{
	expect("exit INVALID_GUEST x2");
	try_sleep_in_shadow(0, 0, BLOCKED_BY_STI);
	try_sleep_in_shadow(0, 0, BLOCKED_BY_MOV_SS);
}

CASE_NEEDS("apic=1", hlt_of_user, CPL3 | COMPAT, RULE_NO_HLT, CATCHES("kvm-nvmx-hlt-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_sleep(0, 0);
}
