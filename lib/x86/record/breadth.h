/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of a range a case goes through: all of it, or, with the word `breadth=edges`, what stands for the
 * rest. A machine in which every interrupt takes a millisecond (the lab) has no time for all.
 *
 * What is left out is no hole in a trace: a range in brackets goes on across vectors that were not due
 * (docs/notation.md), so a case expects the same with either breadth.
 */
#ifndef LIB_X86_BREADTH_H
#define LIB_X86_BREADTH_H

#include <stdbool.h>
#include <stdint.h>

/* The vectors of word 0 to 7, 32 each, that are due, as in the APIC's IRR. */
uint32_t vectors_due(unsigned word);

static inline bool vector_is_due(unsigned vector)
{
	return vectors_due(vector / 32) >> vector % 32 & 1;
}

/* The first due vector from this one on; 256 if there is none. */
unsigned vector_due_from(unsigned vector);

/* `v` runs over the vectors from `first` to `last` that are due. */
#define for_each_vector(v, first, last) \
	for (unsigned v = vector_due_from(first); v <= (last); v = vector_due_from(v + 1))

/* How often to do what is due `all` times: a tenth with edges, but not less than once. */
unsigned repetitions_due(unsigned all);

#endif
