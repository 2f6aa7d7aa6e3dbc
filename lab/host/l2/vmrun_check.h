/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMRUN refuses and the emulator does not. APM 2, "Canonicalization and Consistency Checks", "Event Injection". */
#ifndef HOST_VMRUN_CHECK_H
#define HOST_VMRUN_CHECK_H

#include "base/cpu.h"

/* Whether #VMEXIT(INVALID) is due; besides for what the CPU itself finds. */
bool vmrun_is_invalid(const struct vmcb *b);

#endif
