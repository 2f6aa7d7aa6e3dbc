/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processors of L2: each runs on a CPU of ours that does nothing else. All that is not L2's own
 * running happens under one lock, so nothing else in the model knows of more than one CPU.
 */
#ifndef MODEL_SMP_H
#define MODEL_SMP_H

#include "vcpu.h"

/* As many as there are stacks for (percpu.h). */
#define MOST_VCPUS 8

/* Powers up L2's processors, the first of which runs at once, on the CPUs that we have. */
void smp_run(unsigned count) __attribute__((noreturn));

unsigned smp_count(void);
struct vcpu *smp_vcpu(unsigned number);

/* What has changed for this processor is to be noticed now; nothing if it is the running CPU's own. */
void smp_kick(struct vcpu *v);

/* A moment without the lock, if there is another processor. */
void smp_let_others_run(void);

/* Takes the processor out of L2, for good until the lock is free; what made it exit is forgotten. */
void smp_stop(struct vcpu *v);

/* After nested page table entries were taken away: no processor uses one of them any more. */
void smp_flush(struct vcpu *self);

/* Everything is cold again, for all of them. */
void smp_drop_mappings(struct vcpu *self);

#endif
