/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmrun_check.h"

#include "base/options.h"
#include "base/sev_cpuid.h"
#include "memory/memory.h"

#define IO_MAP_BYTES (3 * PAGE)
#define MSR_MAP_BYTES (2 * PAGE)

/* Types 1, 5, 6, 7 and an exception 2 the emulator refuses by itself. */
static bool event_is_invalid(const struct vmcb *b)
{
	uint32_t what = b->inject.what, vector = what & SVM_EVENT_VECTOR;

	if (!(what & SVM_EVENT_VALID) || (what & SVM_EVENT_TYPE) != SVM_EXCEPTION)
		return false;
	if (corrects(EVENTINJ_VECTOR) && (vector == 15 || (vector >= 22 && vector <= 27)))
		return true;
	return corrects(EVENTINJ_MODE) && vector == VECTOR_BR && code_bits(b) == 64;
}

/* The CPU would read the monitor's memory. */
static bool map_is_foreign(uint64_t at, uint64_t bytes)
{
	return !memory_is_l1s(at & ~(PAGE - 1), bytes);
}

bool vmrun_is_invalid(const struct vmcb *b)
{
	if (event_is_invalid(b))
		return true;
	if (b->intercept[0] >> SVM_INTERCEPT_IOIO & 1 && map_is_foreign(b->iopm, IO_MAP_BYTES))
		return true;
	return b->intercept[0] >> SVM_INTERCEPT_MSR & 1 && map_is_foreign(b->msrpm, MSR_MAP_BYTES);
}
