/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An L2 that is entered in HLT or in shutdown, with events due.
 *
 * The rule (SDM 3C, "Activity State", "VMX-Preemption Timer", "NMI-Window Exiting", "Interrupt-Window Exiting and
 * Virtual-Interrupt Delivery", "Architectural State Before a VM Exit"). In HLT the NMI window, the interrupt window and
 * an interrupt come as they do in an L2 that runs, in that order; where none of them can come, L2 sleeps, until the
 * preemption timer ends that. In shutdown the NMI window comes, as an NMI would; interrupts and their window do not. The
 * exit of the timer has not woken L2: the activity state is what it was.
 *
 * The bugs that taught it. KVM lost an interrupt that was pending when L1 entered an L2 in HLT (2018). Bochs to 3.1
 * does not let the interrupt window wake L2.
 *
 * What cannot be entered is vmx_refused_state.c's, injection into a sleeping L2 vmx_activity.c's, a HLT that L2 executes
 * vmx_halted.c's. Each case is a product (nested/product.h). A buggy hypervisor shows the timer's exit in the place of
 * another, or another in its place.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#include "whose.h"

#define RULE_HLT \
	"SDM 3C, Activity State, NMI-Window Exiting, Interrupt-Window Exiting: an L2 in HLT is woken by what it can take"
#define RULE_SHUTDOWN \
	"SDM 3C, Activity State, VMX-Preemption Timer: in shutdown interrupts and their window do not come; the NMI window and the preemption timer do"

#define MSR_VMX_MISC 0x485
#define MISC_ACTIVITY(state) (1u << (5 + (state)))

enum {
	EXITING = 1 << 1, /* external interrupts */
	INTR = 1 << 2,	  /* pending at the entry */
	NMI_WINDOW = 1 << 3,
	OPENING = 1 << 4,
};

static const char *const axes[] = {"if", "intr_exiting", "intr", "nmi_window", "window", NULL};

static struct {
	unsigned state;
	bool if0; /* combinations with IF clear, or those with IF set */
} wish;

#define LONG_ENOUGH 100000 /* of the TSC, at the least */

static bool demand(unsigned c, struct text *out)
{
	bool shut = wish.state == ACTIVITY_SHUTDOWN;

	if (wish.if0 == (c & IF))
		return false;
	if (c & NMI_WINDOW) {
		text_append(out, "exit NMI_WINDOW@target");
	} else if (c & OPENING && c & IF && !shut) {
		text_append(out, "exit INTR_WINDOW@target");
	} else if (c & INTR && c & EXITING && !shut) {
		text_append(out, "exit INTR@target");
	} else if (c & INTR && c & IF && !shut) {
		text_append(out, "intr 0x91@target");
		return true;
	} else {
		text_append(out, "exit PREEMPTION_TIMER@target");
	}
	if (c & INTR)
		text_append(out, ", L1 intr 0x91");
	return true;
}

static void put_to_sleep(struct l2 *v)
{
	if (v->exits > 1)
		return;
	if (now & INTR)
		interrupt_pending(PHYSICAL);
	ask_for_it();
	vmwrite(VMCS_GUEST_ACTIVITY, wish.state);
}

/* The first exit is the last; the windows' activity state is not looked at, as they wake L2. */
static enum l2_action look_and_end(struct l2 *v)
{
	uint64_t activity = vmread(VMCS_GUEST_ACTIVITY);
	uint32_t reason = vmx_reason(v);

	judge_exit();
	if (reason == VMX_PREEMPTION_TIMER)
		check(activity == wish.state, "combination %#x: the activity state is %lu", now,
		      activity);
	l2_window(true);
	return L2_END;
}

static void prepare(unsigned combination)
{
	want_nothing(combination);
	if (combination & IF)
		setup.rflags = X86_EFLAGS_IF;
	want.pin = PIN_PREEMPTION_TIMER | (combination & EXITING ? PIN_EXTERNAL_INTERRUPT : 0) |
		   (combination & NMI_WINDOW ? PIN_NMI | PIN_VIRTUAL_NMIS : 0);
	want.cpu = (combination & NMI_WINDOW ? CPU_NMI_WINDOW : 0) |
		   (combination & OPENING ? CPU_INTERRUPT_WINDOW : 0);
	want.timer = LONG_ENOUGH;
	l2_setup.on_call = put_to_sleep;
	l2_setup.on_exit = look_and_end;
}

/* Behind the interrupt that has woken L2 the timer goes on: the snippet is short enough. */
static const struct product sleepers = {
	.axes = axes,
	.snippet = &stretch,
	.demand = demand,
	.prepare = prepare,
};

static void try_sleep(unsigned state, bool if0)
{
	need_of_machine(has_timer(), "VMX-preemption timer");
	need_of_machine(rdmsr(MSR_VMX_MISC) & MISC_ACTIVITY(state), "activity state %u", state);
	apic_enable(0);
	wish.state = state;
	wish.if0 = if0;
	product_run(&sleepers);
}

CASE_NEEDS("apic=1", hlt, CPL0, RULE_HLT, CATCHES("kvm-nvmx-pending bochs-hlt-window"))
{
	try_sleep(ACTIVITY_HLT, false);
}

CASE_NEEDS("apic=1", hlt_if0, CPL0, RULE_HLT, CATCHES("bochs-vmentry-pending-intr"))
{
	try_sleep(ACTIVITY_HLT, true);
}

CASE_NEEDS("apic=1", shut_down, CPL0, RULE_SHUTDOWN, "")
{
	try_sleep(ACTIVITY_SHUTDOWN, false);
}

CASE_NEEDS("apic=1", shut_down_if0, CPL0, RULE_SHUTDOWN, "")
{
	try_sleep(ACTIVITY_SHUTDOWN, true);
}
