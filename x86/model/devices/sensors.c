/* SPDX-License-Identifier: BSD-2-Clause */
#include "sensors.h"

#include "intercepts.h"
#include "smp.h"
#include "vcpu.h"

#include "x86/devices/apic.h"

#define MSR_SELECT 0xc0010000
#define MSR_COUNT 0xc0010004
#define SELECT_INTERRUPT (1u << 20)
#define SELECT_ENABLE (1u << 22)
#define COUNTER_MASK ((1ul << 48) - 1)
#define INSTRUCTIONS_FOR_AN_EXIT 1000

#define MSR_THERM_INTERRUPT 0x19b
#define THRESHOLD_1_ENABLE (1u << 15)
#define THRESHOLD_1(value) ((value) >> 8 & 0x7f)
#define MSR_THERM_STATUS 0x19c
#define STATUS_CROSSED_1 (1u << 7)
#define STATUS_VALID (1u << 31)
#define WARM 40 /* degrees below the highest that is allowed */

static struct {
	uint64_t select, count;
	uint32_t interrupt, degrees;
	bool crossed;
} sensors[MOST_VCPUS];

void sensors_init(void)
{
	intercept_msr(MSR_SELECT);
	intercept_msr(MSR_COUNT);
	intercept_msr(MSR_THERM_INTERRUPT);
	intercept_msr(MSR_THERM_STATUS);
}

static uint64_t read_temperature(struct vcpu *v)
{
	unsigned before = sensors[v->number].degrees, now = before == WARM ? WARM - 1 : WARM;
	uint32_t interrupt = sensors[v->number].interrupt;

	sensors[v->number].degrees = now;
	/* Warmer than the threshold, or no longer so. */
	if ((before <= THRESHOLD_1(interrupt)) != (now <= THRESHOLD_1(interrupt))) {
		sensors[v->number].crossed = true;
		if (interrupt & THRESHOLD_1_ENABLE)
			lapic_local_interrupt(v, APIC_LVT_THERMAL);
	}
	return STATUS_VALID | now << 16 | (sensors[v->number].crossed ? STATUS_CROSSED_1 : 0);
}

bool sensors_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_SELECT:
		*value = sensors[v->number].select;
		return true;
	case MSR_COUNT:
		*value = sensors[v->number].count;
		return true;
	case MSR_THERM_INTERRUPT:
		*value = sensors[v->number].interrupt;
		return true;
	case MSR_THERM_STATUS:
		*value = read_temperature(v);
		return true;
	}
	return false;
}

bool sensors_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_SELECT:
		sensors[v->number].select = value;
		return true;
	case MSR_COUNT:
		sensors[v->number].count = value & COUNTER_MASK;
		return true;
	case MSR_THERM_INTERRUPT:
		sensors[v->number].interrupt = value;
		return true;
	case MSR_THERM_STATUS:
		sensors[v->number].crossed &= value & STATUS_CROSSED_1;
		return true;
	}
	return false;
}

void sensors_tick(struct vcpu *v)
{
	uint64_t before = sensors[v->number].count;

	if (!(sensors[v->number].select & SELECT_ENABLE))
		return;
	sensors[v->number].count = (before + INSTRUCTIONS_FOR_AN_EXIT) & COUNTER_MASK;
	if (sensors[v->number].count < before && sensors[v->number].select & SELECT_INTERRUPT)
		lapic_local_interrupt(v, APIC_LVT_PERF);
}
