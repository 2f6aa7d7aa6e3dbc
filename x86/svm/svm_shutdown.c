/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of L2: shutdown.
 *
 * The rule (APM 2, "Shutdown Intercept"). A triple fault of L2 is an exit, and not the machine's.
 *
 * The bugs that taught it. KVM (cb6a32c2b877, 5.13) and Bochs (2.8) ended the machine on a triple fault of L2.
 *
 * What VMX has alike is in shutdown.h; a shutdown by what L1 injects is in svm_vectoring.c. A buggy hypervisor
 * dies.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_SHUTDOWN "APM 2, Shutdown Intercept: a triple fault is an exit, not the end"

#define CALL "vmmcall"
#define SHUTDOWN "SHUTDOWN"

#include "../nested/shutdown.h"
