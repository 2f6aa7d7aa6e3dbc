/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a round trip from L2 to L1 and back costs under nested SVM, in TSC cycles: VMMCALL, the exit, our
 * own few lines of L1, VMRUN. Measured in L2, and reported as x86/latency/latency.c does.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "latency.h"
#include "latency_l2.h"

ROUND_TRIPS(calls, "vmmcall");

CASE(vmrun, CPL0,
     "APM 2, VMRUN Instruction: cycles of a VMMCALL that L1 intercepts and answers at once", "")
{
	l2_setup.on_call = count_call;
	round_trips(calls, "vmrun");
}
