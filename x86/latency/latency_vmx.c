/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a round trip from L2 to L1 and back costs under nested VMX, in TSC cycles: VMCALL, the exit, our own
 * few lines of L1, and VMRESUME; or VMCLEAR, VMPTRLD and VMLAUNCH, as it is when L1 moves its L2 to
 * another CPU. Measured in L2, and reported as x86/latency/latency.c does.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "latency.h"
#include "latency_l2.h"
#include "x86/nested/vmx/vmx.h"

#define RULE "SDM 3C, VMLAUNCH/VMRESUME: cycles of a VMCALL that L1 answers at once"

ROUND_TRIPS(calls, "vmcall");

CASE(vmresume, CPL0, RULE " by VMRESUME", "")
{
	l2_setup.on_call = count_call;
	round_trips(calls, "vmresume");
}

static void count_and_launch(struct l2 *v)
{
	count_call(v);
	vmx_launch_again(v);
}

CASE(vmlaunch, CPL0, RULE " by VMCLEAR, VMPTRLD and VMLAUNCH", "")
{
	l2_setup.on_call = count_and_launch;
	round_trips(calls, "vmlaunch");
}
