/* SPDX-License-Identifier: BSD-2-Clause */
#include "recording.h"

struct recording recordings[MAX_CPUS];

static struct trace traces[MAX_CPUS] __attribute__((section(".noinit")));

void recording_begin(unsigned index)
{
	struct recording *rec = &recordings[index];

	rec->cpu = index;
	rec->run = (struct run){0}; /* that of before an INIT */
	rec->trace = &traces[index];
	rec->trace->delivered = 0;
	trace_reset(rec->trace);
}

void wait_was_in_vain(const char *what)
{
	struct recording *rec = this_recording();

	if (!rec->in_vain)
		rec->in_vain = what;
}
