/* SPDX-License-Identifier: BSD-2-Clause */
#include "time.h"

#include "smp.h"

#include "x86/cpu/cpu.h"

/*
 * Some 0.1 ms at 2.5 GHz. A processor that only seems to wait, since the CPU below ours is busy with
 * something else, must not miss its deadline of seconds.
 */
#define LEAP (1ul << 18)
#define LEAP_ALONE (1ul << 22)

static bool hurry;
static uint64_t offset;

void time_hurry(void)
{
	hurry = true;
}

bool time_hurries(void)
{
	return hurry;
}

uint64_t time_now(void)
{
	return rdtsc() + offset;
}

uint64_t time_tsc_offset(void)
{
	return offset;
}

void time_waits(const struct vcpu *v)
{
	bool alone = true;

	if (!hurry)
		return;
	for (unsigned i = 0; i < smp_count(); i++) {
		const struct vcpu *other = smp_vcpu(i);

		if (other == v || other->asleep || !ap_runs(other))
			continue;
		if (!other->spins)
			return;
		alone = false;
	}
	offset += alone ? LEAP_ALONE : LEAP;
}
