/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local vector table: interrupts that the local APIC makes itself.
 *
 * The rule. Each entry names the vector of one source: the timer, a performance counter that runs over,
 * the thermal sensor, the pins LINT0 and LINT1, an error. Where the entry is not masked and its delivery
 * mode is fixed, a vector from 16 on arrives as any interrupt does: no error code, TMR clear for an
 * edge, one delivery for each event. A vector below 16 is not delivered and reported in the ESR; an
 * entry that is masked delivers nothing, whatever vector stands in it, though the APIC may report one
 * below 16 when it is written.
 *
 * The bugs that taught it. These interrupts do not pass through the code for the ICR, where the checks
 * are: QEMU delivers vectors below 16 from the timer, and KVM leaves them in IRR. Bochs 2.7 does not look
 * at LINT0's entry at all.
 *
 * A buggy hypervisor shows `irr=0x0` for vectors 16 to 31, `intr v@wait` behind 0x31 for those below, or
 * `extint 0x24@wait` where LINT0 has another vector.
 *
 * LINT0 is driven by the first 8259, and that by the first serial port's line (lib/x86/devices/ioapic.h). Nothing
 * that a guest can do raises LINT1. The sensor's threshold is set one degree away and the CPU kept busy.
 * The error interrupt is in illegal.c.
 */
#include "source.h"

#include "x86/devices/ioapic.h"
#include "x86/devices/pic.h"
#include "x86/harness/probe.h"

#define RULE_TIMER "SDM 3A, APIC Timer: the timer's interrupt has the vector of its LVT entry"
#define RULE_MASKED "SDM 3A, Local Vector Table: a masked entry delivers nothing"
#define RULE_WRITTEN \
	"SDM 3A, Valid Interrupt Vectors: a vector below 16 in an LVT entry is not delivered; the APIC may signal it when it is written, masked or not"
#define RULE_COUNTER \
	"SDM 3B, Generating an Interrupt on Overflow, and APM 2, Performance Counters: the interrupt has the vector of the LVT entry for performance counters"
#define RULE_THERMAL \
	"SDM 3B, Thermal Monitoring: a threshold that is crossed raises the interrupt of the LVT entry for the thermal sensor"
#define RULE_LINT \
	"SDM 3A, Local Vector Table: with fixed delivery mode the pin's interrupt has the vector of its entry"

#define BUGS CATCHES("model-source-class-1 model-ipi-error-code")

static unsigned last_lvt(void)
{
	return APIC_VERSION_LAST_LVT(apic_read(APIC_VERSION));
}

/* -- The timer. -------------------------------------------------------------------------------- */

CASE_NEEDS("apic=1", timer, ALL_NATIVE, RULE_TIMER, BUGS)
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		timer_start(v, 1000);
		begin(v);
		take(v);
		end();
	}
	timer_stop();
}

CASE_NEEDS("apic=1", timer_periodic, ALL_NATIVE, RULE_TIMER, BUGS)
{
	grant_iopl();
	setup.leave_after = 1;
	expect("[0x10-0x1f] irr=0x1, intr v@wait, irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		begin(v);
		/* The count comes last: one that runs out before the mode is set would be the only one. */
		timer_start(v, 0);
		apic_write(APIC_LVT_TIMER, LVT_PERIODIC | v);
		apic_write(APIC_TIMER_INITIAL, 20000);
		take(v);
		take(v);
		timer_stop();
		end();
		interrupts_drain();
	}
}

#define CPUID_1_C_TSC_DEADLINE (1u << 24)
#define LVT_TSC_DEADLINE (2u << 17)
#define MSR_TSC_DEADLINE 0x6e0

CASE_NEEDS("apic=1", timer_tsc_deadline, ALL_NATIVE, RULE_TIMER, BUGS)
{
	need_of_machine(cpuid(1, 0).c & CPUID_1_C_TSC_DEADLINE, "TSC-deadline timer");
	grant_iopl();
	expect("[0x10-0x1f] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		begin(v);
		apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | v);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
		take(v);
		end();
	}
	timer_stop();
}

/* The count runs out all the same, which is the witness; then 0x31 shows that nothing came before it. */
CASE_NEEDS("apic=1", timer_masked, CPL0, RULE_MASKED, CATCHES("model-lvt-mask-ignored"))
{
	grant_iopl();
	expect("[0x10-0x1f] irr=0x0, intr 0x31@wait");
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		begin(v);
		timer_start(LATER, 0);
		apic_write(APIC_LVT_TIMER, APIC_MASKED | v);
		apic_write(APIC_TIMER_INITIAL, 1000);
		witness(wait_until(apic_read(APIC_TIMER_CURRENT) == 0),
			"the APIC timer did not run out");
		observe("irr", apic_bit(APIC_IRR, v));
		send_fixed(0, ICR_SELF | LATER);
		run_until(open, 1);
		end();
	}
}

/* -- Entries that are masked, with vectors below 16. ------------------------------------------- */

static const struct {
	const char *name;
	uint16_t reg;
	uint8_t number; /* as the version register counts them */
} entries[] = {
	{"timer", APIC_LVT_TIMER, 0},  {"lint0", APIC_LVT_LINT0, 1},
	{"lint1", APIC_LVT_LINT1, 2},  {"error", APIC_LVT_ERROR, 3},
	{"counter", APIC_LVT_PERF, 4}, {"thermal", APIC_LVT_THERMAL, 5},
};

/* Writes each entry and reads it back; `intr` comes last and alone. */
CASE_NEEDS("apic=1", illegal_masked, CPL0, RULE_WRITTEN, CATCHES("model-lvt-refuses-illegal"))
{
	uint32_t esr = 0;

	setup.watch_low_vectors = true;
	apic_esr_clear();
	allow("SDM 3A, Valid Interrupt Vectors: the APIC need not signal it",
	      "intr 0x31@wait; esr=0x0");
	allow("SDM 3A, Valid Interrupt Vectors: the APIC may signal it, whether or not the entry is masked",
	      "intr 0x31@wait; esr=0x40");
	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		uint32_t before = apic_read(entries[i].reg);

		if (entries[i].number > last_lvt())
			continue;
		for_each_vector(v, 0, 15) {
			uint32_t now;

			apic_write(entries[i].reg, APIC_MASKED | v);
			now = apic_read(entries[i].reg);
			check((now & (APIC_MASKED | 0xff)) == (APIC_MASKED | v),
			      "the entry `%s` reads as %#x after %#x", entries[i].name, now,
			      APIC_MASKED | v);
			esr |= apic_esr();
		}
		apic_write(entries[i].reg, before);
	}
	esr |= apic_esr();
	send_fixed(0, ICR_SELF | LATER);
	run_until(open, 1);
	observe("esr", esr);
}

/* -- LINT0. ------------------------------------------------------------------------------------ */

/* The serial port's line through the 8259; its pin of the I/O APIC is masked. */
static void edge_on_lint0(unsigned v)
{
	apic_write(APIC_LVT_LINT0, v);
	line_lower();
	pic_open(LINE_PIN);
	line_raise();
}

static void end_lint0(uint32_t before)
{
	pic_close();
	line_lower();
	apic_write(APIC_LVT_LINT0, before);
}

CASE_NEEDS(
	"apic=1", lint0, ALL_NATIVE, RULE_LINT,
	CATCHES("tcg-lint0-extint bochs-lint0-ignored kvm-lint0-fixed xen-lint0-fixed model-ipi-error-code"))
{
	uint32_t before = apic_read(APIC_LVT_LINT0);

	need_pic();
	grant_iopl();
	setup.leave_after = 1;
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		edge_on_lint0(v);
		take(v);
		pic_close();
		end();
		/* Where another vector came in its place. */
		if (apic_bit(APIC_IRR, v))
			interrupts_drain();
	}
	end_lint0(before);
}

CASE_NEEDS(
	"apic=1", lint0_illegal, CPL0, RULE_ILLEGAL,
	CATCHES("tcg-lint0-extint bochs-lint0-ignored kvm-lint0-fixed xen-lint0-fixed tcg-illegal-vector kvm-illegal-vector"))
{
	uint32_t before = apic_read(APIC_LVT_LINT0);

	need_pic();
	try_illegal(edge_on_lint0);
	end_lint0(before);
}

/* -- A counter that runs over. ----------------------------------------------------------------- */

#define INSTRUCTIONS_RETIRED 0x4300c0 /* at every CPL, counting; the same for both vendors */
#define EVTSEL_INTERRUPT (1u << 20)
#define COUNTER_BITS 48

#define MSR_GLOBAL_CTRL 0x38f
#define MSR_GLOBAL_OVF_CTRL 0x390

/* The first counter: Intel's architectural one from version 2 on, or AMD's. */
static const struct counter {
	uint32_t select, count;
	bool has_global;
} of_intel = {0x186, 0xc1, true}, of_amd = {0xc0010000, 0xc0010004, false};

static const struct counter *counter;

static void count_from(uint64_t start)
{
	if (counter->has_global)
		wrmsr(MSR_GLOBAL_CTRL, 0);
	wrmsr(counter->select, 0);
	/* Intel's takes 32 bits and extends their sign. */
	wrmsr(counter->count,
	      counter->has_global ? (uint32_t)start : start & ((1ul << COUNTER_BITS) - 1));
	wrmsr(counter->select, INSTRUCTIONS_RETIRED | EVTSEL_INTERRUPT);
	if (counter->has_global)
		wrmsr(MSR_GLOBAL_CTRL, 1);
}

static void stop_counting(void)
{
	wrmsr(counter->select, 0);
	if (counter->has_global) {
		wrmsr(MSR_GLOBAL_CTRL, 0);
		wrmsr(MSR_GLOBAL_OVF_CTRL, 1);
	}
}

/* QEMU's and Bochs' stand still. */
static bool counter_counts(void)
{
	bool moved;

	count_from(0);
	for (volatile int i = 0; i < 1000; i++)
		;
	moved = rdmsr(counter->count) != 0;
	stop_counting();
	return moved;
}

static void need_counter(void)
{
	need_of_machine(last_lvt() >= 4, "LVT entry for performance counters");
	if (cpu_is_intel())
		need_of_machine(cpuid(0, 0).a >= 10 && (cpuid(10, 0).a & 0xff) >= 2 &&
					(cpuid(10, 0).a >> 8 & 0xff),
				"performance counter");
	counter = cpu_is_intel() ? &of_intel : &of_amd;
	need_of_machine(msr_takes(counter->select, INSTRUCTIONS_RETIRED), "performance counter");
	need(counter_counts(), "the performance counter does not count");
}

static void overflow(unsigned v)
{
	apic_write(APIC_LVT_PERF, v);
	count_from(-100ul);
}

CASE_NEEDS("apic=1", counter, ALL_NATIVE, RULE_COUNTER, BUGS)
{
	need_counter();
	grant_iopl();
	expect("[0x10-0x1f] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		begin(v);
		overflow(v);
		take(v);
		stop_counting();
		end();
	}
	apic_write(APIC_LVT_PERF, APIC_MASKED);
}

/* -- The thermal sensor. ----------------------------------------------------------------------- */

#define CPUID_6_A_SENSOR (1u << 0)
#define MSR_THERM_INTERRUPT 0x19b
#define THERM_THRESHOLD_1(degrees) ((degrees) << 8 | 1u << 15)
#define MSR_THERM_STATUS 0x19c
#define THERM_CROSSED_1 (1u << 7)
#define THERM_DEGREES(status) ((status) >> 16 & 0x7f) /* below the highest allowed */

#define HEAT_TICKS (1ul << 31)
#define HEAT_LOOKS (1ul << 20)

/* Keeps the CPU busy until the temperature has crossed a threshold one degree warmer. */
static bool cross_threshold(void)
{
	uint64_t end_of_patience = rdtsc() + HEAT_TICKS, looks = 0;
	unsigned degrees = THERM_DEGREES(rdmsr(MSR_THERM_STATUS));

	wrmsr(MSR_THERM_STATUS, 0);
	wrmsr(MSR_THERM_INTERRUPT, THERM_THRESHOLD_1(degrees ? degrees - 1 : 0));
	while (!(rdmsr(MSR_THERM_STATUS) & THERM_CROSSED_1))
		if (rdtsc() > end_of_patience || looks++ > HEAT_LOOKS)
			return false;
	return true;
}

CASE_NEEDS("apic=1", thermal, ALL_NATIVE, RULE_THERMAL, BUGS)
{
	bool crossed = true;

	need_of_machine(last_lvt() >= 5, "LVT entry for a thermal sensor");
	need_of_machine(cpuid(0, 0).a >= 6 && cpuid(6, 0).a & CPUID_6_A_SENSOR, "thermal sensor");
	grant_iopl();
	expect("[0x10-0x1f] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		if (!crossed)
			break;
		begin(v);
		apic_write(APIC_LVT_THERMAL, v);
		crossed = cross_threshold();
		if (crossed)
			take(v);
		wrmsr(MSR_THERM_INTERRUPT, 0);
		end();
	}
	apic_write(APIC_LVT_THERMAL, APIC_MASKED);
	need(crossed, "no witness: the temperature did not cross the threshold");
}
