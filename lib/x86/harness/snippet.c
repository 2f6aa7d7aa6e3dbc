/* SPDX-License-Identifier: BSD-2-Clause */
#include "snippet.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/wait.h"
#include "x86/modes/mode.h"
#include "x86/record/layer.h"
#include "x86/record/recording.h"
#include "x86/record/trace.h"

#include "panic.h"
#include "string.h"

static const struct environment_row *environment(void)
{
	return environment_row(setup.environment);
}

bool environment_is_16(void)
{
	return environment()->bit & (IN_16);
}

const struct code *snippet_code(const struct snippet *snippet)
{
	const struct code *code = environment_is_16()	 ? &snippet->code16
				  : environment()->is_32 ? &snippet->code32
							 : &snippet->code64;

	if (!code->start)
		panic("snippet %s has no text for this environment", snippet->name);
	return code;
}

unsigned environment_ring(void)
{
	return environment()->ring;
}

bool environment_is_user(void)
{
	return environment()->ring == 3;
}

bool environment_is_32(void)
{
	return environment()->is_32;
}

void grant_iopl(void)
{
	if (environment_ring())
		setup.rflags |= X86_EFLAGS_IOPL;
}

uint16_t code_selector(void)
{
	return environment()->cs;
}

uint16_t stack_selector(void)
{
	return environment()->ss;
}

const void *lss_operand(void)
{
	static struct {
		uint32_t offset;
		uint16_t selector;
	} operand;

	operand.selector = stack_selector();
	return &operand;
}

void aim_syscall(const struct snippet *snippet, const char *mark, uint64_t mask)
{
	wrmsr(MSR_LSTAR, mark_address(snippet, mark));
	wrmsr(MSR_CSTAR, mark_address(snippet, mark));
	wrmsr(MSR_SFMASK, mask);
}

uint64_t mark_offset(const struct snippet *snippet, const char *name)
{
	const struct code *code = snippet_code(snippet);

	for (const struct mark *m = code->marks; m != code->marks_end; m++)
		if (strcmp(m->name, name) == 0)
			return m->address - (uint64_t)code->start;
	panic("snippet %s has no mark %s", snippet->name, name);
}

/* The image is writable throughout. */
void snippet_patch(const struct snippet *snippet, const char *mark, unsigned offset, uint8_t byte)
{
	volatile uint8_t *code = (volatile uint8_t *)snippet_code(snippet)->start;

	code[mark_offset(snippet, mark) + offset] = byte;
}

static uint64_t base_address(const struct snippet *snippet)
{
	if (setup.address)
		return (uint64_t)setup.address;
	return mode_code_base() ? mode_code_base() : (uint64_t)snippet_code(snippet)->start;
}

uint64_t mark_address(const struct snippet *snippet, const char *name)
{
	return base_address(snippet) + mark_offset(snippet, name);
}

static void place(const struct code *code, uint64_t base)
{
	if (base != (uint64_t)code->start && !setup.placed)
		memcpy((void *)base, code->start, code->end - code->start);
}

static uint64_t default_stack(const struct recording *rec)
{
	return mode_stack() ? mode_stack() : stack_top(rec->cpu, STACK_SNIPPET);
}

static struct iret_frame start_frame(struct recording *rec, uint64_t base)
{
	return (struct iret_frame){
		.rip = base,
		.cs = environment()->cs,
		.rflags = X86_EFLAGS_FIXED | setup.rflags |
			  (environment()->rflags & ~setup.without_rflags),
		.rsp = setup.stack_top ? setup.stack_top : default_stack(rec),
		.ss = environment()->ss,
	};
}

static uint64_t entry_method(void)
{
	return setup.enter_without_gdt ? environment()->without_gdt : ENTER_IRET;
}

static struct group *open_group(struct recording *rec, const struct code *code, uint64_t base)
{
	if (!rec->subject)
		return trace_open(rec->trace, code, base);
	if (rec->subject->code && (rec->subject->code != code || rec->subject->base != base))
		panic("two snippets between subject_begin and subject_end");
	for (unsigned i = 0; i < rec->subject->events; i++)
		rec->trace->events[rec->subject->first + i].rip += base - rec->subject->base;
	rec->subject->code = code;
	rec->subject->base = base;
	return rec->subject;
}

static struct {
	void (*before)(void), (*after)(void);
} around;

void snippet_around(void (*before)(void), void (*after)(void))
{
	around.before = before;
	around.after = after;
}

static void enter(struct entry *entry)
{
	if (in_other_mode())
		mode_enter(entry);
	else
		layer->enter(entry);
}

/* What SYSRET and SYSEXIT leave in the registers that they take. */
static void registers_of_entry(struct run *run)
{
	struct before *before = &run->before;

	switch (run->entry.method) {
	case ENTER_SYSRET64:
	case ENTER_SYSRET32:
		before->regs.rcx = run->entry.iret.rip;
		before->regs.r11 = run->entry.iret.rflags;
		break;
	case ENTER_SYSEXIT:
		before->regs.rcx = run->entry.iret.rsp;
		before->regs.rdx = run->entry.iret.rip;
		break;
	}
}

unsigned run_snippet(const struct snippet *snippet)
{
	struct recording *rec = this_recording();
	struct run *run = &rec->run;
	const struct code *code = snippet_code(snippet);
	uint64_t base = base_address(snippet);
	unsigned events;

	run->base = base;
	run->end = mark_address(snippet, "end");
	run->group = open_group(rec, code, base);
	run->events_before = run->group->events;
	run->delivered_before = rec->trace->delivered;
	run->entry.regs = setup.regs;
	if (run->deadline) {
		run->entry.regs.rcx = DEADLINE_LOOKS / 4;
		run->entry.regs.rsi = (uint32_t)run->deadline;
		run->entry.regs.rdi = run->deadline >> 32;
	}
	run->entry.iret = start_frame(rec, base);
	run->entry.method = entry_method();
	place(code, base);
	if (environment_ring())
		desc_outer_ring(&this_cpu()->descriptors, environment_ring());
	if (environment_ring() && !in_other_mode()) {
		/* 32-bit code needs real data segments; the handlers do not care. */
		asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"((uint32_t)environment()->ss));
		wrmsr(MSR_STAR, (uint64_t)(USER_CS32 & ~3) << 48 | (uint64_t)KERNEL_CS << 32);
	}
	if (around.before)
		around.before();
	run->code = code;
	run->before.text = code->text;
	run->before.base = base;
	run->before.bytes = code->end - code->start;
	run->before.is_32 = environment()->is_32 || environment_is_16();
	run->before.is_legacy = environment()->mode != MODE_LONG;
	delivery_begin(&run->before, &run->entry.regs, &run->entry.iret);
	registers_of_entry(run);
	enter(&run->entry);
	if (around.after)
		around.after();
	setup.result = run->entry.regs;
	events = run->group->events - run->events_before;
	if (!rec->subject)
		trace_close(rec->trace);
	return events;
}

unsigned probe_snippet(const struct snippet *snippet, struct regs *regs, struct event *first)
{
	struct trace *trace = this_recording()->trace;
	uint32_t groups = trace->groups_used, used = trace->events_used;
	bool full = trace->full;
	struct setup of_case = setup;
	const struct layer *layer_of_case = layer;
	unsigned events;

	setup = (struct setup){.environment = CPL0, .regs = *regs};
	layer = &layer_native;
	events = run_snippet(snippet);
	*regs = setup.result;
	setup = of_case;
	layer = layer_of_case;
	if (first && events)
		*first = trace->events[used];
	trace->groups_used = groups;
	trace->events_used = used;
	trace->full = full;
	return events;
}

unsigned run_unrecorded(const struct snippet *snippet)
{
	struct regs regs = {0};

	return probe_snippet(snippet, &regs, NULL);
}

#define IMPATIENT_TICKS (1ul << 15)

static void run_with_deadline(const struct snippet *snippet, unsigned interrupts, uint64_t ticks)
{
	struct run *run = &this_recording()->run;

	run->waited_for = 0;
	run->enough = interrupts;
	run->deadline = rdtsc() + ticks;
	run_snippet(snippet);
	run->deadline = 0;
}

unsigned run_until_interrupts(const struct snippet *snippet, unsigned interrupts)
{
	struct recording *rec = this_recording();

	run_with_deadline(snippet, interrupts, rec->impatient ? IMPATIENT_TICKS : DEADLINE_TICKS);
	if (rec->run.waited_for < interrupts) {
		waits_in_vain += !rec->impatient;
		rec->impatient = true;
	}
	return rec->run.waited_for;
}

unsigned run_for_ticks(const struct snippet *snippet, uint64_t ticks)
{
	run_with_deadline(snippet, ~0u, ticks);
	return this_recording()->run.waited_for;
}
