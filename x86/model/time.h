/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2's time, by its TSC. With the word "hurry" it makes a leap whenever an L2 that waits in a loop executes
 * PAUSE and none of its other processors does anything else: a wait for what a bug has lost is soon over.
 */
#ifndef MODEL_TIME_H
#define MODEL_TIME_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

void time_hurry(void);
bool time_hurries(void);

/* L2's TSC. */
uint64_t time_now(void);

/* For the VMCB. */
uint64_t time_tsc_offset(void);

/* The processor waits: it executed PAUSE, or it sleeps until its timer expires. */
void time_waits(const struct vcpu *v);

#endif
