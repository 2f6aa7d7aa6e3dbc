/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of an I/O APIC whose entry is changed while they are on their way, and those that find the local APIC off.
 *
 * The rule. An edge on a masked pin is lost, a level on one has no effect until the mask goes. What a local APIC has
 * accepted stays accepted, whatever becomes of the line, the mask or the destination: the next one goes where the entry
 * says then. Remote IRR says that a local APIC has accepted a level; an APIC that software has disabled accepts none, so
 * nothing is left of it there, and the line works as before once the APIC is enabled. 82093AA, "I/O Redirection
 * Table Registers"; SDM 3A, "Local APIC State After It Has Been Software Disabled".
 *
 * Why a hypervisor must care. An operating system moves an interrupt to another CPU while it comes. The hypervisor has a
 * map from vectors to pins for the EOI, and from entries to CPUs for the way there, and both are of the moment when
 * the entry was written.
 *
 * What a buggy hypervisor shows: `irr=0x1` for what was masked or refused, `rirr=0x1` behind the EOI or where nobody took
 * it (the line is dead from then on), an interrupt at the CPU that the entry named before.
 *
 * The line is that of the first serial port (ioapic.c).
 */
#include "source.h"

#include "x86/devices/ioapic.h"

#define RULE_MASK \
	"82093AA, Redirection Table, Interrupt Mask: an edge on a masked pin is ignored, a level has no effect while it is masked"
#define RULE_ACCEPTED \
	"82093AA, Redirection Table, Interrupt Mask: what a local APIC has accepted stays so, whatever becomes of the entry"
#define RULE_MOVED \
	"82093AA, Redirection Table, Destination: the CPU that the entry names when it sends; remote IRR goes with the EOI"
#define RULE_OFF \
	"SDM 3A, Local APIC State After It Has Been Software Disabled: a fixed interrupt is refused, and nothing of it is left"

#define V 0x41

static void observe_remote_irr(void)
{
	observe("rirr", ioapic_remote_irr(LINE_PIN));
}

static void observe_irr(void)
{
	observe("irr", apic_bit(APIC_IRR, V));
}

static void begin_line(void)
{
	need_line();
	setup.hold_eoi = true;
}

static void end_line(void)
{
	line_lower();
	ioapic_mask(LINE_PIN);
}

static void route(uint32_t low)
{
	ioapic_route(LINE_PIN, low | V, apic_id());
}

static void pulse(void)
{
	line_raise();
	line_lower();
}

/* -- Behind the mask. ---------------------------------------------------------------------------- */

CASE_NEEDS("apic=1", masked_edge, CPL0, RULE_MASK, CATCHES("model-ioapic-edge-kept"))
{
	expect("irr=0x0 x2; irr=0x1; intr 0x41@wait");
	begin_line();
	route(IOAPIC_MASKED);
	pulse();
	route(0);
	give_it_time();
	observe_irr();
	/* The line is up when the mask goes, and no edge. */
	route(IOAPIC_MASKED);
	line_raise();
	route(0);
	give_it_time();
	observe_irr();
	line_lower();
	line_raise();
	take(V);
	event_eoi();
	end_line();
}

CASE_NEEDS("apic=1", masked_level, CPL0, RULE_MASK, CATCHES("model-ioapic-mask-ignored"))
{
	expect("irr=0x0 x2; irr=0x1; intr 0x41[level]@wait; rirr=0x0");
	begin_line();
	route(IOAPIC_MASKED | IOAPIC_LEVEL);
	pulse();
	route(IOAPIC_LEVEL);
	give_it_time();
	observe_irr();
	route(IOAPIC_MASKED | IOAPIC_LEVEL);
	line_raise();
	give_it_time();
	observe_irr();
	route(IOAPIC_LEVEL);
	take(V);
	line_lower();
	event_eoi();
	observe_remote_irr();
	end_line();
}

/* -- Accepted. ----------------------------------------------------------------------------------- */

CASE_NEEDS("apic=1", level_gone, CPL0, RULE_ACCEPTED,
	   CATCHES("bochs-no-remote-irr model-ioapic-takes-back"))
{
	expect("irr=0x1; intr 0x41[level]@wait; rirr=0x1; rirr=0x0; irr=0x0");
	begin_line();
	route(IOAPIC_LEVEL);
	line_raise();
	witness(interrupt_comes(V), "the interrupt did not come");
	line_lower();
	take(V);
	observe_remote_irr();
	event_eoi();
	observe_remote_irr();
	observe_irr();
	end_line();
}

CASE_NEEDS("apic=1", edge_masked_then, CPL0, RULE_ACCEPTED, CATCHES("model-ioapic-takes-back"))
{
	expect("irr=0x1; intr 0x41@wait; irr=0x0");
	begin_line();
	route(0);
	pulse();
	witness(interrupt_comes(V), "the interrupt did not come");
	ioapic_mask(LINE_PIN);
	take(V);
	event_eoi();
	observe_irr();
	end_line();
}

/* The line stays up: masked it comes no more, and once the mask is gone it does. */
CASE_NEEDS("apic=1", level_masked_in_service, CPL0, RULE_ACCEPTED,
	   CATCHES("bochs-no-remote-irr model-ioapic-mask-ignored"))
{
	expect("irr=0x1; intr 0x41[level]@wait; irr=0x0; irr=0x1; intr 0x41[level]@wait; rirr=0x0");
	begin_line();
	route(IOAPIC_LEVEL);
	line_raise();
	take(V);
	ioapic_set_low(LINE_PIN, IOAPIC_MASKED | IOAPIC_LEVEL | V);
	event_eoi();
	give_it_time();
	observe_irr();
	ioapic_set_low(LINE_PIN, IOAPIC_LEVEL | V);
	take(V);
	line_lower();
	event_eoi();
	observe_remote_irr();
	end_line();
}

/* -- Moved to another CPU. ----------------------------------------------------------------------- */

static struct {
	volatile bool ready, moved, done;
} other;

/* With IF clear from before the entry is changed. */
static void wait_until_moved(void)
{
	other.ready = true;
	await(other.moved, "CPU 0 to change the entry");
}

static void take_at_other(void *argument)
{
	(void)argument;
	wait_until_moved();
	take(V);
	observe_remote_irr();
	line_lower();
	event_eoi();
	observe_remote_irr();
	other.done = true;
}

static void look_at_other(void *argument)
{
	(void)argument;
	wait_until_moved();
	give_it_time();
	observe_irr();
	interrupts_drain();
	other.done = true;
}

static void begin_other(void (*work)(void *argument))
{
	memset((void *)&other, 0, sizeof(other));
	cpu_start_work(1, work, NULL);
	await(other.ready, "CPU 1 to get ready");
}

static void end_other(void)
{
	other.moved = true;
	await(other.done, "CPU 1 to look");
	observe_irr();
	check(cpu_wait(1), "CPU 1 did not come back");
	end_line();
}

/* The line is up still when the first CPU gives EOI, and the entry names another by then. */
CASE_NEEDS("cpus=2 apic=1", moved_in_service, CPL0, RULE_MOVED,
	   CATCHES("bochs-no-remote-irr model-ioapic-old-destination"))
{
	expect("irr=0x1; intr 0x41[level]@wait; rirr=0x1; irr=0x0 | "
	       "cpu1: irr=0x1; intr 0x41[level]@wait; rirr=0x1; rirr=0x0");
	begin_line();
	begin_other(take_at_other);
	route(IOAPIC_LEVEL);
	line_raise();
	take(V);
	observe_remote_irr();
	ioapic_set_destination(LINE_PIN, percpu[1].apic_id);
	event_eoi();
	end_other();
}

/* What the first CPU has in IRR stays there. */
CASE_NEEDS("cpus=2 apic=1", moved_while_pending, CPL0, RULE_ACCEPTED,
	   CATCHES("model-ioapic-moves-pending"))
{
	expect("irr=0x1; intr 0x41@wait; irr=0x0 | cpu1: irr=0x0");
	begin_line();
	begin_other(look_at_other);
	route(0);
	pulse();
	witness(interrupt_comes(V), "the interrupt did not come");
	ioapic_set_destination(LINE_PIN, percpu[1].apic_id);
	take(V);
	event_eoi();
	end_other();
}

/* -- The local APIC is off. ---------------------------------------------------------------------- */

static void switch_apic(bool on)
{
	apic_write(APIC_SPURIOUS, (on ? APIC_SOFTWARE_ENABLE : 0) | APIC_SPURIOUS_VECTOR);
}

/* Nothing is left, and the next one comes as ever. */
static void try_off(void)
{
	switch_apic(false);
	line_raise();
	give_it_time();
	line_lower();
	switch_apic(true);
	observe_irr();
	interrupts_drain();
	line_raise();
	take(V);
	line_lower();
	event_eoi();
}

CASE_NEEDS("apic=1", edge_while_off, CPL0, RULE_OFF,
	   CATCHES("model-apic-never-off tcg-irr-while-off"))
{
	expect("irr=0x0; irr=0x1; intr 0x41@wait");
	begin_line();
	route(0);
	try_off();
	end_line();
}

CASE_NEEDS(
	"apic=1", level_while_off, CPL0, RULE_OFF,
	CATCHES("model-apic-never-off model-ioapic-rirr-unasked tcg-irr-while-off xen-dead-line"))
{
	expect("irr=0x0; irr=0x1; intr 0x41[level]@wait; rirr=0x0");
	begin_line();
	route(IOAPIC_LEVEL);
	try_off();
	observe_remote_irr();
	end_line();
}
