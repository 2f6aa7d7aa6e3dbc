/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of an I/O APIC: edges and levels, on this CPU and on others.
 *
 * The rule. A redirection entry names vector, trigger mode and destination, as the ICR does for an IPI,
 * and the same local APIC takes what it sends: vectors from 16 on as interrupts, without error code;
 * vectors below are reported and not delivered (illegal.c). An edge sets IRR and clears TMR, once for
 * each edge. A level sets both; the I/O APIC's remote IRR keeps it from sending again until it is told
 * of the EOI of a vector whose TMR bit is set, by whichever CPU, and if the line is still up it sends
 * once more. Where the local APIC can keep its EOIs to itself (SVR bit 12, version register bit 24) and
 * is told to, remote IRR stays until the I/O APIC's own EOI register is written.
 *
 * The bugs that taught it. Each source has a way of its own into the hypervisor, and each forgets
 * something of its own: vectors 16 to 31 because they "are exceptions", the check for vectors below 16
 * because it sits in the code for the ICR, TMR because nobody looks at it, remote IRR where the EOI comes
 * from another CPU than the one that last wrote the entry.
 *
 * A buggy hypervisor shows `intr v@wait` where `intr v[level]@wait` is due or the other way round,
 * `rirr=0x1` after EOI (the line is dead from then on), one delivery where the line stayed up.
 *
 * The line is that of the first serial port, which has nothing to send and says so if it is asked
 * (lib/x86/devices/ioapic.h). How several CPUs take part is in round.h.
 */
#include "round.h"
#include "source.h"

#include "x86/devices/ioapic.h"

#define RULE_EDGE \
	"82093AA, Redirection Table: an edge-triggered interrupt is sent once for each edge; SDM 3A, Interrupt Acceptance: TMR is clear"
#define RULE_LEVEL \
	"82093AA, Redirection Table: remote IRR is set from acceptance to EOI; SDM 3A, Interrupt Acceptance: TMR is set"
#define RULE_SUPPRESSED \
	"SDM 3A, Spurious-Interrupt Vector Register: with EOI-broadcast suppression the I/O APIC hears of no EOI; remote IRR stays until a write to its EOI register"
#define RULE_PHYSICAL \
	"82093AA, Redirection Table: in physical mode the CPU with that APIC id, or all of them for 0xff"
#define RULE_LOGICAL \
	"82093AA, Redirection Table: in logical mode every CPU whose logical id the destination matches"

#define BUGS_EDGE CATCHES("model-source-class-1")
#define BUGS_LEVEL \
	CATCHES("bochs-no-remote-irr model-source-class-1 model-tmr-wrong model-eoi-not-broadcast")
#define BUGS_OTHERS CATCHES("model-source-class-1")

static void observe_remote_irr(void)
{
	observe("rirr", ioapic_remote_irr(LINE_PIN));
}

static void prepare_line(void)
{
	grant_iopl();
	need_line();
}

static void route(uint32_t low)
{
	ioapic_route(LINE_PIN, low, apic_id());
}

/* -- To this CPU. ------------------------------------------------------------------------------ */

CASE_NEEDS("apic=1", edge, ALL_NATIVE, RULE_EDGE, BUGS_EDGE)
{
	prepare_line();
	expect("[0x10-0xff] irr=0x1, intr v@wait, rirr=0x0");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		route(v);
		line_raise();
		take(v);
		observe_remote_irr();
		line_lower();
		end();
	}
	ioapic_mask(LINE_PIN);
}

/* The line goes down before EOI: that is all. */
CASE_NEEDS("apic=1", level, ALL_NATIVE, RULE_LEVEL, BUGS_LEVEL)
{
	prepare_line();
	setup.hold_eoi = true;
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, rirr=0x1, rirr=0x0");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		route(IOAPIC_LEVEL | v);
		line_raise();
		take(v);
		observe_remote_irr();
		line_lower();
		event_eoi();
		observe_remote_irr();
		if (apic_bit(APIC_IRR, v))
			observe("irr", 1);
		end();
		ioapic_mask(LINE_PIN);
	}
}

/* The line is up still: EOI brings the next one. */
CASE_NEEDS("apic=1", level_again, ALL_NATIVE, RULE_LEVEL, BUGS_LEVEL)
{
	prepare_line();
	setup.hold_eoi = true;
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, irr=0x1, intr v[level]@wait, rirr=0x0");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		route(IOAPIC_LEVEL | v);
		line_raise();
		take(v);
		event_eoi();
		take(v);
		line_lower();
		event_eoi();
		observe_remote_irr();
		end();
		ioapic_mask(LINE_PIN);
	}
}

/* TMR belongs to the last interrupt of the vector: a level, then an IPI. */
CASE_NEEDS("apic=1", level_then_ipi, CPL0, RULE_LEVEL, CATCHES("model-tmr-wrong"))
{
	prepare_line();
	setup.hold_eoi = true;
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		route(IOAPIC_LEVEL | v);
		line_raise();
		take(v);
		line_lower();
		event_eoi();
		send_fixed(0, ICR_SELF | v);
		take(v);
		event_eoi();
		end();
		ioapic_mask(LINE_PIN);
	}
}

/* The line stays up: without suppression the second one would be there right after EOI. */
CASE_NEEDS("apic=1", eoi_suppressed, CPL0, RULE_SUPPRESSED, CATCHES("model-eoi-not-suppressed"))
{
	need_of_machine(apic_read(APIC_VERSION) & APIC_VERSION_SUPPRESSES_EOI,
			"EOI-broadcast suppression");
	prepare_line();
	need_of_machine(ioapic_has_eoi(), "EOI register in its I/O APIC");
	setup.hold_eoi = true;
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, rirr=0x1, irr=0x0, "
	       "irr=0x1, intr v[level]@wait, rirr=0x1, rirr=0x0");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		apic_write(APIC_SPURIOUS, apic_read(APIC_SPURIOUS) | APIC_SUPPRESS_EOI);
		route(IOAPIC_LEVEL | v);
		line_raise();
		take(v);
		event_eoi();
		observe_remote_irr();
		observe("irr", apic_bit(APIC_IRR, v));
		ioapic_eoi(v);
		take(v);
		line_lower();
		event_eoi();
		observe_remote_irr();
		ioapic_eoi(v);
		observe_remote_irr();
		end();
		ioapic_mask(LINE_PIN);
	}
	apic_enable(0);
}

static void edge_on_line(unsigned v)
{
	route(v);
	line_raise();
	line_lower();
	ioapic_mask(LINE_PIN);
}

CASE_NEEDS("apic=1", illegal, CPL0, RULE_ILLEGAL, BUGS_ILLEGAL)
{
	prepare_line();
	try_illegal(edge_on_line);
}

/* -- To other CPUs. ---------------------------------------------------------------------------- */

static void edge_to(uint32_t destination, uint32_t command)
{
	ioapic_route(LINE_PIN, command, destination);
	line_raise();
	ioapic_settle(LINE_PIN);
	line_lower();
}

static void try_round(uint32_t targets, uint32_t destination, uint32_t command)
{
	prepare_line();
	try_round_by(edge_to, "intr v", targets, destination, command);
	ioapic_mask(LINE_PIN);
}

#define ROUND(name, rule, bugs) ROUND_IN(name, CPL0, "apic=1", rule, CATCHES(bugs))

ROUND_IN(other_by_id, IN_LONG_MODE, "apic=1", RULE_PHYSICAL, BUGS_OTHERS)
{
	try_round(1 << 1, percpu[1].apic_id, 0);
}

ROUND(last_by_id, RULE_PHYSICAL, "model-source-class-1")
{
	try_round(1u << (cpus - 1), percpu[cpus - 1].apic_id, 0);
}

ROUND(all_by_id, RULE_PHYSICAL, "model-source-class-1 model-ipi-lost")
{
	try_round(ALL_CPUS, 0xff, 0);
}

ROUND(other_by_logical_id, RULE_LOGICAL, "model-source-class-1")
{
	try_round(1 << 1, apic_logical_id(1), IOAPIC_LOGICAL);
}

ROUND(pair_by_logical_id, RULE_LOGICAL, "model-source-class-1 model-ipi-lost")
{
	try_round(1 << 0 | 1 << 1, apic_logical_id(0) | apic_logical_id(1), IOAPIC_LOGICAL);
}

ROUND(all_by_logical_id, RULE_LOGICAL, "model-source-class-1 model-ipi-lost")
{
	try_round(ALL_CPUS, 0xff, IOAPIC_LOGICAL);
}

ROUND(nobody_by_logical_id, RULE_LOGICAL, "model-ipi-wrong-target")
{
	try_round(0, apic_logical_id(0) << 7, IOAPIC_LOGICAL);
}

static struct {
	volatile unsigned sent, taken; /* the vector, plus one */
	volatile bool ready;
} channel;

static void take_levels(void *argument)
{
	(void)argument;
	channel.ready = true;
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		await(channel.sent == v + 1, "CPU 0 to send");
		begin(v);
		if (interrupt_comes(v))
			run_until(open, 1);
		end();
		channel.taken = v + 1;
	}
}

/* The EOI of one CPU ends what another has routed. */
CASE_NEEDS("cpus=2 apic=1", other_level, CPL0, RULE_LEVEL, BUGS_LEVEL)
{
	memset(&channel, 0, sizeof(channel));
	prepare_line();
	expect("[0x10-0x1f] rirr=0x1, rirr=0x0 | cpu1: [0x10-0x1f] intr v[level]@wait");
	cpu_start_work(1, take_levels, NULL);
	await(channel.ready, "CPU 1 to get ready");
	for_each_vector(v, FIRST, LAST_OF_FEW) {
		subject_begin(v);
		ioapic_route(LINE_PIN, IOAPIC_LEVEL | v, percpu[1].apic_id);
		line_raise();
		ioapic_settle(LINE_PIN);
		observe_remote_irr();
		line_lower();
		channel.sent = v + 1;
		await(channel.taken == v + 1, "CPU 1 to take it");
		observe_remote_irr();
		end();
		ioapic_mask(LINE_PIN);
	}
	check(cpu_wait(1), "CPU 1 did not finish");
}
