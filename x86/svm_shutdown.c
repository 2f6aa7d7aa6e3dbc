/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of L2: shutdown, and INIT.
 *
 * The rule (APM 2, "Shutdown Intercept", "INIT Intercept", "Global Interrupt Flag"). A triple fault of L2 is an
 * exit, and not the machine's. So is an INIT, which then stays pending until GIF is 1: what it does to L1 is
 * said by VM_CR.R_INIT, with which it is an #SX(1).
 *
 * The bugs that taught it. KVM (cb6a32c2b877, 5.13) and Bochs (2.8) ended the machine on a triple fault of L2,
 * Bochs before 2.8 on an INIT as well.
 *
 * What VMX has alike is in shutdown.h; a shutdown by what L1 injects is in svm_vectoring.c. A buggy hypervisor
 * dies.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/svm/svm.h"

#define RULE_SHUTDOWN "APM 2, Shutdown Intercept: a triple fault is an exit, not the end"
#define RULE_INIT \
	"APM 2, INIT Intercept, and Global Interrupt Flag: INIT is an exit, and held pending while GIF is 0; with VM_CR.R_INIT it is an #SX(1) then"

#define CALL "vmmcall"
#define SHUTDOWN "SHUTDOWN"

#include "shutdown.h"
