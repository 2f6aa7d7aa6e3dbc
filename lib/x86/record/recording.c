/* SPDX-License-Identifier: BSD-2-Clause */
#include "recording.h"

#include "trace.h"

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

void subject_begin(unsigned vector)
{
	struct recording *rec = this_recording();

	rec->subject = trace_open(rec->trace, NULL, 0);
	rec->subject->has_subject = true;
	rec->subject->subject = vector;
	rec->subject->subjects[vector / 8] |= 1 << vector % 8;
}

void subject_end(void)
{
	struct recording *rec = this_recording();

	rec->subject = NULL;
	trace_close_subject(rec->trace);
}

void observe(const char *name, uint32_t value)
{
	struct recording *rec = this_recording();
	struct group *group = rec->subject ? rec->subject : trace_open(rec->trace, NULL, 0);
	struct event event = {.origin = READING, .name = name, .error = value, .rip = group->base};

	trace_append(rec->trace, group, &event);
	if (!rec->subject)
		trace_close(rec->trace);
}

void event_append(struct recording *rec, const struct event *event)
{
	trace_append(rec->trace, rec->run.group, event);
	if (rec->run.group->events >= MAX_EVENTS_PER_RUN)
		rec->trace->full = true;
}

void difference_append(struct recording *rec, const char *name)
{
	struct event event = {.origin = DIFFERENCE, .name = name, .rip = rec->run.group->base};

	event_append(rec, &event);
}

void wait_was_in_vain(const char *what)
{
	struct recording *rec = this_recording();

	if (!rec->in_vain)
		rec->in_vain = what;
}
