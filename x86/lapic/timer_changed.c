/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's timer, changed while it runs: count, divider, mask, vector and mode.
 *
 * The rule. A write of the initial count starts the count anew, and 0 stops it. The current count of a one-shot
 * ends at 0 and stays there. The mask holds back the interrupt and not the count; one that ran out behind the mask is
 * lost. The entry is read when the count runs out, so the vector is that of the moment. A count that goes on with
 * another divider raises its interrupt when it gets to 0, not when it would have with the old one. To TSC-deadline mode or from
 * it, the timer is disarmed; there IA32_TSC_DEADLINE is 0 once it has fired, a write of 0 disarms, a deadline that is
 * past fires at once, and the initial count is not taken; in the other modes the MSR reads 0 and takes nothing.
 * Between one-shot and periodic the SDM has the timer disarmed, and CPUs let the count go on: both are right.
 *
 * Why a hypervisor must care. It has a timer of its host behind this one, set when the count is written, and every
 * other register that matters has to set it again. Where one does not, the count and the interrupt part ways: the
 * current count reads 0 and nothing comes, or something comes after the timer was stopped.
 *
 * What a buggy hypervisor shows: `irr=0x0` for what is due, `irr=0x1` for what was called off, `current=` that is not
 * 0 when the timer stands.
 *
 * Time is never measured against another clock but in ratios far from what is due. That nothing comes is
 * shown by what comes later: a second run of the same timer, at least twice as long, with vector 0x31. Where the host held
 * the machine up, so that a count ran out before it was to be changed, it is tried again.
 *
 * This file is also the guest timer_changed_x2apic.
 */
#include "../apic/source.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_COUNT \
	"SDM 3A, APIC Timer: the initial count starts the timer, 0 stops it; a one-shot's current count stays at 0"
#define RULE_MASK "SDM 3A, Local Vector Table: the mask inhibits the interrupt, not its source"
#define RULE_DIVIDE "SDM 3A, APIC Timer: the interrupt is generated when the count reaches 0"
#define RULE_MODE "SDM 3A, TSC-Deadline Mode: to that mode and from it, the timer is disarmed"
#define RULE_DEADLINE \
	"SDM 3A, TSC-Deadline Mode: a write arms the timer, 0 disarms it; it reads 0 when it has fired, and in the other modes"

#define BUGS_COUNT CATCHES("model-timer-keeps-running")

#define V 0x41

#define BY_1 0xb
#define BY_128 0xa

#define SHORT 100000
#define ENDLESS 0xffffffff

#define CPUID_1_C_TSC_DEADLINE (1u << 24)
#define LVT_DEADLINE (2u << 17)
#define MSR_TSC_DEADLINE 0x6e0
#define DEADLINE_SHORT 200000
#define DEADLINE_LONG (1ul << 45)

/* The longest count that a case has started, which is longer where the host holds the machine up. */
static uint32_t longest = SHORT;

static uint32_t longer(unsigned n)
{
	longest = SHORT << n / 2;
	return longest;
}

static void need_deadline(void)
{
	need_of_machine(cpuid(1, 0).c & CPUID_1_C_TSC_DEADLINE, "TSC-deadline timer");
}

static void start(uint32_t entry, uint32_t divide, uint32_t count)
{
	apic_enable(0);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_TIMER_DIVIDE, divide);
	apic_write(APIC_LVT_TIMER, entry);
	apic_write(APIC_TIMER_INITIAL, count);
}

/* A timer that `change` is to stop, or to change and not to stop; tried again where it ran out before. */
static void change_by(uint32_t entry, void (*change)(void), bool stops)
{
	bool in_time = false;

	for (unsigned n = 0; n < 20 && !in_time; n++) {
		start(entry, BY_1, longer(n));
		change();
		in_time = (stops || apic_read(APIC_TIMER_CURRENT)) && !apic_bit(APIC_IRR, V);
		if (!in_time)
			interrupts_drain();
	}
	witness(in_time, "the timer always ran out before it was changed");
}

static void change_in_time(uint32_t entry, void (*change)(void))
{
	change_by(entry, change, false);
}

static void stop_in_time(uint32_t entry, void (*change)(void))
{
	change_by(entry, change, true);
}

/* So long that the count of above would have run out; only vector 0x31 may come. */
static void let_time_pass(void)
{
	start(LATER, BY_1, longest * 2);
	longest = SHORT;
	interrupt_comes(LATER);
	observe("irr", apic_bit(APIC_IRR, V));
	run_until(open, 1);
	timer_stop();
}

#define NOTHING "irr=0x0; intr 0x31@wait"
#define COMES "irr=0x1; intr 0x41@wait"

/* -- The count. ---------------------------------------------------------------------------------- */

static void write_0(void)
{
	apic_write(APIC_TIMER_INITIAL, 0);
}

CASE_NEEDS(MODE_NEEDS, one_shot_stopped, CPL0, RULE_COUNT, BUGS_COUNT)
{
	expect("current=0x0; " NOTHING);
	stop_in_time(V, write_0);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, periodic_stopped, CPL0, RULE_COUNT, BUGS_COUNT)
{
	expect("current=0x0; " NOTHING);
	stop_in_time(LVT_PERIODIC | V, write_0);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	let_time_pass();
}

/* A periodic one that has fired already. */
CASE_NEEDS(MODE_NEEDS, periodic_stopped_later, CPL0, RULE_COUNT, BUGS_COUNT)
{
	expect(COMES "; current=0x0; " NOTHING);
	setup.leave_after = 1;
	start(LVT_PERIODIC | V, BY_1, SHORT);
	take(V);
	write_0();
	interrupts_drain();
	observe("current", apic_read(APIC_TIMER_CURRENT));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, one_shot_once, CPL0, RULE_COUNT, CATCHES("model-timer-again"))
{
	expect(COMES "; current=0x0; initial=%#x; " NOTHING, SHORT);
	start(V, BY_1, SHORT);
	take(V);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	observe("initial", apic_read(APIC_TIMER_INITIAL));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, started_anew, CPL0, RULE_COUNT, CATCHES("model-timer-not-restarted"))
{
	uint32_t first, second;

	expect("counts=0x1; above=0x1; irr=0x0; initial=0xf0000000");
	start(V, BY_128, 0x40000000);
	await(apic_read(APIC_TIMER_CURRENT) < 0x40000000, "the count to go down");
	first = apic_read(APIC_TIMER_CURRENT);
	apic_write(APIC_TIMER_INITIAL, 0xf0000000);
	second = apic_read(APIC_TIMER_CURRENT);
	observe("counts", first && first < 0x40000000);
	observe("above", second > 0x40000000 && second <= 0xf0000000);
	observe("irr", apic_bit(APIC_IRR, V));
	observe("initial", apic_read(APIC_TIMER_INITIAL));
	timer_stop();
}

/* To a shorter one: it comes, although the first would take minutes. */
CASE_NEEDS(MODE_NEEDS, started_anew_shorter, CPL0, RULE_COUNT, CATCHES("model-timer-not-restarted"))
{
	expect(COMES "; current=0x0");
	start(V, BY_128, ENDLESS);
	apic_write(APIC_TIMER_INITIAL, 100);
	take(V);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	timer_stop();
}

/* Many periods while IF is clear are one interrupt. */
CASE_NEEDS(MODE_NEEDS, periodic_pends_once, CPL0, RULE_COUNT, "")
{
	expect("irr=0x1; intr 0x41@wait; irr=0x0");
	setup.leave_after = 1;
	start(LVT_PERIODIC | V, BY_1, SHORT);
	for (unsigned n = 0; n < 3; n++) {
		uint32_t before = apic_read(APIC_TIMER_CURRENT);

		/* The count has turned round when it is higher than it was. */
		await(apic_read(APIC_TIMER_CURRENT) > before, "the count to begin again");
	}
	interrupt_comes(V);
	write_0();
	take(V);
	observe("irr", apic_bit(APIC_IRR, V));
	timer_stop();
	interrupts_drain();
}

/* -- The mask and the vector. -------------------------------------------------------------------- */

static void mask(void)
{
	apic_write(APIC_LVT_TIMER, APIC_MASKED | V);
}

static void unmask(void)
{
	apic_write(APIC_LVT_TIMER, V);
}

/* The count goes on behind the mask, and what ran out there does not come once it is taken away. */
CASE_NEEDS(MODE_NEEDS, masked_while_running, CPL0, RULE_MASK,
	   CATCHES("model-lvt-mask-ignored model-timer-masked-pends kvm-timer-masked-pends"))
{
	bool ran_out;

	expect("ran_out=0x1; late=0x0; " NOTHING);
	change_in_time(V, mask);
	ran_out = wait_until(apic_read(APIC_TIMER_CURRENT) == 0);
	observe("ran_out", ran_out);
	unmask();
	give_it_time();
	observe("late", apic_bit(APIC_IRR, V));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, unmasked_while_running, CPL0, RULE_MASK, "")
{
	expect(COMES);
	for (unsigned n = 0; n < 20; n++) {
		start(APIC_MASKED | V, BY_1, longer(n));
		unmask();
		if (apic_read(APIC_TIMER_CURRENT) || apic_bit(APIC_IRR, V))
			break;
	}
	take(V);
	timer_stop();
}

/* Masked and unmasked in the middle: nothing is lost. */
CASE_NEEDS(MODE_NEEDS, masked_and_unmasked, CPL0, RULE_MASK, "")
{
	expect(COMES);
	for (unsigned n = 0; n < 20; n++) {
		start(V, BY_1, longer(n));
		mask();
		unmask();
		if (apic_read(APIC_TIMER_CURRENT) || apic_bit(APIC_IRR, V))
			break;
	}
	take(V);
	timer_stop();
}

static void other_vector(void)
{
	apic_write(APIC_LVT_TIMER, V + 1);
}

CASE_NEEDS(MODE_NEEDS, other_vector_while_running, CPL0, RULE_MASK,
	   CATCHES("model-timer-old-vector"))
{
	expect("irr=0x1; intr 0x42@wait; irr=0x0");
	change_in_time(V, other_vector);
	take(V + 1);
	observe("irr", apic_bit(APIC_IRR, V));
	timer_stop();
}

/* What runs out while the APIC is off is lost: its entry is masked. */
static void off(void)
{
	apic_write(APIC_SPURIOUS, APIC_SPURIOUS_VECTOR);
}

CASE_NEEDS(
	MODE_NEEDS, off_while_running, CPL0,
	"SDM 3A, Local APIC State After It Has Been Software Disabled: the mask bits of all LVT entries are set",
	CATCHES("model-lvt-off-unmasked"))
{
	expect("masked=0x1; " NOTHING);
	change_in_time(V, off);
	await(apic_read(APIC_TIMER_CURRENT) == 0, "the count to run out");
	apic_enable(0);
	observe("masked", !!(apic_read(APIC_LVT_TIMER) & APIC_MASKED));
	let_time_pass();
}

/* -- The divider. -------------------------------------------------------------------------------- */

static uint32_t fall(uint64_t ticks)
{
	uint32_t before = apic_read(APIC_TIMER_CURRENT);
	uint64_t begin = rdtsc();

	while (rdtsc() - begin < ticks)
		cpu_relax();
	return before - apic_read(APIC_TIMER_CURRENT);
}

/* From 128 to 1 the count must fall much faster: by more than 8, for what the host may do meanwhile. */
CASE_NEEDS(MODE_NEEDS, divider_changes_rate, CPL0, RULE_DIVIDE, CATCHES("model-timer-divide-fixed"))
{
	bool faster = false, slower = false;

	expect("faster=0x1; slower=0x1");
	for (unsigned n = 0; n < 10 && !(faster && slower); n++) {
		uint32_t slow, fast, slow_again;

		start(APIC_MASKED | V, BY_128, ENDLESS);
		slow = fall(100000);
		apic_write(APIC_TIMER_DIVIDE, BY_1);
		fast = fall(100000);
		apic_write(APIC_TIMER_DIVIDE, BY_128);
		slow_again = fall(100000);
		faster |= fast / 8 > slow;
		slower |= fast / 8 > slow_again;
	}
	observe("faster", faster);
	observe("slower", slower);
	timer_stop();
}

/* The interrupt comes when the count is 0, and not hundreds of times later. */
CASE_NEEDS(MODE_NEEDS, divider_changes_end, CPL0, RULE_DIVIDE, CATCHES("tcg-timer-divide-late"))
{
	struct wait wait;

	expect("ran_out=0x1; " COMES);
	start(V, BY_128, 1u << 20);
	apic_write(APIC_TIMER_DIVIDE, BY_1);
	observe("ran_out", wait_until(apic_read(APIC_TIMER_CURRENT) == 0));
	/* No more than a moment. */
	wait = wait_begin(SETTLE_TICKS / 8, 32, 1ul << 12);
	while (!apic_bit(APIC_IRR, V) && wait_goes_on(&wait))
		;
	observe("irr", apic_bit(APIC_IRR, V));
	run_until(open, 1);
	timer_stop();
}

/* -- One-shot and periodic. ---------------------------------------------------------------------- */

#define DISARMED "SDM 3A, TSC-Deadline Mode: a write that changes the timer mode disarms the timer"
#define GOES_ON \
	"SDM 3A, APIC Timer: a count that is not written goes on, with the mode of the moment"

static void to_periodic(void)
{
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | V);
}

CASE_NEEDS(MODE_NEEDS, one_shot_to_periodic, CPL0, RULE_COUNT, "")
{
	allow(DISARMED, "irr=0x0 x2");
	allow(GOES_ON, COMES "; " COMES);
	setup.leave_after = 1;
	stop_in_time(V, to_periodic);
	take(V);
	take(V);
	timer_stop();
	interrupts_drain();
}

CASE_NEEDS(MODE_NEEDS, periodic_to_one_shot, CPL0, RULE_COUNT, "")
{
	allow(DISARMED, "irr=0x0; current=0x0; " NOTHING);
	allow(GOES_ON, COMES "; current=0x0; " NOTHING);
	setup.leave_after = 1;
	stop_in_time(LVT_PERIODIC | V, unmask);
	take(V);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	let_time_pass();
}

/* -- TSC-deadline mode. -------------------------------------------------------------------------- */

static void deadline_mode(void)
{
	apic_enable(0);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | V);
}

static void to_deadline(void)
{
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | V);
}

CASE_NEEDS(MODE_NEEDS, one_shot_to_deadline, CPL0, RULE_MODE, CATCHES("model-timer-keeps-running"))
{
	need_deadline();
	expect("current=0x0; deadline=0x0; " NOTHING);
	stop_in_time(V, to_deadline);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, deadline_to_one_shot, CPL0, RULE_MODE, "")
{
	bool in_time = false;

	need_deadline();
	expect("current=0x0; deadline=0x0; " NOTHING);
	for (unsigned n = 0; n < 20 && !in_time; n++) {
		deadline_mode();
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + (DEADLINE_SHORT << n / 2));
		unmask();
		in_time = !apic_bit(APIC_IRR, V);
		if (!in_time)
			interrupts_drain();
	}
	witness(in_time, "the deadline was always past before the mode changed");
	observe("current", apic_read(APIC_TIMER_CURRENT));
	observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, deadline_past, CPL0, RULE_DEADLINE, "")
{
	need_deadline();
	expect(COMES "; deadline=0x0; irr=0x1; intr 0x41@wait; deadline=0x0");
	deadline_mode();
	wrmsr(MSR_TSC_DEADLINE, 1);
	take(V);
	observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_DEADLINE, rdtsc());
	take(V);
	observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	timer_stop();
}

CASE_NEEDS(MODE_NEEDS, deadline_called_off, CPL0, RULE_DEADLINE, "")
{
	bool in_time = false;

	need_deadline();
	expect("deadline=0x0; " NOTHING);
	for (unsigned n = 0; n < 20 && !in_time; n++) {
		deadline_mode();
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + (DEADLINE_SHORT << n / 2));
		wrmsr(MSR_TSC_DEADLINE, 0);
		in_time = !apic_bit(APIC_IRR, V);
		if (!in_time)
			interrupts_drain();
	}
	witness(in_time, "the deadline was always past before it was called off");
	observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	let_time_pass();
}

/* From years ahead to now, and it reads as it was written meanwhile. */
CASE_NEEDS(MODE_NEEDS, deadline_moved, CPL0, RULE_DEADLINE, "")
{
	uint64_t far = rdtsc() + DEADLINE_LONG;

	need_deadline();
	expect("same=0x1; irr=0x0; irr=0x1; intr 0x41@wait; deadline=0x0");
	deadline_mode();
	wrmsr(MSR_TSC_DEADLINE, far);
	observe("same", rdmsr(MSR_TSC_DEADLINE) == far);
	observe("irr", apic_bit(APIC_IRR, V));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
	take(V);
	observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	timer_stop();
}

CASE_NEEDS(MODE_NEEDS, deadline_masked, CPL0, RULE_MASK, CATCHES("kvm-timer-masked-pends"))
{
	uint64_t deadline;

	need_deadline();
	expect("late=0x0; " NOTHING);
	deadline_mode();
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | APIC_MASKED | V);
	deadline = rdtsc() + 1000;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	witness(wait_until(rdtsc() > deadline + DEADLINE_SHORT), "the TSC stands");
	to_deadline();
	give_it_time();
	observe("late", apic_bit(APIC_IRR, V));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, count_in_deadline_mode, CPL0, RULE_DEADLINE, "")
{
	need_deadline();
	expect("current=0x0; " NOTHING);
	deadline_mode();
	apic_write(APIC_TIMER_DIVIDE, BY_1);
	apic_write(APIC_TIMER_INITIAL, 1000);
	observe("current", apic_read(APIC_TIMER_CURRENT));
	let_time_pass();
}

CASE_NEEDS(MODE_NEEDS, deadline_in_other_modes, CPL0, RULE_DEADLINE, "")
{
	need_deadline();
	expect("deadline=0x0 x2; " NOTHING);
	for (unsigned periodic = 0; periodic < 2; periodic++) {
		start(periodic ? LVT_PERIODIC | V : V, BY_1, 0);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
		observe("deadline", rdmsr(MSR_TSC_DEADLINE));
	}
	let_time_pass();
}
