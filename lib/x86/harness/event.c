/* SPDX-License-Identifier: BSD-2-Clause */
#include "event.h"

#include "layer.h"
#include "notation.h"
#include "recording.h"
#include "snippet.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/unexpected.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"
#include "x86/insn/exit_code.h"
#include "x86/sev/sev.h"
#include "x86/sev/vc/vc.h"

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
	    a->name != b->name || a->rip - base_a != b->rip - base_b)
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

static void close_subject(struct trace *trace)
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
	close_subject(rec->trace);
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

static void trace_append(struct trace *trace, struct group *group, const struct event *event)
{
	if (trace->events_used == MAX_EVENTS) {
		trace->full = true;
		return;
	}
	trace->events[trace->events_used++] = *event;
	group->events++;
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

/*
 * The bytes are taken from the snippet as it was assembled: the copy that runs may have been
 * overwritten, by another CPU or by the frame itself.
 */
static bool follows_int_n(const struct run *run, uint64_t rip, unsigned vector)
{
	uint64_t offset = rip - run->base;

	if (offset < 2 || offset > (uint64_t)(run->code->end - run->code->start))
		return false;
	return run->code->start[offset - 2] == 0xcd && run->code->start[offset - 1] == vector;
}

/* True the first time that a vector is seen in service; later looks must not take it for new. */
static bool came_from_apic(struct recording *rec, unsigned vector)
{
	uint8_t *known = &rec->in_service[vector / 8], bit = 1 << vector % 8;

	if (vector < 16 && !setup.watch_low_vectors)
		return false;
	if (*known & bit || !apic_bit(APIC_ISR, vector))
		return false;
	*known |= bit;
	return true;
}

static enum origin find_origin(struct recording *rec, const struct event *event)
{
	if (came_from_apic(rec, event->vector))
		return FROM_APIC;
	if (follows_int_n(&rec->run, event->rip, event->vector))
		return FROM_INT_N;
	return event->vector < 32 ? FROM_EXCEPTION : FROM_OUTSIDE;
}

/* SDM 3B, "Instruction-Breakpoint Exception Condition": the handler sets RF, or the fault repeats. */
static void step_over_code_breakpoint(struct trap_frame *frame, uint32_t dr6)
{
	uint64_t dr7 = read_dr7();

	for (int n = 0; n < 4; n++)
		if (dr6 >> n & 1 && dr7 >> 2 * n & 3 && (dr7 >> (16 + 4 * n) & 3) == 0)
			frame->iret.rflags |= X86_EFLAGS_RF;
}

/* The traps of the architecture; every other exception is a fault or an abort. */
static bool resumes_by_rule(const struct event *event)
{
	return event->origin != FROM_EXCEPTION || (event->vector >= 1 && event->vector <= 4);
}

/* Interrupts and NMIs: what a snippet waits for. */
static bool is_asynchronous(const struct event *event)
{
	return event->origin == FROM_APIC || event->origin == FROM_OUTSIDE ||
	       (event->origin == FROM_EXCEPTION && event->vector == VECTOR_NMI);
}

static void leave_snippet(struct recording *rec, struct trap_frame *frame)
{
	rec->run.entry.regs = frame->regs;
	rec->run.code = NULL;
	frame->iret = (struct iret_frame){
		.rip = (uint64_t)snippet_leave,
		.cs = KERNEL_CS,
		.rflags = X86_EFLAGS_FIXED,
		.rsp = rec->run.entry.saved_rsp,
		.ss = KERNEL_DS,
	};
}

static void give_eoi(struct recording *rec, unsigned vector)
{
	rec->in_service[vector / 8] &= ~(1 << vector % 8);
	apic_eoi();
}

static bool any_in_service(const struct recording *rec, unsigned word)
{
	return rec->in_service[4 * word] | rec->in_service[4 * word + 1] |
	       rec->in_service[4 * word + 2] | rec->in_service[4 * word + 3];
}

/* The APIC chooses which vector it was for; what it took out of service is unknown to us again. */
void event_eoi(void)
{
	struct recording *rec = this_recording();

	apic_eoi();
	for (unsigned word = 0; word < 8; word++) {
		uint32_t serviced;

		/* Reading it is an exit where the APIC is emulated, and there is nothing to forget. */
		if (!any_in_service(rec, word))
			continue;
		serviced = apic_read(APIC_ISR + 16 * word);

		for (unsigned byte = 0; byte < 4; byte++)
			rec->in_service[4 * word + byte] &= serviced >> 8 * byte;
	}
}

/* In an area, one place is as good as another. */
static uint64_t place_of(const struct run *run, uint64_t rip)
{
	const struct mark *mark;

	if (rip - run->base >= (uint64_t)(run->code->end - run->code->start))
		return rip;
	mark = mark_before(run->code, rip - run->base);
	return mark && mark->is_area ? run->base + mark->address - (uint64_t)run->code->start : rip;
}

struct event event_of(const struct trap_frame *frame)
{
	return (struct event){
		.rip = frame->iret.rip,
		.rflags = frame->iret.rflags,
		.rsp = frame->iret.rsp,
		.frame = (uint64_t)&frame->iret,
		.error = frame->error,
		.cs = frame->iret.cs,
		.ss = frame->iret.ss,
		.vector = frame->vector,
		.has_error = frame->vector & FRAME_HAS_ERROR,
	};
}

bool event_has_cr2(const struct event *event)
{
	return event->vector == VECTOR_PF || (event->vector == VECTOR_VC && event->has_error &&
					      event->error == SVM_EXIT_PAGE_NOT_VALIDATED);
}

static void __attribute__((noreturn)) unexpected(const struct trap_frame *frame)
{
	struct event event = event_of(frame);
	char buffer[80];
	struct text what;

	event.cr2 = read_cr2();
	event.dr6 = read_dr6();
	text_init(&what, buffer, sizeof(buffer));
	notation_what(&what, &event, NULL);
	unexpected_event(frame, buffer);
}

/* L1 goes on with what it was doing, except after a fault of its own. */
static void record_in_l1(struct recording *rec, struct event *event, struct trap_frame *frame)
{
	if (layer->take_l1_event && layer->take_l1_event(rec, event))
		return;
	if (!resumes_by_rule(event))
		unexpected(frame);
	event->in_l1 = true;
	event_append(rec, event);
	if (event->origin == FROM_APIC)
		give_eoi(rec, event->vector);
	frame->iret.rflags &= ~X86_EFLAGS_TF;
}

static void record(struct trap_frame *frame)
{
	struct recording *rec = this_recording();
	struct run *run = &rec->run;
	struct event event = event_of(frame);
	enum action action = BY_RULE;
	unsigned events;

	rec->trace->delivered++;
	if (!run->code && cpu_wake_event(frame))
		return;
	if (!run->code)
		unexpected(frame);
	if (event.vector == END_VECTOR && event.rip == run->end && !event.has_error) {
		leave_snippet(rec, frame);
		return;
	}
	if (event_has_cr2(&event))
		event.cr2 = read_cr2();
	if (event.vector == VECTOR_DB) {
		event.dr6 = read_dr6();
		write_dr6(DR6_CLEAR);
		step_over_code_breakpoint(frame, event.dr6);
	}
	event.origin = find_origin(rec, &event);
	if (event.origin == FROM_APIC)
		event.level = apic_bit(APIC_TMR, event.vector);
	if (layer_is_l1_event(rec, frame)) {
		record_in_l1(rec, &event, frame);
		return;
	}
	event.rip = place_of(run, event.rip);
	trace_append(rec->trace, run->group, &event);
	if (event.origin == FROM_APIC && !setup.hold_eoi)
		give_eoi(rec, event.vector);
	if (setup.hook)
		action = setup.hook(&event, frame);
	if (action == BY_RULE)
		action = resumes_by_rule(&event) ? RESUME : LEAVE;
	events = run->group->events - run->events_before;
	run->waited_for += is_asynchronous(&event);
	if (run->deadline && run->waited_for >= run->enough)
		frame->regs.rsi = frame->regs.rdi = 0;
	if (run->group->events >= MAX_EVENTS_PER_RUN)
		rec->trace->full = true;
	if (action == LEAVE || events == setup.leave_after || rec->trace->full)
		leave_snippet(rec, frame);
}

/* INT 2 is no NMI. */
static bool is_nmi(const struct trap_frame *frame)
{
	const struct run *run = &this_recording()->run;

	return frame->vector == VECTOR_NMI &&
	       !(run->code && follows_int_n(run, frame->iret.rip, VECTOR_NMI));
}

void event_record(struct trap_frame *frame)
{
	bool held, nmi;

	if (!sev_is_es()) {
		record(frame);
		return;
	}
	nmi = is_nmi(frame);
	if (nmi && vc_defer_nmi())
		return;
	held = vc_hold_stack(frame);
	do {
		record(frame);
	} while (nmi && sev_nmi_complete());
	vc_release_stack(held);
	if (frame->iret.rip == (uint64_t)snippet_leave)
		vc_abandon();
}

/* A #VC that was served, where the case wants to see it. */
static void record_served(const struct trap_frame *frame)
{
	struct recording *rec = this_recording();
	const struct run *run = &rec->run;
	struct event event = event_of(frame);

	if (setup.show_vc && run->code &&
	    frame->iret.rip - run->base < (uint64_t)(run->code->end - run->code->start))
		event_append(rec, &event);
}

void recorder_begin(void)
{
	percpu_at_start(recording_begin);
	vc_watch(record_served);
}
