/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed IPIs: every vector from 16 to 255, every way to name a destination, every receiver.
 *
 * The rule. A fixed IPI with a vector of 16 or more sets the vector's IRR bit in each CPU that its
 * destination names and in no other, and clears its TMR bit. It is delivered when IF is set and nothing of
 * higher priority stands before it (ipi_priority.c); then its ISR bit is set and nothing is pushed but a
 * frame, whatever exception has the same number.
 *
 * Vectors 16 to 31 are no exception to this. Intel reserves them for exceptions, but the local APIC
 * sends and takes them (SDM 3A, "Valid Interrupt Vectors"); ipi_exception.c has the exceptions themselves
 * beside them.
 *
 * The bugs that taught it. QEMU 7.2 and Bochs 2.7 do not know the logical destination "these CPUs of every
 * cluster" (0xFn). KVM's AVIC lost IPIs (5aede752a839, 8de4a1c8164e).
 *
 * A buggy hypervisor shows `intr v(0x0)@wait` or an exception's name in the place of `intr v`; (none)
 * where a CPU was left out; a `cpu2:` that nobody named; `irr=0x0` where IF holds the interrupt back.
 *
 * How several CPUs take part is in round.h.
 *
 * This file is also the guest ipi_x2apic, where every case runs in x2APIC mode.
 */
#include "round.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_SELF \
	"SDM 3A, Interrupt Command Register: a fixed IPI to this CPU itself; while IF is clear it stays in IRR"
#define RULE_PHYSICAL \
	"SDM 3A, Physical Destination Mode: the CPU with that APIC id, or all of them for the id of all ones"
#define RULE_LOGICAL \
	"SDM 3A, Logical Destination Mode: every CPU whose logical id the message address matches"
#define RULE_SHORTHAND "SDM 3A, Interrupt Command Register: destination shorthands"

#define BUGS_DELIVERY CATCHES("model-ipi-error-code model-ipi-no-isr model-ipi-ignores-if")
#define BUGS_OTHER CATCHES("kvm-avic-bad-target model-ipi-error-code")
#define BUGS_OTHERS CATCHES("kvm-avic-bad-target model-ipi-error-code model-ipi-lost")

/* -- To itself. -------------------------------------------------------------------------------- */

static void by_id(unsigned v)
{
	send_fixed(apic_id(), v);
}

static void by_logical_id(unsigned v)
{
	send_fixed(apic_logical_id(0), ICR_LOGICAL | v);
}

static void try_self(void (*send)(unsigned v))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		send(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held, 1);
		if (apic_bit(APIC_IRR, v) || apic_bit(APIC_ISR, v))
			observe("left", 1);
		subject_end();
	}
}

CASE_NEEDS(MODE_NEEDS, self_by_id, ALL_NATIVE, RULE_SELF, BUGS_DELIVERY)
{
	try_self(by_id);
}

CASE_NEEDS(MODE_NEEDS, self_by_logical_id, ALL_NATIVE, RULE_SELF, BUGS_DELIVERY)
{
	try_self(by_logical_id);
}

CASE_NEEDS(MODE_NEEDS, self_by_shorthand, ALL_NATIVE, RULE_SELF, BUGS_DELIVERY)
{
	try_self(send_self);
}

#ifdef X2APIC
static void by_self_ipi(unsigned v)
{
	apic_write(X2APIC_SELF_IPI, v);
}

CASE_NEEDS(MODE_NEEDS, self_by_self_ipi, ALL_NATIVE,
	   "SDM 3A, SELF IPI Register: a fixed, edge-triggered IPI to this CPU", BUGS_DELIVERY)
{
	try_self(by_self_ipi);
}
#endif

CASE_NEEDS(
	MODE_NEEDS, self_on_spurious_vector, CPL0,
	"SDM 3A, Spurious Interrupt: only a spurious interrupt leaves ISR alone; an IPI on that vector is in service until EOI",
	CATCHES("bochs-spurious-eoi"))
{
	unsigned v = APIC_SPURIOUS_VECTOR;

	grant_iopl();
	expect("[0xff] irr=0x1, intr v@wait, isr=0x0");
	subject_begin(v);
	send_self(v);
	observe("irr", apic_bit(APIC_IRR, v));
	run_until(held, 1);
	observe("isr", apic_bit(APIC_ISR, v));
	subject_end();
}

/* -- To other CPUs. ---------------------------------------------------------------------------- */

static void try_round(uint32_t targets, uint32_t destination, uint32_t command)
{
	try_round_by(send_fixed, "intr v", targets, destination, command);
}

#define ROUND(name, rule, bugs) ROUND_IN(name, CPL0, MODE_NEEDS, rule, bugs)

ROUND_IN(other_by_id, IN_LONG_MODE, MODE_NEEDS, RULE_PHYSICAL, BUGS_OTHER)
{
	try_round(1 << 1, percpu[1].apic_id, 0);
}

ROUND(last_by_id, RULE_PHYSICAL, BUGS_OTHER)
{
	try_round(1u << (cpus - 1), percpu[cpus - 1].apic_id, 0);
}

ROUND(nobody_by_id, RULE_PHYSICAL, CATCHES("model-ipi-wrong-target"))
{
	try_round(0, 0x5a, 0);
}

ROUND(all_by_id, RULE_PHYSICAL, BUGS_OTHERS)
{
	try_round(ALL_CPUS, apic_everybody(), 0);
}

ROUND(all_by_shorthand, RULE_SHORTHAND, BUGS_OTHERS)
{
	try_round(ALL_CPUS, 0, ICR_ALL);
}

ROUND(others_by_shorthand, RULE_SHORTHAND, BUGS_OTHERS)
{
	try_round(ALL_CPUS & ~1u, 0, ICR_OTHERS);
}

ROUND(self_by_shorthand_alone, RULE_SHORTHAND, CATCHES("model-ipi-wrong-target"))
{
	try_round(1, percpu[1].apic_id, ICR_SELF);
}

ROUND(other_by_logical_id, RULE_LOGICAL, BUGS_OTHER)
{
	try_round(1 << 1, apic_logical_id(1), ICR_LOGICAL);
}

ROUND(pair_by_logical_id, RULE_LOGICAL, BUGS_OTHERS)
{
	try_round(1 << 0 | 1 << 1, apic_logical_id(0) | apic_logical_id(1), ICR_LOGICAL);
}

ROUND(nobody_by_logical_id, RULE_LOGICAL, CATCHES("model-ipi-wrong-target"))
{
	try_round(0, apic_logical_id(0) << 7, ICR_LOGICAL);
}

ROUND(all_by_logical_id, RULE_LOGICAL,
      CATCHES("kvm-avic-bad-target xen-x2apic-broadcast model-ipi-error-code model-ipi-lost"))
{
	try_round(ALL_CPUS, apic_everybody(), ICR_LOGICAL);
}

#ifndef X2APIC
/* The cluster model: even CPUs are members 0, 1, … of cluster 0, odd ones of cluster 1. */
#define CLUSTER_MODEL 0x0fffffff
#define CLUSTER(cluster, members) ((cluster) << 4 | (members))

static void join_cluster(void *argument)
{
	unsigned index = this_cpu()->index;

	(void)argument;
	apic_write(APIC_DFR, CLUSTER_MODEL);
	apic_write(APIC_LDR, CLUSTER(index % 2, 1u << index / 2) << 24);
}

static void leave_cluster(void *argument)
{
	(void)argument;
	apic_enable(this_cpu()->index);
}

static void on_all_cpus(void (*work)(void *argument))
{
	for (unsigned i = 1; i < cpus; i++) {
		cpu_start_work(i, work, NULL);
		check(cpu_wait(i), "CPU %u did not change its logical id", i);
	}
	work(NULL);
}

static void try_cluster(uint32_t targets, uint32_t destination)
{
	on_all_cpus(join_cluster);
	try_round(targets, destination, ICR_LOGICAL);
	on_all_cpus(leave_cluster);
}

ROUND(other_in_cluster, RULE_LOGICAL, BUGS_OTHER)
{
	try_cluster(1 << 1, CLUSTER(1, 1));
}

ROUND(all_in_one_cluster, RULE_LOGICAL, BUGS_OTHERS)
{
	try_cluster(1 << 1 | 1 << 3, CLUSTER(1, 0xf));
}

ROUND(nobody_in_cluster, RULE_LOGICAL, CATCHES("model-ipi-wrong-target"))
{
	try_cluster(0, CLUSTER(2, 0xf));
}

ROUND(one_in_every_cluster, RULE_LOGICAL,
      CATCHES("tcg-cluster-broadcast kvm-cluster-broadcast xen-cluster-broadcast model-ipi-lost"))
{
	try_cluster(1 << 0 | 1 << 1, CLUSTER(0xf, 1));
}

ROUND(all_in_every_cluster, RULE_LOGICAL,
      CATCHES("tcg-cluster-broadcast xen-cluster-broadcast model-ipi-lost"))
{
	try_cluster(ALL_CPUS, CLUSTER(0xf, 0xf));
}
#endif
