/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU in HLT: which event of another CPU wakes it, in which shape, and what it does then.
 *
 * The rule. HLT ends with an interrupt that is enabled, an NMI, an SMI, INIT or RESET; the saved RIP is that of the next
 * instruction, and one event ends it once. An interrupt is not enabled while IF is clear, while its class is not above
 * that of the TPR and of what is in service, or while the local APIC is off: then it wakes nobody, stays in IRR (but for
 * the last, which loses it) and is delivered when nothing holds it back. Of several the highest comes first. STI has
 * its effect behind HLT. SDM 2A, "HLT"; SDM 3A, "Task and Processor Priorities"; APM 3, "HLT".
 *
 * Why a hypervisor must care. A virtual CPU that sleeps is out of the guest: whoever sends has to find it there and wake
 * it, by a way that is not the one to a CPU that runs, and asks "is there a reason to wake" in other words than "is there
 * an interrupt to deliver". Where the two differ, the CPU sleeps for ever, or runs on behind HLT without an event.
 *
 * What a buggy hypervisor shows: `intr 0x31@woken`, the later interrupt, where the one under test did not wake it; `slept=0x0`
 * where a masked one did; an event `@halt` whose saved RIP is that of HLT.
 *
 * The receiver is CPU 1. That it sleeps is its witness: CPU 0 waits a moment behind its last word, and an event that
 * found it before HLT (`@before`) is taken back and sent anew. This file is also the guest halted_x2apic.
 */
#include "trapline.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_WAKES \
	"SDM 2A, HLT: an enabled interrupt or an NMI ends it, and the saved RIP is behind it"
#define RULE_IF "SDM 2A, HLT: an interrupt that IF masks does not end it; it stays in IRR"
#define RULE_PRIORITY \
	"SDM 3A, Task and Processor Priorities: what TPR or an interrupt in service holds back is not delivered, and does not end HLT"
#define RULE_OFF \
	"SDM 3A, Local APIC State After It Has Been Software Disabled: a fixed interrupt is refused, an NMI taken"
#define RULE_ORDER "SDM 3A, Interrupt Priority: the highest pending vector is delivered first"

#define V 0x41
#define HIGHER 0x91
#define LATER 0x31
#define ICR_LOWEST 0x100
#define CPU_1 (percpu[1].apic_id)

/* EBX: two counters, of runs that are about to sleep and of those that were woken. */
#define SLEEP "mark halt; hlt; mark woken; lock incl 4(%ebx); "
#define READY "area before; lock incl (%ebx); "
SNIPPET(sleep_sti, READY "sti; " SLEEP WAIT);
SNIPPET(sleep_on, READY "nop; " SLEEP WAIT);
SNIPPET(sleep_off, READY "nop; " SLEEP "sti; nop; " WAIT);
SNIPPET(sleep_twice, "sti; hlt; mark woken; hlt; mark again; nop; " WAIT);
SNIPPET(held, "area off; sti; nop; " WAIT);

static struct {
	volatile uint32_t ready, woken;
	volatile bool sent;
} round;

/* What CPU 1 is asked to do. */
static struct {
	const struct snippet *snippet;
	uint64_t rflags;
	unsigned events; /* until it goes on */
	void (*before)(void);
	void (*after)(void);
} plan;

static void take_part(void *argument)
{
	(void)argument;
	if (plan.before)
		plan.before();
	run_until_interrupts(plan.snippet, plan.events);
	if (plan.after) {
		await(round.sent, "CPU 0 to send everything");
		plan.after();
	}
	if (this_recording()->in_vain)
		interrupts_drain();
}

#define MOMENT (args.deadline / 768)

/* Time for CPU 1 to get from its last word to HLT. */
static void moment(void)
{
	struct wait wait = wait_begin(MOMENT, 64, 1ul << 11);

	while (wait_goes_on(&wait))
		;
}

/* CPU 1 is in HLT, as far as one can tell from outside. */
static void put_to_sleep(void)
{
	memset((void *)&round, 0, sizeof(round));
	setup.regs.rbx = (uint64_t)&round;
	setup.rflags = plan.rflags;
	cpu_start_work(1, take_part, NULL);
	await(round.ready, "CPU 1 to get ready");
	moment();
}

static void send(uint32_t destination, uint32_t command)
{
	apic_icr(destination, ICR_ASSERT | command);
}

/* Behind the event under test, to show that this one came once. */
static void send_later(void)
{
	wait_until(round.woken);
	send(CPU_1, ICR_FIXED | LATER);
}

/* An NMI does not wait for HLT, and may have been faster than CPU 1. */
static bool was_early(void)
{
	const struct trace *trace = recording_of(&percpu[1])->trace;

	return trace->events_used && trace->events[0].rip < mark_address(plan.snippet, "halt");
}

static void wake_up(void)
{
	round.sent = true;
	if (cpu_wait(1))
		return;
	check(false, "CPU 1 did not come back from HLT");
	cpu_restart(1);
}

enum shape { BY_ID, BY_LOGICAL_ID, BY_OTHERS };

static void send_by(enum shape shape, uint32_t command)
{
	switch (shape) {
	case BY_ID:
		send(CPU_1, command);
		break;
	case BY_LOGICAL_ID:
		send(apic_logical_id(1), ICR_LOGICAL | command);
		break;
	case BY_OTHERS:
		send(0, ICR_OTHERS | command);
		break;
	}
}

#define HALTED(name, rule, bugs) CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, rule, CATCHES(bugs))

/* -- What wakes it. ------------------------------------------------------------------------------ */

static void try_wake(const struct snippet *snippet, uint64_t rflags, enum shape shape,
		     uint32_t command)
{
	bool is_nmi = (command & 0x700) == ICR_NMI;

	expect("(none) | cpu1: %s@woken, intr 0x31@wait", is_nmi ? "nmi" : "intr 0x41");
	plan = (typeof(plan)){.snippet = snippet, .rflags = rflags, .events = 2};
	for (unsigned tries = 0; tries < 4; tries++) {
		put_to_sleep();
		send_by(shape, command);
		send_later();
		wake_up();
		if (!was_early())
			break;
		trace_reset(recording_of(&percpu[1])->trace);
	}
}

#define WAKES(state, flags, kind, command, how, shape, bugs)     \
	HALTED(state##_##kind##_##how, RULE_WAKES, bugs)         \
	{                                                        \
		try_wake(&sleep_##state, flags, shape, command); \
	}
#define WAKES_EACH(state, flags)                                                                \
	WAKES(state, flags, fixed, ICR_FIXED | V, by_id, BY_ID, BUGS_ID)                        \
	WAKES(state, flags, fixed, ICR_FIXED | V, by_logical_id, BY_LOGICAL_ID, BUGS_LOGICAL)   \
	WAKES(state, flags, fixed, ICR_FIXED | V, by_others, BY_OTHERS, BUGS_OTHERS)            \
	WAKES(state, flags, lowest, ICR_LOWEST | V, by_logical_id, BY_LOGICAL_ID, BUGS_LOGICAL) \
	WAKES(state, flags, nmi, ICR_NMI, by_id, BY_ID, BUGS_NMI)                               \
	WAKES(state, flags, nmi, ICR_NMI, by_logical_id, BY_LOGICAL_ID, BUGS_NMI_LOGICAL)       \
	WAKES(state, flags, nmi, ICR_NMI, by_others, BY_OTHERS, BUGS_NMI)

#define BUGS_ID "model-halt-twice"
#define BUGS_OTHERS "model-halt-twice model-halt-no-kick"
#define BUGS_LOGICAL "model-halt-no-kick bochs-x2apic-ldr"
#define BUGS_NMI "model-halt-nmi-sleeps"
#define BUGS_NMI_LOGICAL BUGS_NMI " bochs-x2apic-ldr"

WAKES_EACH(sti, 0)
WAKES_EACH(on, X86_EFLAGS_IF)

/* -- What does not. ------------------------------------------------------------------------------ */

/* IF is clear: the interrupt waits behind the NMI that wakes the CPU. */
static void try_masked(enum shape shape, uint32_t command)
{
	expect("slept=0x1 | cpu1: nmi@woken, intr 0x41@wait");
	plan = (typeof(plan)){.snippet = &sleep_off, .events = 2};
	for (unsigned tries = 0; tries < 4; tries++) {
		put_to_sleep();
		send_by(shape, command);
		stays(!round.woken);
		if (tries == 0)
			observe("slept", !round.woken);
		send(CPU_1, ICR_NMI);
		wake_up();
		if (!was_early())
			break;
		trace_reset(recording_of(&percpu[1])->trace);
	}
}

#define MASKED(name, shape, command, bugs)  \
	HALTED(off_##name, RULE_IF, bugs)   \
	{                                   \
		try_masked(shape, command); \
	}

#define BUGS_MASKED "model-halt-wakes-masked model-halt-nmi-sleeps"
MASKED(fixed_by_id, BY_ID, ICR_FIXED | V, BUGS_MASKED)
MASKED(fixed_by_logical_id, BY_LOGICAL_ID, ICR_FIXED | V, BUGS_MASKED " bochs-x2apic-ldr")
MASKED(fixed_by_others, BY_OTHERS, ICR_FIXED | V, BUGS_MASKED)
MASKED(lowest_by_logical_id, BY_LOGICAL_ID, ICR_LOWEST | V, BUGS_MASKED " bochs-x2apic-ldr")

/* Three classes arrive while it sleeps with IF clear. */
HALTED(off_three_classes, RULE_ORDER, "model-ipi-order model-halt-wakes-masked")
{
	expect("slept=0x1 | cpu1: nmi@woken, intr 0x91@wait, intr 0x61@wait, intr 0x41@wait");
	plan = (typeof(plan)){.snippet = &sleep_off, .events = 4};
	put_to_sleep();
	send(CPU_1, ICR_FIXED | 0x61);
	send(CPU_1, ICR_FIXED | 0x91);
	send(CPU_1, ICR_FIXED | 0x41);
	stays(!round.woken);
	observe("slept", !round.woken);
	send(CPU_1, ICR_NMI);
	wake_up();
}

/* -- Priorities. --------------------------------------------------------------------------------- */

static void raise_tpr(void)
{
	apic_write(APIC_TPR, V | 0xf);
}

static void lower_tpr(void)
{
	observe("irr", apic_bit(APIC_IRR, V));
	apic_write(APIC_TPR, 0);
	setup.rflags = 0;
	run_until(held, 1);
}

static void try_held_back(const char *trace)
{
	expect("slept=0x1 | cpu1: %s", trace);
	put_to_sleep();
	send(CPU_1, ICR_FIXED | V);
	stays(!round.woken);
	observe("slept", !round.woken);
	/* Nothing may hit it once it is back. */
	if (!round.woken)
		send(CPU_1, ICR_FIXED | HIGHER);
	wake_up();
}

HALTED(held_by_tpr, RULE_PRIORITY, "model-halt-wakes-masked tcg-v-tpr")
{
	plan = (typeof(plan)){.snippet = &sleep_on,
			      .rflags = X86_EFLAGS_IF,
			      .events = 1,
			      .before = raise_tpr,
			      .after = lower_tpr};
	try_held_back("intr 0x91@woken; irr=0x1; intr 0x41@wait");
}

/* The lowest class that TPR does not hold back is that above its own. */
static void raise_tpr_below(void)
{
	apic_write(APIC_TPR, V - 0x10);
}

static void clear_tpr(void)
{
	apic_write(APIC_TPR, 0);
}

HALTED(above_tpr, RULE_PRIORITY, "model-halt-rip")
{
	expect("(none) | cpu1: intr 0x41@woken");
	plan = (typeof(plan)){.snippet = &sleep_on,
			      .rflags = X86_EFLAGS_IF,
			      .events = 1,
			      .before = raise_tpr_below,
			      .after = clear_tpr};
	put_to_sleep();
	send(CPU_1, ICR_FIXED | V);
	wake_up();
}

/* A vector of the same class is in service, not ended by EOI until afterwards. */
static void begin_service(void)
{
	send(0, ICR_SELF | ICR_FIXED | (V + 1));
	setup.rflags = 0;
	run_until(held, 1);
	setup.rflags = plan.rflags;
}

static void end_service(void)
{
	observe("irr", apic_bit(APIC_IRR, V));
	event_eoi();
	event_eoi();
	setup.rflags = 0;
	run_until(held, 1);
	event_eoi();
}

HALTED(held_by_service, RULE_PRIORITY,
       "model-halt-wakes-masked model-ipi-no-isr xen-halt-wakes-held")
{
	setup.hold_eoi = true;
	plan = (typeof(plan)){.snippet = &sleep_on,
			      .rflags = X86_EFLAGS_IF,
			      .events = 1,
			      .before = begin_service,
			      .after = end_service};
	try_held_back("intr 0x42@wait; intr 0x91@woken; irr=0x1; intr 0x41@wait");
}

/* Interrupts that this CPU has pending when it goes to sleep: HLT is executed, and ends at once. */
HALTED(pending_classes, RULE_ORDER, "model-ipi-order model-hlt-sleeps")
{
	expect("intr 0x91@woken, intr 0x61@woken, intr 0x41@woken");
	memset((void *)&round, 0, sizeof(round));
	setup.regs.rbx = (uint64_t)&round;
	send(0, ICR_SELF | ICR_FIXED | 0x61);
	send(0, ICR_SELF | ICR_FIXED | 0x41);
	send(0, ICR_SELF | ICR_FIXED | 0x91);
	witness(apic_bit(APIC_IRR, 0x41) && apic_bit(APIC_IRR, 0x91),
		"the interrupts are not pending");
	run_until(sleep_sti, 3);
}

/* Whether the trace is that of an interrupt that had waited and of a timer that was not too fast for this CPU. */
static bool timer_was_in_time(void)
{
	const struct trace *trace = this_recording()->trace;

	return trace->events_used == 2 && trace->events[0].vector == V &&
	       trace->events[1].rip <= mark_address(&sleep_twice, "again");
}

/* One ends the first HLT, the timer the second. It is periodic, so that nothing sleeps for ever. */
HALTED(ipi_then_timer, RULE_WAKES, "model-hlt-sleeps")
{
	expect("intr 0x41@woken, intr 0x71@again");
	for (unsigned tries = 0; tries < 4; tries++) {
		trace_reset(this_recording()->trace);
		interrupt_pending(V);
		timer_start(0x71 | LVT_PERIODIC, 1000000u << 3 * tries);
		run_until(sleep_twice, 2);
		timer_stop();
		interrupts_drain();
		if (timer_was_in_time())
			break;
	}
}

/* -- Its APIC is off. ---------------------------------------------------------------------------- */

static void switch_off(void)
{
	apic_write(APIC_SPURIOUS, APIC_SPURIOUS_VECTOR);
}

static void switch_on(void)
{
	observe("irr", apic_bit(APIC_IRR, V));
	interrupts_drain();
	apic_enable(1);
}

HALTED(apic_off, RULE_OFF, "model-apic-never-off model-halt-nmi-sleeps tcg-irr-while-off")
{
	expect("slept=0x1 | cpu1: nmi@woken; irr=0x0");
	plan = (typeof(plan)){.snippet = &sleep_on,
			      .rflags = X86_EFLAGS_IF,
			      .events = 1,
			      .before = switch_off,
			      .after = switch_on};
	put_to_sleep();
	send(CPU_1, ICR_FIXED | V);
	stays(!round.woken);
	observe("slept", !round.woken);
	if (!round.woken)
		send(CPU_1, ICR_NMI);
	wake_up();
}
