/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Samples of a latency, and what is said of them: "# value NAME.median", ".p99" and ".count". The median is
 * what a gate watches (docs/ci.md); the rest is for people.
 */
#ifndef X86_LATENCY_H
#define X86_LATENCY_H

#include "trapline.h"

#define SAMPLES 1000
#define WARM_UP 20 /* first samples, which find caches and translations cold; dropped */
#define SAMPLES_DUE (WARM_UP + repetitions_due(SAMPLES))

/* Where CPUs share a core, an IPI may take milliseconds: then fewer samples must do. */
#define BUDGET_TICKS (args.deadline / 12)
#define FEWEST 20

static uint32_t samples[WARM_UP + SAMPLES];

/* Whether sample number `taken` is to be taken; `end` is when time is up. */
static inline bool more(unsigned taken, uint64_t end)
{
	return taken < SAMPLES_DUE && (taken < WARM_UP + FEWEST || rdtsc() < end);
}

/* Shell's sort: no recursion, no memory, quick enough where every instruction is interpreted. */
static void sort(uint32_t *values, unsigned count)
{
	for (unsigned gap = count / 2; gap; gap = gap == 2 ? 1 : gap * 5 / 11)
		for (unsigned i = gap; i < count; i++) {
			uint32_t value = values[i];
			unsigned j = i;

			for (; j >= gap && values[j - gap] > value; j -= gap)
				values[j] = values[j - gap];
			values[j] = value;
		}
}

/* Between two readings of the TSC: nothing before the first, nothing after the second. */
#define measure(text, ...)                                                                   \
	({                                                                                   \
		uint32_t from_, to_;                                                         \
		asm volatile("lfence; rdtsc; mov %%eax, %0; lfence\n" text "\nlfence; rdtsc" \
			     : "=&r"(from_), "=&a"(to_)                                      \
			     : __VA_ARGS__                                                   \
			     : "rdx", "memory", "cc");                                       \
		to_ - from_;                                                                 \
	})

/* What is said of the first `taken` samples. */
static void report(const char *name, unsigned taken)
{
	uint32_t *kept = samples + WARM_UP;
	unsigned count = taken - WARM_UP;
	char text[40];

	sort(kept, count);
	snprintf(text, sizeof(text), "%s.median", name);
	value(text, kept[count / 2], "cycles");
	snprintf(text, sizeof(text), "%s.p99", name);
	value(text, kept[count * 99 / 100], "cycles");
	snprintf(text, sizeof(text), "%s.count", name);
	value(text, count, "runs");
}

#endif
