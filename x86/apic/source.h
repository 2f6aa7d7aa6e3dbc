/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guests about interrupts that are no IPIs share (lvt.c, ioapic.c, msi.c): one delivery after
 * the other, waited for in IRR with IF clear, until a deadline.
 */
#ifndef X86_SOURCE_H
#define X86_SOURCE_H

#include "vector.h"

#define RULE_ILLEGAL \
	"SDM 3A, Valid Interrupt Vectors: a vector below 16 is not delivered and sets bit 6 of the ESR"

#define BUGS_ILLEGAL \
	CATCHES("tcg-illegal-vector kvm-illegal-vector model-illegal-vector model-esr-never-set")

SNIPPET(open, "sti; nop; " WAIT);

/* What came, if anything did; nothing is waited for in vain twice. */
static void take(unsigned v)
{
	bool came = interrupt_comes(v);

	observe("irr", came);
	if (came)
		run_until(open, 1);
}

/* Each illegal vector is sent, then something legal; errors are gathered until they show. */
static inline void try_illegal(void (*send)(unsigned v))
{
	setup.watch_low_vectors = true;
	apic_esr_clear();
	expect("[0x0-0xf] intr 0x31@wait, esr=0x40");
	for_each_vector(v, 0, 15) {
		begin(v);
		send(v);
		send_fixed(0, ICR_SELF | LATER);
		run_until(open, 1);
		observe("esr", apic_esr());
		if (apic_bit(APIC_IRR, v))
			observe("irr", 1);
		end();
	}
	/* Where they are delivered after all, not to the next case. */
	interrupts_drain();
}

#endif
