/* SPDX-License-Identifier: BSD-2-Clause */
#include "recorder.h"

#include "code.h"
#include "layer.h"
#include "notation.h"
#include "recording.h"
#include "setup.h"
#include "trace.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/unexpected.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"
#include "x86/sev/sev.h"
#include "x86/sev/vc/vc.h"

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
static uint64_t place_of(const struct code *code, uint64_t base, uint64_t rip)
{
	const struct mark *mark;

	if (rip - base >= (uint64_t)(code->end - code->start))
		return rip;
	mark = mark_before(code, rip - base);
	return mark && mark->is_area ? base + mark->address - (uint64_t)code->start : rip;
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
	if (setup.l1_hook)
		setup.l1_hook(event, frame);
	if (event->origin == FROM_APIC)
		give_eoi(rec, event->vector);
	frame->iret.rflags &= ~X86_EFLAGS_TF;
}

/* The event that ends a snippet is none of the trace; what is wrong around it is. */
static void show_at_end(struct recording *rec, uint64_t wrong)
{
	for (unsigned i = 0; wrong && i < PART_COUNT; i++)
		if (wrong >> i & 1)
			difference_append(rec, part_names[i]);
}

static void record(struct trap_frame *frame)
{
	struct recording *rec = this_recording();
	struct run *run = &rec->run;
	struct event event = event_of(frame);
	enum action action = BY_RULE;
	unsigned events;
	bool in_l1;

	rec->trace->delivered++;
	if (!run->code && cpu_wake_event(frame))
		return;
	if (!run->code)
		unexpected(frame);
	in_l1 = layer_is_l1_event(rec, frame);
	event.wrong = delivery_look(&run->before, &rec->differences, frame, in_l1);
	if (event.vector == END_VECTOR && event.rip == run->end && !event.has_error) {
		show_at_end(rec, event.wrong);
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
	if (in_l1) {
		record_in_l1(rec, &event, frame);
		return;
	}
	event.rip = place_of(run->code, run->base, event.rip);
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
	else
		delivery_end(&run->before, frame);
}

void event_insert(const struct event *event, uint32_t delivered)
{
	const struct run *run = &this_recording()->run;
	struct event placed = *event;

	placed.rip = place_of(run->group->code, run->base, placed.rip);
	trace_insert(this_recording()->trace, run->group, delivered - run->delivered_before,
		     &placed);
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
