/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each CPU has of its own; GS base points to it. Rooms above have tables of their own, by `index`,
 * and are told of each CPU that starts.
 */
#ifndef LIB_X86_PERCPU_H
#define LIB_X86_PERCPU_H

#include "desc.h"

#include <stdbool.h>
#include <stdint.h>

#define MAX_CPUS 8

/* What a CPU found in its APIC when it started: all IRR and ISR words or-ed. */
struct apic_state {
	uint32_t irr, isr, tpr, spurious, ldr;
	uint32_t dfr; /* in x2APIC mode there is none: 0 */
};

struct percpu {
	struct percpu *self;
	unsigned index;
	uint32_t apic_id;
	struct descriptors descriptors;
	bool x2apic; /* this CPU's APIC is in x2APIC mode */
	/* Work for an application processor (devices/smp.h). */
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

/*
 * From now on called for each CPU that starts, after those that were named before: GS is set, the
 * descriptor tables are not loaded yet. At most PERCPU_PARTS.
 */
#define PERCPU_PARTS 3
void percpu_at_start(void (*part)(unsigned index));

/* Makes the running CPU number `index`: GS, the parts of other rooms, descriptor tables. */
void percpu_init(unsigned index);

#endif
