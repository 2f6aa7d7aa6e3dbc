/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting in a loop for something that may never come. */
#ifndef LIB_X86_WAIT_H
#define LIB_X86_WAIT_H

#include "cpu.h"

#include <stdbool.h>
#include <stdint.h>

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
	cpu_relax();
	return true;
}

#endif
