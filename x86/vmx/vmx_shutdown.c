/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of L2: triple fault.
 *
 * The rule (SDM 3C, "Other Causes of VM Exits"). A triple fault of L2 is an exit, and not the machine's.
 *
 * The bugs that taught it. KVM (cb6a32c2b877, 5.13) and Bochs (2.8) ended the machine on a triple fault of L2.
 *
 * What SVM has alike is in shutdown.h. A buggy hypervisor dies.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_SHUTDOWN "SDM 3C, Other Causes of VM Exits: a triple fault is an exit, not the end"

#define CALL "vmcall"
#define SHUTDOWN "TRIPLE_FAULT@insn"

#include "../nested/shutdown.h"
