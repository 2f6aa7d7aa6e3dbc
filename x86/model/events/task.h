/* SPDX-License-Identifier: BSD-2-Clause */
/* Task switches by INT n, INT3 and INTO, which the model carries out itself as it takes these over. */
#ifndef MODEL_TASK_H
#define MODEL_TASK_H

#include "vcpu.h"

/* Whether a gate of protected mode, as gate_read() has it, is a task gate. */
bool gate_is_task(const struct vcpu *v, const uint8_t *gate);

/*
 * Goes to the task of a selector: the old one ends behind the instruction at RIP, which has `length` bytes. What is
 * wrong with the TSS itself is raised in the old task. TSSs of either size whose segments are good, and nothing else.
 */
void task_switch(struct vcpu *v, uint16_t selector, unsigned length);

#endif
