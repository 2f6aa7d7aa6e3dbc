/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INIT while L2 runs.
 *
 * The rule (SDM 3C, "Other Causes of VM Exits"). An INIT in L2 is an exit, and gone then: in VMX operation INITs
 * are blocked for L1.
 *
 * The bugs that taught it. Bochs before 2.8 reset the machine.
 *
 * A buggy hypervisor resets the CPU.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define CALL "vmcall"
#include "vmx_state.h"

SNIPPET_SEND(send);

CASE_NEEDS("apic=1", init, CPL0, "SDM 3C, Other Causes of VM Exits: INIT is an exit in L2",
	   CATCHES("bochs-init-intercept"))
{
	nothing_in();
	sends(ICR_INIT);
	expect("exit INIT@sent");
	run(send);
}
