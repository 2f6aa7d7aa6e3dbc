/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Application processors: started by INIT and SIPI (under SEV-SNP: by AP creation) when a case first asks for
 * one, then parked in STI;HLT until there is work. Everything that waits has a deadline in TSC ticks.
 */
#ifndef LIB_X86_SMP_H
#define LIB_X86_SMP_H

#include "x86/cpu/percpu.h"
#include "x86/cpu/wait.h"
#include "x86/harness/event.h"

#include <stdbool.h>
#include <stdint.h>

/* Wakes a parked CPU; never recorded. */
#define WAKE_VECTOR 0xfe

/*
 * A few seconds on any machine: longer than a healthy one ever needs, shorter than the runner's limit.
 * Where the TSC counts instructions (Bochs), the number of looks ends a wait first, or the argument does.
 */
#define DEADLINE_TICKS (args.deadline)
#define DEADLINE_LOOKS (16ul << 20)

/* CPUs that the machine has (from the arguments or fw_cfg), at most MAX_CPUS. */
unsigned cpus_present(void);
void cpus_set(unsigned count);

/* Starts the CPUs up to number `count` - 1; false if one did not answer within the deadline. */
bool cpus_start(unsigned count);

/* Switches all CPUs, and those that start later, to x2APIC mode; false if there is none. */
bool cpus_use_x2apic(void);

/* Starts a CPU anew in the same way, whatever it was doing; false if it did not answer. */
bool cpu_restart(unsigned index);

/* How many CPUs are up. */
unsigned cpus_started(void);

/* Gives a parked CPU work; cpu_wait is false if it was not done by the deadline. */
void cpu_start_work(unsigned index, void (*work)(void *argument), void *argument);
bool cpu_wait(unsigned index);

/* Repeats until the condition holds or the deadline has passed; yields whether it held. */
#define LEAST_LOOKS \
	(args.waits_yield ? 1u << 8 : 1u << 11) /* with a turn for the others in each, or not */
#define wait_until(condition)                                                                \
	({                                                                                   \
		struct wait wait_ = wait_begin(DEADLINE_TICKS, LEAST_LOOKS, DEADLINE_LOOKS); \
		bool held_;                                                                  \
		while (!(held_ = (condition)) && wait_goes_on(&wait_))                       \
			;                                                                    \
		held_;                                                                       \
	})

/*
 * wait_until for a case: where it was in vain, the case fails with what this CPU waited for, a string
 * that stays. Later waits of this CPU are short then.
 */
#define await(condition, what)                                                          \
	({                                                                              \
		bool came_ = this_cpu()->in_vain ? (condition) : wait_until(condition); \
		if (!came_)                                                             \
			wait_was_in_vain(what);                                         \
		came_;                                                                  \
	})
void wait_was_in_vain(const char *what);

/*
 * Whether the condition goes on to hold, looked at long enough for another CPU to change it, also one that
 * shares its host's CPU with others.
 */
#define SETTLE_TICKS (DEADLINE_TICKS / 48)
#define SETTLE_LOOKS (1ul << 16)
#define stays(condition)                                                                 \
	({                                                                               \
		struct wait wait_ = wait_begin(SETTLE_TICKS, LEAST_LOOKS, SETTLE_LOOKS); \
		bool held_;                                                              \
		while ((held_ = (condition)) && wait_goes_on(&wait_))                    \
			;                                                                \
		held_;                                                                   \
	})

/* For the recorder: true if the event only woke this CPU. */
bool smp_wake_event(struct percpu *cpu, const struct event *event);

#endif
