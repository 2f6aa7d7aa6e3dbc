/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU: its state, its way in and out. Each has a CPU of ours to itself (smp.h). */
#ifndef MODEL_VCPU_H
#define MODEL_VCPU_H

#include "ap.h"
#include "devices/lapic.h"

#include "x86/arch/vmcb.h"
#include "x86/cpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

struct vcpu {
	struct vmcb vmcb;
	struct vmcb ours; /* what VMSAVE keeps of our own state while L2 runs */
	struct regs regs; /* all but RAX and RSP, which are the VMCB's */
	struct lapic apic;
	unsigned number;

	/* In L2 or on the way there, or asleep: what it is to notice needs a kick. */
	volatile bool inside, asleep;
	bool entered;	  /* the same under the lock: an exit is to come */
	bool forget_exit; /* it is to be forgotten: INIT has come meanwhile */
	bool spins;	  /* has executed nothing but PAUSE and what needs no exit */
	struct ap_state ap;
	uint64_t ghcb_msr;	  /* under SEV-ES */
	uint64_t registered_ghcb; /* under SEV-SNP; 0: none */

	/* To be delivered at the next entry; from EXITINTINFO or from an exit's handler. */
	struct svm_event event;
	/* An NMI waits; NMIs are held back until the IRET of the handler is over. */
	bool nmi_pending, nmi_blocked;
	unsigned nmi_surplus; /* a bug: more that wait */
	/* The IRET that ends the blocking is being stepped over. */
	bool iret_in_step;
	/* We set TF for one instruction; whether L2 had it set itself. */
	bool stepping, own_tf;
	uint64_t own_dr6;
	/* The software interrupt that was delivered last: where it stood, and whether it is a CD. */
	uint64_t soft_rip;
	bool soft_int_n;
	/* The #DB that is to be delivered is INT1's, which no intercept of #DB sees. */
	bool int1;
	/* For the bugs that deliver twice or late. */
	struct svm_event again, stale;
	bool late, nmi_doubled, swallow, iret_seen;
	/* For one that takes a page for a breakpoint: the pages of DR0 to DR3, and whose was met. */
	uint64_t watched_page[4];
	unsigned page_hit;
	/* DEBUGCTL, and where the instruction began that a step of it is about to end. */
	uint64_t debugctl, branch_rip;
	/* The instruction that is being emulated hit a breakpoint: #DB is due behind it. */
	bool trap_due;
	bool halted, woken; /* woken: nothing was delivered since */
	bool overslept;	    /* a bug: HLT although something was due */
	uint64_t efer;	    /* as L2 sees it: without SVME */
	bool init_came;	    /* what of its registers is in a CPU of ours is to be reset there */
};

/* The state after power-up (SDM 3A, "Processor State After Reset"), as the machine's CPU `number`. */
void vcpu_power_up(struct vcpu *v, unsigned number);

/* What INIT resets (SDM 3A, "Processor State After Reset"), the local APIC's part apart. */
void vcpu_init(struct vcpu *v);

/* Its end, on the CPU of ours: DR0 to DR3, which VMRUN leaves alone. */
void vcpu_end_init(struct vcpu *v);

/* One entry and exit, with GIF clear. */
void vcpu_enter(struct vcpu *v);

/* The instruction at RIP was emulated: behind it, the shadow ends and a single-step trap is due. */
void vcpu_skip(struct vcpu *v, unsigned length);

/* Raises an exception at RIP; without an error code where `error` is NO_ERROR. */
#define NO_ERROR (-1)
void vcpu_raise(struct vcpu *v, unsigned vector, int error);

/* L2's general registers by number: RAX RCX RDX RBX RSP RBP RSI RDI R8 ... */
uint64_t *vcpu_reg(struct vcpu *v, unsigned number);

static inline bool vcpu_in_shadow(const struct vcpu *v)
{
	return v->vmcb.int_state & SVM_INTERRUPT_SHADOW;
}

/* Code size at CS:RIP: 16, 32 or 64. */
unsigned vcpu_bits(const struct vcpu *v);

#endif
