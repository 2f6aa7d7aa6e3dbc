/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2: what happens between VMRUN of L1 and the #VMEXIT that it gets. That may be several entries, since some exits
 * are the monitor's own affair.
 */
#ifndef HOST_L2_H
#define HOST_L2_H

#include "base/cpu.h"
#include "memory/memory.h"

/* The beginning of a VMCB: which exits L1 wants. More may be set while L2 runs. */
struct wishes {
	uint16_t cr_read, cr_write, dr_read, dr_write;
	uint32_t exceptions, intercept[3];
} __attribute__((packed));

/* A software interrupt on its way: soft.h. */
struct soft {
	bool on;
	bool executed;	    /* L2 executed it just now; else L1 has injected it */
	uint32_t what;	    /* as EVENTINJ and EXITINTINFO have it */
	uint32_t given;	    /* as the emulator was given it */
	uint64_t rip, next; /* of the instruction, and behind it */
	unsigned count;	    /* its bytes, as they were fetched */
	uint8_t bytes[15];
};

struct l2 {
	struct cpu *cpu;
	struct vmcb *b; /* what runs: L1's VMCB, or under SEV-ES one made of that and the VMSA */
	struct wishes wished;
	struct space space;   /* of L2; state is b */
	bool nested_paging;   /* as L1 has it */
	bool sev, sealed;     /* under SEV; under SEV-ES, or SEV-SNP, which space.snp_asid tells */
	bool not_validated;   /* the last exit: a page that L2 has not validated */
	bool host_if;	      /* L1's IF at VMRUN */
	bool held_back;	      /* control.c: V_IRQ is set for L1, not for the CPU */
	uint32_t injected;    /* EVENTINJ at the entry, if it was no software interrupt */
	uint32_t int_control; /* at the entry */
	struct soft soft;
};

/* VMRUN of L1: runs L2 until an exit of L1's; L1 goes on behind its VMRUN. */
void l2_vmrun(struct cpu *c);

/* One entry and exit. False: the exit was about memory alone, and L2 is to go on. */
bool l2_enter(struct l2 *l);

static inline bool l2_wants(const struct l2 *l, unsigned intercept)
{
	return l->wished.intercept[intercept / 32] >> intercept % 32 & 1;
}

static inline void l2_intercept(struct l2 *l, unsigned intercept)
{
	l->b->intercept[intercept / 32] |= 1u << intercept % 32;
}

/* An exception at L2's RIP. Returns true: L2 goes on; false where L1 intercepts it: it has the exit. */
bool l2_raise(struct l2 *l, unsigned vector, bool has_error, uint32_t error);

/* The instruction that L2 was at has been carried out: RIP moves, a single-step trap is due. As l2_raise(). */
bool l2_done(struct l2 *l, uint64_t next);

/* What L1's event delivery was interrupted in by a nested fault, to be injected again. */
struct svm_event l1_interrupted(struct cpu *c);

#endif
