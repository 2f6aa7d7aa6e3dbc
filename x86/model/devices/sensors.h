/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CPU measures: a performance counter as AMD's (APM 2, "Performance Counters"), which counts a thousand
 * instructions for each exit, and a digital thermal sensor as Intel's (SDM 3B, "Thermal Monitoring"),
 * which is one degree warmer or cooler each time that it is read. Both reach the local vector table.
 */
#ifndef MODEL_SENSORS_H
#define MODEL_SENSORS_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

void sensors_init(void);

/* False: the MSR is none of them. */
bool sensors_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool sensors_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

/* An exit has been handled. */
void sensors_tick(struct vcpu *v);

#endif
