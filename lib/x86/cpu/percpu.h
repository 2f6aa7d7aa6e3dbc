/* SPDX-License-Identifier: BSD-2-Clause */
/* What each CPU has of its own; GS base points to it. */
#ifndef LIB_X86_PERCPU_H
#define LIB_X86_PERCPU_H

#include "desc.h"
#include "frame.h"
#include "x86/harness/event.h"

#define MAX_CPUS 8

/* The snippet that this CPU is in; code is NULL outside. */
struct run {
	const struct code *code;
	uint64_t base, end; /* addresses of its first byte and of the mark `end` */
	struct group *group;
	uint32_t events_before; /* events that the group had when the run began */
	/* run_until: interrupts seen and enough, and the TSC after which it waits for no more; else 0. */
	uint32_t waited_for, enough;
	uint64_t deadline;
	struct entry entry;
};

/* What a CPU found in its APIC when it started: all IRR and ISR words or-ed. */
struct apic_state {
	uint32_t irr, isr, tpr, spurious;
};

struct percpu {
	struct percpu *self;
	unsigned index;
	uint32_t apic_id;
	struct descriptors descriptors;
	struct run run;
	struct trace *trace;
	struct group *subject;	      /* between subject_begin and subject_end */
	bool impatient;		      /* a wait of this case was in vain: later ones are short */
	const char *volatile in_vain; /* what it waited for in this case until its deadline */
	bool x2apic;		      /* this CPU's APIC is in x2APIC mode */
	/* Under SEV-ES: DR7 as last written; #VCs being served; NMIs (sev/sev.h). */
	uint64_t dr7;
	unsigned vc_depth;
	volatile bool nmi_deferred, nmi_completing;
	uint8_t in_service[32]; /* vectors whose EOI the recorder owes or holds back */
	/* Work for an application processor (smp.h). */
	void (*volatile work)(void *argument);
	void *argument;
	volatile bool woken, online;
	volatile unsigned starts; /* how often it came up */
	struct apic_state apic_at_start;
};

/* Stacks of a CPU; each is STACK_BYTES long. */
enum stack { STACK_MAIN, STACK_EVENTS, STACK_SNIPPET, STACK_LAYER, STACK_KINDS };

extern struct percpu percpu[MAX_CPUS];

static inline struct percpu *this_cpu(void)
{
	struct percpu *cpu;

	asm("mov %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* Address behind the last byte of a CPU's stack. */
uint64_t stack_top(unsigned index, enum stack kind);

/* Makes the running CPU number `index`: GS, descriptor tables. */
void percpu_init(unsigned index);

#endif
