/* SPDX-License-Identifier: BSD-2-Clause */
/* A loop of round trips from L2 to L1 and back, whose samples L2 takes. Include latency.h before it. */
#ifndef X86_LATENCY_L2_H
#define X86_LATENCY_L2_H

#include "x86/nested/l2.h"

/* RDI: where samples go, ECX: how many. `call` is VMMCALL or VMCALL. */
#define ROUND_TRIPS(name, call)                                                                  \
	SNIPPET_BOTH(name,                                                                       \
		     "1: lfence; rdtsc; mov %eax, %esi;" call "; lfence; rdtsc; sub %esi, %eax;" \
		     "mov %eax, (%rdi); add $4, %rdi; dec %ecx; jnz 1b",                         \
		     "nop")

static unsigned calls_seen;

/* Of the run that follows; `l2_setup.on_call` must count. */
#define round_trips(snippet, name)                                                        \
	do {                                                                              \
		calls_seen = 0;                                                           \
		setup.regs.rdi = (uint64_t)samples;                                       \
		setup.regs.rcx = SAMPLES_DUE;                                             \
		expect("(none)");                                                         \
		run(snippet);                                                             \
		check(calls_seen == SAMPLES_DUE, "%u calls of %u came to L1", calls_seen, \
		      SAMPLES_DUE);                                                       \
		report(name, SAMPLES_DUE);                                                \
	} while (0)

static void count_call(struct l2 *v)
{
	(void)v;
	calls_seen++;
}

#endif
