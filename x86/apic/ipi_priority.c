/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What holds a fixed interrupt back besides IF, and in which order those that wait are delivered.
 *
 * The rule. A vector's class is its upper four bits. An interrupt is delivered when its class is above that
 * of the TPR and above that of everything in service; the highest pending vector goes first. EOI ends
 * the highest vector in service. While a vector is in service, its IRR bit holds one more of the same, and
 * a third is lost. CR8 is the upper half of the TPR.
 *
 * Vectors 16 to 31 are class 1, which is held back by a TPR of 0x10 and not by one of 0x0f.
 *
 * Why a hypervisor must care. It keeps two copies of the TPR (the APIC's page and what CR8 shows, or V_TPR)
 * and works out the priority itself; class 1 is a class that none of its usual guests uses. An interrupt
 * held back that has no threshold set waits for an unrelated exit.
 *
 * A buggy hypervisor shows `intr v` where a later vector should stand before it, `irr=0x0` where it should
 * be held, `isr=0x0` where it should be in service, or (none) after what held it back has gone.
 *
 * All by IPIs of one CPU to itself (ipi.c). This file is also the guest ipi_priority_x2apic.
 */
#include "self.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_TPR "SDM 3A, Task and Processor Priorities: only a class above the TPR's is delivered"
#define RULE_SERVICE \
	"SDM 3A, Interrupt Acceptance for Fixed Interrupts: only a class above that in service is delivered; IRR holds one more; EOI ends the highest"
#define RULE_ORDER "SDM 3A, Interrupt Priority: the highest pending vector is delivered first"

#define ABSENCE_TICKS (1ul << 15)

/* -- What holds it back, besides IF. ----------------------------------------------------------- */

static void write_tpr(unsigned value)
{
	apic_write(APIC_TPR, value);
}

/* A higher class comes through, which shows that nothing else holds the vector back. */
static void try_priority(void (*set)(unsigned value))
{
	grant_iopl();
	expect("[0x10-0xef] intr v+0x10@wait, irr=0x1, intr v@wait; [0xf0-0xff] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		set(v & 0xf0);
		send_self(v);
		if (v < 0xf0) {
			send_self(v + 0x10);
			run_until(held, 1);
		} else {
			run_for(held, ABSENCE_TICKS);
		}
		observe("irr", apic_bit(APIC_IRR, v));
		set((v & 0xf0) - 1);
		run_until(held, 1);
		subject_end();
	}
	set(0);
}

CASE_NEEDS(MODE_NEEDS, held_by_tpr, ALL_NATIVE, RULE_TPR, CATCHES("model-tpr-class-1"))
{
	try_priority(write_tpr);
}

/* CR8 is the upper half of the TPR. */
static void write_cr8_class(unsigned value)
{
	asm volatile("mov %0, %%cr8" : : "r"((uint64_t)value >> 4));
}

CASE_NEEDS(MODE_NEEDS, held_by_cr8, ALL_NATIVE,
	   "SDM 3A, Interrupt Priority: CR8 is the upper four bits of the TPR",
	   CATCHES("model-tpr-class-1"))
{
	try_priority(write_cr8_class);
}

CASE_NEEDS(MODE_NEEDS, held_by_service, CPL0 | CPL3, RULE_SERVICE,
	   CATCHES("model-ipi-no-isr model-eoi-wrong-vector"))
{
	grant_iopl();
	setup.hold_eoi = true;
	expect("[0x10-0xef] intr v@wait, intr v+0x10@wait, irr=0x1, isr=0x1, irr=0x1, intr v@wait; "
	       "[0xf0-0xff] intr v@wait, irr=0x1, isr=0x1, irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		send_self(v);
		run_until(held, 1);
		/* Two more of the same: one of them is lost by rule. */
		send_self(v);
		send_self(v);
		if (v < 0xf0) {
			send_self(v + 0x10);
			run_until(held, 1);
			observe("irr", apic_bit(APIC_IRR, v));
			event_eoi();
		} else {
			run_for(held, ABSENCE_TICKS);
			observe("irr", apic_bit(APIC_IRR, v));
		}
		observe("isr",
			apic_bit(APIC_ISR, v) | (v < 0xf0 ? apic_bit(APIC_ISR, v + 0x10) << 1 : 0));
		observe("irr", apic_bit(APIC_IRR, v));
		event_eoi();
		run_until(held, 1);
		event_eoi();
		if (apic_bit(APIC_IRR, v) || apic_bit(APIC_ISR, v))
			observe("left", 1);
		subject_end();
	}
}

/* The class counts, not the vector: a higher one of the same class waits, and the next class does not. */
CASE_NEEDS(MODE_NEEDS, held_by_own_class, CPL0 | CPL3, RULE_SERVICE,
	   CATCHES("model-ipi-no-isr model-tpr-class-1"))
{
	grant_iopl();
	setup.hold_eoi = true;
	expect("[0x10-0x1e] intr v@wait, irr=0x1, intr v+0x1@wait");
	for_each_vector(v, 0x10, 0x1e) {
		begin(v);
		send_self(v);
		run_until(held, 1);
		send_self(v + 1);
		run_for(held, ABSENCE_TICKS);
		observe("irr", apic_bit(APIC_IRR, v + 1));
		event_eoi();
		run_until(held, 1);
		event_eoi();
		subject_end();
	}
}

/* Takes one event in each run, highest first, of all that are pending. */
CASE_NEEDS(MODE_NEEDS, order, ALL_NATIVE, RULE_ORDER, CATCHES("model-ipi-order"))
{
	grant_iopl();
	setup.leave_after = 1;
	expect("[0x10-0xff] intr v@wait");
	for_each_vector(v, FIRST, LAST)
		send_self(v);
	for (unsigned v = LAST; v >= FIRST; v--) {
		if (!vector_is_due(v))
			continue;
		begin(v);
		run_until(held, 1);
		subject_end();
	}
}
