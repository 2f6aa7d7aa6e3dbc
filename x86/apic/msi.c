/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of devices (MSI), written by hand: to this CPU and to others.
 *
 * The rule. A message is a write to 0xfeexxxxx. Its address names the destination, its data the vector,
 * the delivery mode and the trigger mode, and the local APIC takes it as it takes an IPI: vectors from
 * 16 on are delivered without error code, vectors below are reported and not delivered (illegal.c). With
 * the redirection hint clear the destination is one CPU by its id, or all of them; with hint and
 * destination mode set, it is the one of lowest priority among those with that logical id.
 *
 * The bugs that taught it. Messages have a way of their own into the hypervisor (KVM's irqfd goes past
 * user space, posted interrupts past the hypervisor), which forgets things of its own: vectors 16 to 31
 * because they "are exceptions", the check for vectors below 16 because it sits in the code for the
 * ICR, the trigger mode because all devices send edges.
 *
 * A buggy hypervisor shows (none) for a vector or a CPU, a `cpu2:` that nobody named, or
 * `intr v[level]@wait` where `intr v@wait` is due or the other way round.
 *
 * The device is QEMU's "edu" (lib/x86/devices/edu.h). How several CPUs take part is in round.h.
 */
#include "round.h"
#include "source.h"

#include "x86/devices/edu.h"

#define RULE_MSI \
	"SDM 3A, Message Signalled Interrupts: vector and trigger mode are those of the message"
#define RULE_PHYSICAL \
	"SDM 3A, Message Address Register Format: without redirection hint, the CPU with that id, or all of them for 0xff"
#define RULE_LOGICAL \
	"SDM 3A, Message Address Register Format: with redirection hint, one of the CPUs with that logical id"

#define BUGS CATCHES("model-source-class-1")
#define BUGS_OTHERS CATCHES("model-source-class-1")

static void prepare_edu(void)
{
	grant_iopl();
	need_edu();
}

static void send_message(unsigned data)
{
	edu_send(MSI_ADDRESS | MSI_DESTINATION(apic_id()), data);
}

/* -- To this CPU. ------------------------------------------------------------------------------ */

static void try_messages(uint32_t mode)
{
	for_each_vector(v, FIRST, LAST) {
		begin(v);
		send_message(mode | v);
		take(v);
		end();
	}
}

CASE_NEEDS("apic=1", edge, ALL_NATIVE, RULE_MSI, BUGS)
{
	prepare_edu();
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	try_messages(0);
}

CASE_NEEDS("apic=1", level, ALL_NATIVE, RULE_MSI, CATCHES("model-source-class-1 model-tmr-wrong"))
{
	prepare_edu();
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait");
	try_messages(MSI_LEVEL);
}

CASE_NEEDS("apic=1", illegal, CPL0, RULE_ILLEGAL, BUGS_ILLEGAL)
{
	prepare_edu();
	try_illegal(send_message);
}

/* Nothing is left of it, and the next one comes as ever. */
CASE_NEEDS(
	"apic=1", while_off, CPL0,
	"SDM 3A, Local APIC State After It Has Been Software Disabled: a fixed interrupt is refused, and nothing of it is left",
	CATCHES("tcg-irr-while-off"))
{
	unsigned v = FIRST + 0x20;

	prepare_edu();
	expect("irr=0x0; irr=0x1; intr 0x30@wait");
	apic_write(APIC_SPURIOUS, APIC_SPURIOUS_VECTOR);
	send_message(v);
	give_it_time();
	apic_enable(0);
	observe("irr", apic_bit(APIC_IRR, v));
	interrupts_drain();
	send_message(v);
	take(v);
}

/* -- To other CPUs. ---------------------------------------------------------------------------- */

static void to_id(uint32_t destination, uint32_t command)
{
	edu_send(MSI_ADDRESS | MSI_DESTINATION(destination), command);
}

static void to_logical_id(uint32_t destination, uint32_t command)
{
	edu_send(MSI_ADDRESS | MSI_CHOOSE | MSI_LOGICAL | MSI_DESTINATION(destination), command);
}

static void try_round(send_vector *send, uint32_t targets, uint32_t destination, uint32_t mode)
{
	prepare_edu();
	try_round_by(send, mode & MSI_LEVEL ? "intr v[level]" : "intr v", targets, destination,
		     mode);
}

#define ROUND(name, rule, bugs) ROUND_IN(name, CPL0, "apic=1", rule, CATCHES(bugs))

ROUND_IN(other_by_id, IN_LONG_MODE, "apic=1", RULE_PHYSICAL, BUGS_OTHERS)
{
	try_round(to_id, 1 << 1, percpu[1].apic_id, 0);
}

ROUND(other_level_by_id, RULE_PHYSICAL, "model-source-class-1")
{
	try_round(to_id, 1 << 1, percpu[1].apic_id, MSI_LEVEL);
}

ROUND(last_by_id, RULE_PHYSICAL, "model-source-class-1")
{
	try_round(to_id, 1u << (cpus - 1), percpu[cpus - 1].apic_id, 0);
}

ROUND(nobody_by_id, RULE_PHYSICAL, "")
{
	try_round(to_id, 0, 0x5a, 0);
}

ROUND(all_by_id, RULE_PHYSICAL, "model-source-class-1")
{
	try_round(to_id, ALL_CPUS, 0xff, 0);
}

ROUND(other_by_logical_id, RULE_LOGICAL, "model-source-class-1")
{
	try_round(to_logical_id, 1 << 1, apic_logical_id(1), 0);
}

ROUND(last_by_logical_id, RULE_LOGICAL, "model-source-class-1")
{
	try_round(to_logical_id, 1u << (cpus - 1), apic_logical_id(cpus - 1), 0);
}

ROUND(nobody_by_logical_id, RULE_LOGICAL, "")
{
	try_round(to_logical_id, 0, apic_logical_id(0) << 7, 0);
}
