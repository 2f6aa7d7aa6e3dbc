/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a round trip from L2 to L1 and back costs under nested SVM, in TSC cycles: VMMCALL, the exit, our
 * own few lines of L1, VMRUN. Measured in L2, and reported as x86/latency.c does.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "latency.h"
#include "x86/svm/svm.h"

/* RDI: where samples go, ECX: how many. */
SNIPPET_BOTH(calls,
	     "1: lfence; rdtsc; mov %eax, %esi; vmmcall; lfence; rdtsc; sub %esi, %eax;"
	     "mov %eax, (%rdi); add $4, %rdi; dec %ecx; jnz 1b",
	     "nop");

static unsigned calls_seen;

static void count_call(struct l2 *v)
{
	(void)v;
	calls_seen++;
}

CASE(vmrun, CPL0,
     "APM 2, VMRUN Instruction: cycles of a VMMCALL that L1 intercepts and answers at once", "")
{
	calls_seen = 0;
	l2_setup.on_call = count_call;
	setup.regs.rdi = (uint64_t)samples;
	setup.regs.rcx = WARM_UP + SAMPLES;
	expect("(none)");
	run(calls);
	check(calls_seen == WARM_UP + SAMPLES, "%u calls of %u came to L1", calls_seen,
	      WARM_UP + SAMPLES);
	report("vmrun", WARM_UP + SAMPLES);
}
