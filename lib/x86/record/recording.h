/* SPDX-License-Identifier: BSD-2-Clause */
/* What the harness has of each CPU: its trace, and the snippet that it is in. */
#ifndef LIB_X86_RECORDING_H
#define LIB_X86_RECORDING_H

#include "enter.h"
#include "event.h"
#include "x86/compare/delivery.h"
#include "x86/cpu/percpu.h"
#include "x86/cpu/wait.h"

#include <stdbool.h>
#include <stdint.h>

/* The snippet that this CPU is in; code is NULL outside. */
struct run {
	const struct code *code;
	uint64_t base, end; /* addresses of its first byte and of the mark `end` */
	struct group *group;
	uint32_t events_before;	   /* events that the group had when the run began */
	uint32_t delivered_before; /* and the trace's `delivered` */
	/* run_until: interrupts seen and enough, and the TSC after which it waits for no more; else 0. */
	uint32_t waited_for, enough;
	uint64_t deadline;
	struct before before;
	struct entry entry;
};

struct recording {
	unsigned cpu;
	struct run run;
	struct trace *trace;	      /* NULL until the CPU has started once */
	struct group *subject;	      /* between subject_begin and subject_end */
	bool impatient;		      /* a wait of this case was in vain: later ones are short */
	const char *volatile in_vain; /* what it waited for in this case until its deadline */
	uint8_t in_service[32];	      /* vectors whose EOI the recorder owes or holds back */
	struct differences differences;
};

/* By number of the CPU. */
extern struct recording recordings[MAX_CPUS];

static inline struct recording *recording_of(const struct percpu *cpu)
{
	return &recordings[cpu->index];
}

static inline struct recording *this_recording(void)
{
	return recording_of(this_cpu());
}

/* For percpu_at_start. */
void recording_begin(unsigned index);

/*
 * A vector under test: all runs (of one snippet) and readings of this CPU until subject_end() are one
 * group of its trace, and groups that differ only by their vector fold into one, however far apart.
 */
void subject_begin(unsigned vector);
void subject_end(void);

/* Puts what was read off a register into this CPU's trace, as "name=0x1f". */
void observe(const char *name, uint32_t value);

/* Adds an event to this CPU's run by hand: what L1 saw. */
void event_append(struct recording *rec, const struct event *event);

/* Puts a difference (difference.h) into this CPU's run: "!CR2". The name is a string that stays. */
void difference_append(struct recording *rec, const char *name);

/* What a wait was in vain for, the first time in this case: a string that stays. */
void wait_was_in_vain(const char *what);

/*
 * wait_until for a case: where it was in vain, the case fails with what this CPU waited for, a string
 * that stays. Later waits of this CPU are short then.
 */
#define await(condition, what)                                                                \
	({                                                                                    \
		bool came_ = this_recording()->in_vain ? (condition) : wait_until(condition); \
		if (!came_)                                                                   \
			wait_was_in_vain(what);                                               \
		came_;                                                                        \
	})

#endif
