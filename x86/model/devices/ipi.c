/* SPDX-License-Identifier: BSD-2-Clause */
#include "ipi.h"

#include "bug.h"
#include "smp.h"

#include "x86/devices/apic.h"

#define ICR_VECTOR 0xffu
#define ICR_MODE 0x700u
#define ICR_LOWEST_PRIORITY 0x100u
#define ICR_SHORTHAND 0xc0000u
#define BROADCAST 0xffu
#define X2_BROADCAST 0xffffffffu

static bool physically(const struct lapic *a, uint32_t destination, bool from_x2)
{
	uint32_t id = lapic_is_x2(a) ? a->id : a->id >> 24;

	return destination == (from_x2 ? X2_BROADCAST : BROADCAST) || destination == id;
}

static bool meets(uint32_t destination, uint32_t id)
{
	if (!id && destination && bug(LOGICAL_ID_0))
		return true;
	if (id & (id - 1) && bug(LOGICAL_ONE_BIT))
		id &= -id;
	return destination & id;
}

static bool logically(const struct lapic *a, uint32_t destination, bool from_x2)
{
	if (lapic_is_x2(a)) {
		if (destination == (from_x2 ? X2_BROADCAST : BROADCAST))
			return true;
		return destination >> 16 == a->ldr >> 16 && destination & a->ldr & 0xffff;
	}
	if (destination == BROADCAST)
		return true;
	if (a->dfr >> 28 == 0xf)
		return meets(destination, a->ldr >> 24);
	return (destination >> 4 == a->ldr >> 28 || destination >> 4 == 15) &&
	       meets(destination & 15, a->ldr >> 24 & 15);
}

/* SDM 3A, "Determining IPI Destination". */
static bool addressed(const struct vcpu *from, const struct vcpu *to, uint32_t command,
		      uint32_t destination)
{
	bool x2 = lapic_is_x2(&from->apic);

	switch (command & ICR_SHORTHAND) {
	case ICR_SELF:
		return to == from;
	case ICR_ALL:
		return true;
	case ICR_OTHERS:
		return to != from;
	}
	if (!x2)
		destination >>= 24;
	return command & ICR_LOGICAL ? logically(&to->apic, destination, x2)
				     : physically(&to->apic, destination, x2);
}

/* More than one in waiting is one; the vector means nothing. */
static void nmi(struct vcpu *to, unsigned vector)
{
	if (bug(NMI_LOST))
		return;
	if (vector != 2 && bug(NMI_VECTOR)) {
		lapic_request(to, vector);
		return;
	}
	if (to->nmi_pending && bug(NMI_NOT_COLLAPSED))
		to->nmi_surplus++;
	to->nmi_pending = true;
}

/* SDM 3A, "Interrupt Command Register": level-triggered and de-asserted it is none. */
static bool is_init(uint32_t command)
{
	if (command & (ICR_LOGICAL | ICR_SHORTHAND) && bug(INIT_BY_ID_ALONE))
		return false;
	if (!(command & ICR_LEVEL))
		return true;
	return command & ICR_ASSERT ? !bug(INIT_LEVEL) : bug(INIT_DEASSERT);
}

/* A bug: what names CPUs by another way than the id of one wakes none, until something else does. */
static void note_sleeper(struct vcpu *to, uint32_t command)
{
	bool lost = to->halted && command & (ICR_SHORTHAND | ICR_LOGICAL) && bug(HALT_NO_KICK);

	if (lost || bug_is_set(HALT_NO_KICK))
		to->overslept = lost;
}

static void deliver(struct vcpu *from, struct vcpu *to, uint32_t command)
{
	switch (command & ICR_MODE) {
	case ICR_FIXED:
	case ICR_LOWEST_PRIORITY:
		lapic_request(to, command & ICR_VECTOR);
		note_sleeper(to, command);
		ap_other_event(to);
		break;
	case ICR_NMI:
		nmi(to, command & ICR_VECTOR);
		ap_other_event(to);
		break;
	case ICR_INIT:
		if (to == from || !is_init(command))
			return;
		ap_init(to);
		break;
	case ICR_STARTUP:
		ap_sipi(to, command & ICR_VECTOR);
		break;
	}
	smp_kick(to);
}

/* A bug: every so often one to the sender itself. */
static bool is_lost(uint32_t command)
{
	static unsigned sent;

	return (command & (ICR_SHORTHAND | ICR_MODE)) == (ICR_SELF | ICR_FIXED) &&
	       ++sent % 64 == 0 && bug(SELF_IPI_LOST);
}

/* A bug: it goes to those whom it does not name. */
static bool misdirected(uint32_t command)
{
	switch (command & ICR_MODE) {
	case ICR_FIXED:
		return bug(IPI_WRONG_TARGET);
	case ICR_NMI:
		return bug(NMI_WRONG_TARGET);
	}
	return false;
}

/* Whether two of them have a bit of their logical ids in common. */
static bool shares_id(uint32_t named)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < smp_count(); i++) {
		const struct lapic *a = &smp_vcpu(i)->apic;
		uint32_t bits = a->dfr >> 28 == 0xf ? a->ldr >> 24
						    : (a->ldr >> 24 & 15) << (a->ldr >> 28 & 1) * 4;

		if (!(named >> i & 1) || lapic_is_x2(a))
			continue;
		if (seen & bits)
			return true;
		seen |= bits;
	}
	return false;
}

/* A bug: those who wait for a start-up IPI behind an INIT, and are not named by this one. */
static uint32_t others_that_wait(uint32_t named)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < smp_count(); i++) {
		const struct ap_state *ap = &smp_vcpu(i)->ap;

		mask |= (uint32_t)(ap->started && ap->waits_for_sipi) << i;
	}
	mask &= ~named;
	return mask && bug(SIPI_TO_ALL) ? mask : 0;
}

/* Of those whom a command names, a mask of CPUs, those whom it reaches. */
static uint32_t reached(uint32_t named, uint32_t command)
{
	uint32_t all = (1u << smp_count()) - 1;
	bool several = named & (named - 1);

	if ((command & ICR_MODE) == ICR_STARTUP)
		named |= others_that_wait(named);
	if (several && command & ICR_LOGICAL && shares_id(named) && bug(LOGICAL_ALIAS))
		named = 1u << (31 - __builtin_clz(named));
	if (several && (command & ICR_MODE) == ICR_FIXED && bug(IPI_LOST))
		named &= ~(1u << (31 - __builtin_clz(named)));
	return named != all && misdirected(command) ? all : named;
}

void ipi_send(struct vcpu *from, uint32_t command, uint32_t destination)
{
	bool to_one = (command & ICR_MODE) == ICR_LOWEST_PRIORITY;
	struct vcpu *best = NULL;
	uint32_t named = 0;

	if ((command & ICR_MODE) == ICR_FIXED && (command & ICR_VECTOR) < 16)
		lapic_error(from, ESR_SEND_ILLEGAL);
	if (is_lost(command))
		return;
	for (unsigned i = 0; i < smp_count(); i++)
		named |= (uint32_t)addressed(from, smp_vcpu(i), command, destination) << i;
	named = reached(named, command);
	for (unsigned i = 0; i < smp_count(); i++) {
		struct vcpu *to = smp_vcpu(i);

		if (!lapic_is_on(&to->apic) || !(named >> i & 1))
			continue;
		if (!to_one || (named & (named - 1) && bug(LOWEST_PRIORITY_ALL)))
			deliver(from, to, command);
		else if (!best || lapic_priority(&to->apic) < lapic_priority(&best->apic))
			best = to;
	}
	if (best)
		deliver(from, best, command);
}

bool ipi_message(uint32_t command, uint8_t destination)
{
	unsigned vector = command & ICR_VECTOR;
	uint32_t named = 0;
	bool taken = false;

	if (bug(SOURCE_CLASS_1) && vector >= 16 && vector < 32)
		return false;
	for (unsigned i = 0; i < smp_count(); i++) {
		const struct lapic *a = &smp_vcpu(i)->apic;

		named |= (uint32_t)(command & ICR_LOGICAL ? logically(a, destination, false)
							  : physically(a, destination, false))
			 << i;
	}
	named = reached(named, command);
	for (unsigned i = 0; i < smp_count(); i++) {
		struct vcpu *to = smp_vcpu(i);

		if (!lapic_is_on(&to->apic) || !(named >> i & 1))
			continue;
		deliver(NULL, to, command & (ICR_MODE | ICR_VECTOR));
		if (command & ICR_LEVEL)
			lapic_was_level(&to->apic, vector);
		taken |= lapic_takes(&to->apic) || bug(IOAPIC_RIRR_UNASKED);
	}
	return taken;
}
