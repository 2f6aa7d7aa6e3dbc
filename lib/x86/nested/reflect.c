/* SPDX-License-Identifier: BSD-2-Clause */
#include "reflect.h"

#include "l1.h"
#include "x86/arch/exceptions.h"
#include "x86/record/recording.h"

#define CONTRIBUTORY (1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13)

/* Per CPU: vector that L1 has taken for L2, or -1. */
static int taken[MAX_CPUS];

static bool makes_double_fault(uint32_t interrupted, unsigned second)
{
	uint32_t first = 1u << (interrupted & 31), page_fault = EXCEPTION(VECTOR_PF);

	if (!(interrupted & L2_EVENT_VALID) || (interrupted & L2_EVENT_TYPE) != L2_EXCEPTION)
		return false;
	if (first & CONTRIBUTORY)
		return 1u << second & CONTRIBUTORY;
	return first & page_fault && 1u << second & (CONTRIBUTORY | page_fault);
}

void reflect_exception(struct l2 *v, uint32_t what, uint32_t error, uint32_t vectoring)
{
	l2_set(v, L2_SHADOW, 0);
	if (makes_double_fault(vectoring, what & L2_EVENT_VECTOR))
		l2_inject(v, L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_DF, 0, 0);
	else
		l2_inject(v, what, error, 0);
}

void reflect_begin(const struct l2 *v)
{
	taken[v->cpu->index] = -1;
}

bool reflect_take_l1_event(struct recording *rec, const struct event *event)
{
	if (event->origin != FROM_APIC || taken[rec->cpu] >= 0)
		return l1_take_event(rec, event);
	rec->in_service[event->vector / 8] &= ~(1 << event->vector % 8);
	taken[rec->cpu] = event->vector;
	return true;
}

void reflect_interrupt(struct l2 *v)
{
	int *vector = &taken[v->cpu->index];

	l2_window(true);
	l2_set(v, L2_SHADOW, 0);
	if (*vector >= 0)
		l2_inject(v, L2_INTR | *vector, 0, 0);
	*vector = -1;
}
