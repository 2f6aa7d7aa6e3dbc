/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting in a loop for something that may never come. */
#ifndef LIB_X86_WAIT_H
#define LIB_X86_WAIT_H

#include "cpu.h"
#include "x86/boot/args.h"

#include <stdbool.h>
#include <stdint.h>

#define PORT_YIELD 0x80

/*
 * Between two looks. Where the guest's CPUs share one of the host's, the others would else get nothing done
 * for a time slice; with the word `waits=yield` the VMM lets them run at once.
 */
static inline void wait_relax(void)
{
	if (args.waits_yield)
		outb(PORT_YIELD, 0);
	else
		cpu_relax();
}

/*
 * A wait that ends after so many TSC ticks, or looks. Time in which the host did not let the machine run
 * counts for little: one look for no more than the ticks divided by `least_looks`.
 */
struct wait {
	uint64_t ticks, most_looks, longest_look, last;
};

static inline struct wait wait_begin(uint64_t ticks, unsigned least_looks, uint64_t most_looks)
{
	return (struct wait){ticks, most_looks, ticks / least_looks, rdtsc()};
}

/*
 * A wait for what may never come on this machine: patient the first time, a thousandth as long where one like it was
 * in vain already.
 */
static inline struct wait wait_begin_again(uint64_t ticks, bool was_in_vain)
{
	return was_in_vain ? wait_begin(ticks >> 10, 32, 1ul << 10)
			   : wait_begin(ticks, 1024, 1ul << 22);
}

/* After a look in vain; false when the wait is over. */
static inline bool wait_goes_on(struct wait *w)
{
	uint64_t now = rdtsc(), spent = now - w->last;

	w->last = now;
	if (spent > w->longest_look)
		spent = w->longest_look;
	if (spent >= w->ticks || !w->most_looks--)
		return false;
	w->ticks -= spent;
	wait_relax();
	return true;
}

/*
 * How many waits of this boot ended at their deadline. Where some have, nothing may ever arrive on this machine,
 * and there are hundreds of cases: every fourth makes the deadline a quarter of what it was, down to a
 * 256th. With `patience=short` it begins with a 16th, because the runner has seen such waits in other guests.
 */
extern unsigned waits_in_vain;

static inline unsigned impatience(void)
{
	unsigned shift = waits_in_vain / 4 * 2 + (args.patience == PATIENCE_SHORT ? 4 : 0);

	return args.patience == PATIENCE_ALL ? 0 : shift < 8 ? shift : 8;
}

/*
 * A few seconds on any machine: longer than a healthy one ever needs, shorter than the runner's limit.
 * Where the TSC counts instructions (Bochs), the number of looks ends a wait first, or the argument does.
 */
#define DEADLINE_TICKS (args.deadline >> impatience())
#define DEADLINE_LOOKS (16ul << 20)

/* Repeats until the condition holds or the deadline has passed; yields whether it held. */
#define LEAST_LOOKS \
	(args.waits_yield ? 1u << 8 : 1u << 11) /* with a turn for the others in each, or not */
#define wait_until(condition)                                                                \
	({                                                                                   \
		struct wait wait_ = wait_begin(DEADLINE_TICKS, LEAST_LOOKS, DEADLINE_LOOKS); \
		bool held_;                                                                  \
		while (!(held_ = (condition)) && wait_goes_on(&wait_))                       \
			;                                                                    \
		waits_in_vain += !held_;                                                     \
		held_;                                                                       \
	})

/*
 * Whether the condition goes on to hold, looked at long enough for another CPU to change it, also one that
 * shares its host's CPU with others.
 */
#define SETTLE_TICKS (args.deadline / 48)
#define SETTLE_LOOKS (1ul << 16)
#define stays(condition)                                                                 \
	({                                                                               \
		struct wait wait_ = wait_begin(SETTLE_TICKS, LEAST_LOOKS, SETTLE_LOOKS); \
		bool held_;                                                              \
		while ((held_ = (condition)) && wait_goes_on(&wait_))                    \
			;                                                                \
		held_;                                                                   \
	})

#endif
