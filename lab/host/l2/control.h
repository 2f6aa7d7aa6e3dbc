/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control registers, the time stamp counter and virtual interrupts: where the emulator takes the wrong exit or none
 * (bugs.toml: tcg-cr-exit, tcg-rdtscp-exit, tcg-v-tpr, tcg-svm-cr8).
 */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include "l2.h"

void control_before(struct l2 *l);
void control_after(struct l2 *l);

/* An exit for MOV CRn, RDTSC or RDTSCP. True: L1 did not want it, the instruction is done, L2 goes on. */
bool control_exit(struct l2 *l);

#endif
