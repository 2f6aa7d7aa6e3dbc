/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace.h"

#include "setup.h"

#include "string.h"

void trace_reset(struct trace *trace)
{
	trace->events_used = trace->groups_used = 0;
	trace->full = false;
}

struct group *trace_open(struct trace *trace, const struct code *code, uint64_t base)
{
	struct group *group = &trace->groups[trace->groups_used];

	if (trace->groups_used + 1 == MAX_GROUPS)
		trace->full = true;
	else
		trace->groups_used++;
	*group =
		(struct group){.code = code, .base = base, .first = trace->events_used, .times = 1};
	return group;
}

/* All that belongs to the trace but the vector and the error code or value. */
static bool shapes_alike(const struct event *a, uint64_t base_a, const struct event *b,
			 uint64_t base_b)
{
	if (a->origin != b->origin || a->has_error != b->has_error || a->level != b->level ||
	    a->name != b->name || a->wrong != b->wrong || a->rip - base_a != b->rip - base_b)
		return false;
	if (a->origin == FROM_EXCEPTION && (a->dr6 != b->dr6 || a->cr2 != b->cr2))
		return false;
	if (a->in_l1 != b->in_l1 || a->is_exit != b->is_exit || a->exit_code != b->exit_code ||
	    a->exit_type != b->exit_type || a->gpa != b->gpa || a->gpa_error != b->gpa_error ||
	    a->vectoring != b->vectoring)
		return false;
	return ((a->rflags ^ b->rflags) & setup.shown_flags) == 0;
}

static bool events_alike(const struct event *a, uint64_t base_a, const struct event *b,
			 uint64_t base_b)
{
	return shapes_alike(a, base_a, b, base_b) && a->vector == b->vector && a->error == b->error;
}

static bool groups_alike(const struct trace *trace, const struct group *a, const struct group *b)
{
	if (a->code != b->code || a->events != b->events)
		return false;
	for (unsigned i = 0; i < a->events; i++)
		if (!events_alike(&trace->events[a->first + i], a->base,
				  &trace->events[b->first + i], b->base))
			return false;
	return true;
}

/* How a became b, if that is how it went so far (`known`); UNDECIDED: in no way that we know. */
static enum relation relate(enum relation known, uint32_t a, uint32_t b, uint32_t vectors)
{
	static const uint8_t steps[] = {[SAME] = 0, [BY_1] = 1, [BY_8] = 8, [BY_16] = 16};

	for (enum relation r = SAME; r <= BY_16; r++)
		if (b == a + steps[r] * vectors && (known == UNDECIDED || known == r))
			return r;
	return UNDECIDED;
}

static bool relate_events(const struct group *a, const struct event *ea, const struct group *b,
			  const struct event *eb, struct event *result)
{
	uint32_t vectors = b->subject - a->subject;
	bool named = ea->origin == FROM_EXCEPTION && ea->vector < 32;

	*result = *ea;
	result->vector_is = relate(named ? SAME : ea->vector_is, ea->vector, eb->vector, vectors);
	result->error_is = relate(ea->error_is, ea->error, eb->error, vectors);
	return shapes_alike(ea, a->base, eb, b->base) && result->vector_is && result->error_is;
}

/* True if the last group, of one subject, went as `to` did; then it is part of it. */
static bool join_subject(struct trace *trace, struct group *to, const struct group *last)
{
	struct event joined[MAX_EVENTS_PER_RUN];
	unsigned byte = last->subject / 8, bit = 1 << last->subject % 8;

	if (!to->has_subject || to->subjects[byte] & bit || to->code != last->code ||
	    to->events != last->events || last->events > MAX_EVENTS_PER_RUN)
		return false;
	for (unsigned i = 0; i < last->events; i++)
		if (!relate_events(to, &trace->events[to->first + i], last,
				   &trace->events[last->first + i], &joined[i]))
			return false;
	memcpy(&trace->events[to->first], joined, last->events * sizeof(joined[0]));
	to->subjects[byte] |= bit;
	return true;
}

void trace_close_subject(struct trace *trace)
{
	struct group *last = &trace->groups[trace->groups_used - 1];

	for (struct group *g = trace->groups; g != last; g++) {
		if (!join_subject(trace, g, last))
			continue;
		trace->groups_used--;
		trace->events_used = last->first;
		return;
	}
}

void trace_close(struct trace *trace)
{
	struct group *last = &trace->groups[trace->groups_used - 1];
	struct group *oldest =
		setup.runs_unordered || last == trace->groups ? trace->groups : last - 1;

	for (struct group *g = oldest; g != last; g++) {
		if (!groups_alike(trace, g, last))
			continue;
		g->times++;
		trace->groups_used--;
		trace->events_used = last->first;
		return;
	}
}

void trace_forget(struct trace *trace)
{
	trace->events_used = trace->groups[--trace->groups_used].first;
}

void trace_append(struct trace *trace, struct group *group, const struct event *event)
{
	if (trace->events_used == MAX_EVENTS) {
		trace->full = true;
		return;
	}
	trace->events[trace->events_used++] = *event;
	group->events++;
}

void trace_insert(struct trace *trace, struct group *group, unsigned index,
		  const struct event *event)
{
	struct event *events = &trace->events[group->first];

	trace_append(trace, group, event);
	if (trace->full)
		return;
	for (unsigned i = group->events - 1; i > index; i--) {
		events[i] = events[i - 1];
		events[i - 1] = *event;
	}
}
