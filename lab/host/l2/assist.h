/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CPU with NRIPS and decode assists leaves in the VMCB at an exit, and the emulator does not: next_rip, the
 * bytes of an instruction that faulted, general registers and vectors of intercepted instructions. APM 2, "State
 * Saved on Exit", "Decode Assists".
 */
#ifndef HOST_ASSIST_H
#define HOST_ASSIST_H

#include "l2.h"

void assist(struct l2 *l);

#endif
