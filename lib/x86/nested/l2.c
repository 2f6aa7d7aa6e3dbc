/* SPDX-License-Identifier: BSD-2-Clause */
#include "l2.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/record/recording.h"

struct l2_setup l2_setup;

/* Of the run that goes on. */
static const struct l2_vendor *vendor;

void l2_inject(struct l2 *v, uint32_t what, uint32_t error, uint64_t next)
{
	vendor->inject(v, what, error, next);
}

void l2_inject_again(struct l2 *v, uint64_t next)
{
	vendor->inject_again(v, next);
}

void l2_trap(struct l2 *v, uint32_t dr6)
{
	vendor->trap(v, dr6);
}

uint64_t l2_get(const struct l2 *v, enum l2_field field)
{
	return vendor->get(v, field);
}

void l2_set(struct l2 *v, enum l2_field field, uint64_t value)
{
	vendor->set(v, field, value);
}

int l2_exception(const struct l2 *v)
{
	return vendor->exception(v);
}

void l2_intercept_exceptions(struct l2 *v, uint32_t vectors)
{
	vendor->intercept_exceptions(v, vectors);
}

void l2_window(bool interrupts)
{
	vendor->window(interrupts);
}

void l2_show_exit(struct l2 *v)
{
	struct event event = {
		.is_exit = true,
		.rip = l2_get(v, L2_RIP),
		.rflags = l2_get(v, L2_RFLAGS),
	};

	vendor->describe(v, &event);
	if (event.no_place) {
		event.rip = recording_of(v->cpu)->run.base;
		event.vectoring = 0;
	}
	event_append(recording_of(v->cpu), &event);
}

/* The snippet will not hand back the CPU by itself any more. */
static void abandon(struct l2 *v)
{
	recording_of(v->cpu)->run.entry.regs = v->regs;
}

/* VMMCALL and VMCALL alike. */
#define CALL_BYTES 3

static void do_call(struct l2 *v)
{
	l2_set(v, L2_RIP, l2_get(v, L2_RIP) + CALL_BYTES);
	l2_set(v, L2_RFLAGS,
	       l2_get(v, L2_RFLAGS) & ~(uint64_t)X86_EFLAGS_RF); /* as any instruction */
	l2_setup.on_call(v);
}

/* L1 intercepts #UD, and so the UD2 that closes the snippet. */
static bool is_end(const struct l2 *v)
{
	return vendor->exception(v) == END_VECTOR &&
	       l2_get(v, L2_RIP) == recording_of(v->cpu)->run.end;
}

/* False ends the run. */
static bool handle_exit(struct l2 *v, l2_exit_hook *of_layer)
{
	enum l2_action action = L2_UNEXPECTED;
	bool call;

	v->exits++;
	if (is_end(v)) {
		abandon(v);
		return false;
	}
	if (!l2_setup.keep_injection)
		vendor->forget_injection(v);
	call = vendor->is_call(v);
	if (l2_setup.show_exits && !call)
		l2_show_exit(v);
	if (call && l2_setup.on_call) {
		do_call(v);
		action = L2_RESUME;
	} else if (l2_setup.on_exit) {
		action = l2_setup.on_exit(v);
	}
	if (action == L2_UNEXPECTED && of_layer)
		action = of_layer(v);
	if (action == L2_UNEXPECTED && !l2_setup.show_exits)
		l2_show_exit(v);
	if (action == L2_RESUME && !recording_of(v->cpu)->trace->full)
		return true;
	abandon(v);
	return false;
}

void l2_unblock_nmis(void)
{
	asm volatile("mov %%rsp, %%rax\n"
		     "pushq %0\n"
		     "pushq %%rax\n"
		     "pushfq\n"
		     "pushq %1\n"
		     "pushq $1f\n"
		     "iretq\n"
		     "1: nop"
		     :
		     : "i"(KERNEL_DS), "i"(KERNEL_CS)
		     : "rax", "memory");
}

/* What L2 has left pending comes now, and shows as L1's in the trace. It may have left an NMI's handler. */
static void settle(struct l2 *v, const struct code *code)
{
	recording_of(v->cpu)->run.code = code;
	l2_unblock_nmis();
	vendor->settle();
	recording_of(v->cpu)->run.code = NULL;
}

static void fill_start(struct l2_start *start, struct l2 *v)
{
	uint64_t *stack = (uint64_t *)stack_top(v->cpu->index, STACK_LAYER);

	*--stack = (uint64_t)vendor->l2_return;
	start->rip = (uint64_t)snippet_enter;
	start->rsp = (uint64_t)stack;
	start->cs = l1_segment(KERNEL_CS);
	start->ss = l1_segment(KERNEL_DS);
	start->ds = l1_read_ds();
	start->es = l1_read_es();
	l1_registers_read(&start->registers);
}

void l2_run(const struct l2_vendor *with, struct l2 *v, struct entry *entry,
	    const struct l2_hooks *of_layer)
{
	struct l2_start start;
	const struct code *code;

	vendor = with;
	v->cpu = this_cpu();
	v->exits = 0;
	code = recording_of(v->cpu)->run.code;
	l1_tables_load(&start.tables);
	fill_start(&start, v);
	vendor->begin(v, &start);
	v->regs.rdi = (uint64_t)entry;
	if (of_layer->prepare)
		of_layer->prepare(v);
	if (l2_setup.on_call && vendor->intercept_calls)
		vendor->intercept_calls(v);
	if (l2_setup.before)
		l2_setup.before(v);
	do
		vendor->enter(v);
	while (!vendor->has_left(v) && handle_exit(v, of_layer->on_exit));
	settle(v, code);
	/* What L2 left behind becomes L1's, as if it had run here. */
	if (vendor->end(v, &start.registers))
		l1_registers_write(&start.registers);
	l1_tables_restore(&start.tables);
}

void l2_reset(const struct slat_format *format)
{
	l2_setup = (struct l2_setup){0};
	/* DR6 may show a match of a breakpoint that is not enabled (SDM 3B, Debug Status Register). */
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	write_dr6(DR6_CLEAR);
	slat_reset(format);
}
