/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An L2 that executes HLT, and what ends it.
 *
 * The rule (SDM 3C, "Instructions That Cause VM Exits Conditionally", "Activity State", "Architectural State Before a
 * VM Exit", "Saving Non-Register State"). With HLT exiting HLT is an exit, in the shadow of an STI before it. Without,
 * L2 sleeps until an interrupt, a window or the preemption timer, and each comes behind the HLT, to whoever gets it.
 * An interrupt or the timer that exits has not woken L2: the activity state says HLT, and L1 that resumes L2 as
 * it is lets it sleep on.
 *
 * The bugs that taught it. Bochs to 3.0 saves the active state there, so that a resumed L2 runs on without the event
 * that it was waiting for.
 *
 * An L2 that is entered asleep is vmx_activity.c's. Each case is a product (nested/product.h). A buggy hypervisor
 * shows the watchdog's interrupt, or an exit too many.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#include "whose.h"

#define RULE_HLT \
	"SDM 3C, Instructions That Cause VM Exits Conditionally, Activity State: an interrupt ends HLT, whoever gets it; with HLT exiting it is not executed"
#define RULE_ACTIVITY \
	"SDM 3C, Architectural State Before a VM Exit, Saving Non-Register State: an event that exits directly has not ended HLT; the activity state says so"
#define RULE_TIMER "SDM 3C, VMX-Preemption Timer: it ends HLT by an exit"

enum {
	HLT = 1 << 0, /* exits */
	INTR = 1 << 1,
	WAITS = 1 << 2, /* the interrupt has been pending before HLT */
	OPENING = 1 << 3,
};

static const char *const axes[] = {"hlt_exiting", "intr_exiting", "waits", "window", NULL};

/* Those combinations that a case is about: where the activity state is told, or the others. */
static bool wish_activity;

/* L2 sleeps until an interrupt exits. */
static bool exits_asleep(unsigned c)
{
	return c & INTR && !(c & (HLT | OPENING));
}

static bool demand(unsigned c, struct text *out)
{
	separator = "";
	if (c & INTR && c & WAITS)
		return false; /* before the HLT: vmx_whose.c */
	if (c & OPENING && !(c & (WAITS | HLT)))
		return false; /* at no particular place: L2 goes on behind the window's exit */
	if (c & HLT)
		then(out, "exit HLT", "halt");
	if (c & OPENING)
		then(out, "exit INTR_WINDOW", "woken");
	if (c & INTR) {
		then(out, "exit INTR", "woken");
		text_append(out, ", L1 intr 0x91");
	} else {
		then(out, "intr 0x91", "woken");
	}
	if (c & HLT)
		text_append(out, ", shadow 1");
	if (wish_activity && exits_asleep(c))
		text_append(out, ", activity 1");
	return wish_activity == exits_asleep(c);
}

static uint64_t activity, shadow;

static void send_waker(struct l2 *v)
{
	if (v->exits > 1) {
		timer_stop();
		l2_window(true);
		return;
	}
	ask_for_it();
	if (now & WAITS)
		interrupt_pending(PHYSICAL);
	else
		timer_start(PHYSICAL, SOON);
}

/* L1 sleeps in L2's place, or takes what has woken it and lets it go on. */
static enum l2_action halt(struct l2 *v)
{
	if (vmx_reason(v) != VMX_HLT) {
		activity = vmread(VMCS_GUEST_ACTIVITY);
		vmwrite(VMCS_GUEST_ACTIVITY, 0);
		return take_each(v);
	}
	judge_exit();
	shadow = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	vmclear_bits(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI);
	l2_set(v, L2_RIP, l2_get(v, L2_RIP) + vmread(VMCS_EXIT_LENGTH));
	if (!(now & WAITS))
		await(apic_bit(APIC_IRR, PHYSICAL), "the timer's interrupt");
	return L2_RESUME;
}

static void prepare(unsigned combination)
{
	want_nothing(combination);
	activity = shadow = 0;
	want.pin = combination & INTR ? PIN_EXTERNAL_INTERRUPT : 0;
	want.cpu = (combination & HLT ? CPU_HLT : 0) |
		   (combination & OPENING ? CPU_INTERRUPT_WINDOW : 0);
	l2_setup.on_call = send_waker;
	l2_setup.on_exit = halt;
}

static void finish(unsigned combination, struct text *out)
{
	if (combination & HLT)
		text_append(out, ", shadow %u", shadow == BLOCKED_BY_STI);
	if (exits_asleep(combination))
		text_append(out, ", activity %lu", activity);
}

static const struct product hlt = {
	.axes = axes,
	.snippet = &sleep,
	.demand = demand,
	.prepare = prepare,
	.finish = finish,
};

CASE_NEEDS("apic=1", hlt, CPL0, RULE_HLT, CATCHES("kvm-nvmx-window-behind-hlt"))
{
	apic_enable(0);
	wish_activity = false;
	product_run(&hlt);
}

CASE_NEEDS("apic=1", exit_from_hlt, CPL0, RULE_ACTIVITY, CATCHES("bochs-hlt-exit-activity"))
{
	apic_enable(0);
	wish_activity = true;
	product_run(&hlt);
}

/* -- By the preemption timer. ------------------------------------------------------------------ */

#define TICKS 20000 /* of the TSC, at the least */

static void start_preemption_timer(struct l2 *v)
{
	if (v->exits > 1)
		return;
	want.pin = PIN_PREEMPTION_TIMER;
	want.timer = TICKS;
	ask_for_it();
}

CASE(timer, CPL0, RULE_TIMER, "")
{
	need_of_machine(has_timer(), "VMX-preemption timer");
	want_nothing(0);
	activity = ~0ul;
	l2_setup.on_call = start_preemption_timer;
	l2_setup.on_exit = halt;
	run(sleep);
	expect("exit PREEMPTION_TIMER@woken; activity=0x1");
	observe("activity", activity);
}
