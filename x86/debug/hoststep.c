/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host steps the guest: what a debugger outside does must not be seen inside.
 *
 * The rule. Single-stepping and breakpoints of the host are not part of the machine. The guest sees no
 * #DB from them, its own INT3 is its own #BP, PUSHF stores the TF that the guest has set, and the
 * interrupt shadow of STI and MOV SS is where it is without a debugger. A stub may hold interrupts
 * back while it steps (QEMU's does so unless told otherwise); then one that waits comes when the guest
 * runs on, and not before the shadow is over.
 *
 * The bug that taught it. The kernel developers who reworked ftrace's INT3 patching in 2019 stepped
 * guests from outside and saw the shadow of STI vanish. KVM clears "blocking by STI" from the VMCS when
 * the host single-steps, since a pending #DB and that shadow make VM entry fail; an exit later the
 * interrupt is let in one instruction early. In the same year KVM broke the step over an emulated
 * instruction; its fast path for exits skipped the host's trap until f7f39c50edb9 (2024). bhyve's stub
 * stepped with interrupts on until 82eece443ee3.
 *
 * What a buggy hypervisor shows here: #DB in the guest's trace, INT3 swallowed or delivered twice, the
 * interrupt before the instruction after STI, TF in a pushed image, a step that covers two
 * instructions or none.
 *
 * How it works. scripts/gdb/hoststep.gdb stops the guest in host_waits_here, reads from host_plan what
 * is to be done, does it, and writes there what it saw. The guest judges both, its own trace and the
 * host's. Without a debugger all cases are skipped.
 */
#include "trapline.h"

#define PENDING 0x31
#define MAX_STEPS 16

/* Known to hoststep.gdb by offset. */
struct host_plan {
	uint64_t address;	  /* 0x00: where the host stops first */
	uint64_t breakpoint;	  /* 0x08: how: 1 hardware, 2 software */
	uint64_t sstep;		  /* 0x10: qemu.sstep: 1 enable, 2 no IRQs, 4 no timers */
	uint64_t steps;		  /* 0x18: steps from there */
	uint64_t stops;		  /* 0x20: written by the host: how often it stopped there */
	uint64_t seen[MAX_STEPS]; /* 0x28: and RIP behind each step */
};

volatile struct host_plan host_plan;

void host_waits_here(void);
void host_is_done_here(void);
asm(".pushsection .text\n"
    ".globl host_waits_here, host_is_done_here\n"
    "host_waits_here: nop; ret\n"
    "host_is_done_here: nop; ret\n"
    ".popsection\n");

enum { HARDWARE = 1, SOFTWARE = 2 };
enum { IRQS_ON = 1, IRQS_OFF = 7 };

#define RULE_STEP "QEMU, gdbstub: single-stepping from outside is not visible to the guest"
#define RULE_STI \
	"SDM 2B, STI-Set Interrupt Flag: interrupts stay blocked until the instruction after STI is done, also when a debugger stops between"
#define RULE_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: also when a debugger stops between"
#define RULE_INT3 \
	"SDM 3A, Interrupt 3-Breakpoint Exception (#BP): the guest's INT3 is the guest's, with a host breakpoint on it or without"

#define BUGS_STEP CATCHES("gdb-step")
#define BUGS_STI CATCHES("kvm-gdb-sti")

static void append_place(struct text *out, const struct snippet *snippet, uint64_t address)
{
	const struct code *code = snippet_code(snippet);

	for (const struct mark *m = code->marks; m != code->marks_end; m++) {
		if (m->address == address) {
			text_append(out, "%s", m->name);
			return;
		}
	}
	if (address - (uint64_t)vector_stubs < 256 * VECTOR_STUB_BYTES)
		text_append(out, "handler[%#lx]",
			    (address - (uint64_t)vector_stubs) / VECTOR_STUB_BYTES);
	else
		text_append(out, "%#lx", address);
}

/* `places`: where the host must find the guest behind each step. */
static void step_from(const struct snippet *snippet, const char *mark, unsigned breakpoint,
		      unsigned sstep, unsigned steps, const char *places)
{
	char seen[200];
	struct text text;

	host_plan.address = mark_address(snippet, mark);
	host_plan.breakpoint = breakpoint;
	host_plan.sstep = sstep;
	host_plan.steps = steps;
	host_plan.stops = 0;
	setup.regs.rsi = stack_selector();
	grant_iopl();
	host_waits_here();
	run_snippet(snippet);
	host_is_done_here();
	need(host_plan.stops, "no debugger is attached");
	check(host_plan.stops == 1, "the host stopped %lu times at `%s`", host_plan.stops, mark);
	text_init(&text, seen, sizeof(seen));
	for (unsigned i = 0; i < steps; i++) {
		text_append(&text, i ? ", " : "");
		append_place(&text, snippet, host_plan.seen[i]);
	}
	check(strcmp(seen, places) == 0, "the host saw %s; due were %s", seen, places);
}

/* -- Plain steps. ------------------------------------------------------------------------------ */

SNIPPET(plain, "mark insn; nop; mark second; nop; mark third; nop; mark fourth; nop");

CASE(nops, ALL_NATIVE, RULE_STEP, BUGS_STEP)
{
	expect("(none)");
	step_from(&plain, "insn", HARDWARE, IRQS_OFF, 3, "second, third, fourth");
}

CASE(nops_irqs_on, ALL_NATIVE, RULE_STEP, BUGS_STEP)
{
	expect("(none)");
	step_from(&plain, "insn", HARDWARE, IRQS_ON, 3, "second, third, fourth");
}

CASE(software_breakpoint, ALL_NATIVE, RULE_STEP, BUGS_STEP)
{
	expect("(none)");
	step_from(&plain, "second", SOFTWARE, IRQS_OFF, 2, "third, fourth");
}

#define STEP_ROW(name, environments, bugs)                                                   \
	SNIPPET(over_##name, "mark insn\n" TEXT_##name "\nmark after; nop; mark next; nop"); \
	CASE(name, environments, RULE_STEP, bugs)                                            \
	{                                                                                    \
		exiting_prepare(&exiting_##name);                                            \
		expect("(none)");                                                            \
		step_from(&over_##name, "insn", HARDWARE, IRQS_OFF, 2, "after, next");       \
		exiting_judge(&exiting_##name);                                              \
	}

FOR_EACH_EXITING(STEP_ROW, BUGS_STEP, BUGS_STEP, BUGS_STEP)

SNIPPET(flags, "mark insn; pushf; mark after; .byte 0x5b; mark next; nop");

CASE(pushf, ALL_NATIVE, "SDM 2B, PUSHF: the image holds the guest's TF, not the host's", BUGS_STEP)
{
	expect("(none)");
	step_from(&flags, "insn", HARDWARE, IRQS_OFF, 2, "after, next");
	check(!(setup.result.rbx & X86_EFLAGS_TF), "PUSHF stored TF set: %#lx", setup.result.rbx);
}

/* -- Shadows. ---------------------------------------------------------------------------------- */

SNIPPET(sti, "mark insn; sti; mark shadow; nop; mark after; nop; mark late; nop; mark last; nop");
SNIPPET(sti_cpuid, "mark insn; sti; mark shadow; cpuid; mark after; nop; mark late; nop; mark last; nop");
SNIPPET(movss, "mark insn; mov %esi, %ss; mark shadow; nop; mark after; nop");

#define STI_ROW(name, snippet, sstep, steps, trace, places)                  \
	CASE(name, ALL_NATIVE, RULE_STI, BUGS_STI)                           \
	{                                                                    \
		setup.shown_flags = X86_EFLAGS_IF | X86_EFLAGS_TF;           \
		interrupt_pending(PENDING);                                  \
		expect(trace);                                               \
		step_from(&snippet, "insn", HARDWARE, sstep, steps, places); \
	}

/* With interrupts held back by the stub: at the first boundary outside the shadow where the guest runs. */
STI_ROW(sti_1, sti, IRQS_OFF, 1, "intr 0x31@after{IF}", "shadow")
STI_ROW(sti_2, sti, IRQS_OFF, 2, "intr 0x31@after{IF}", "shadow, after")
STI_ROW(sti_3, sti, IRQS_OFF, 3, "intr 0x31@late{IF}", "shadow, after, late")
STI_ROW(sti_cpuid_1, sti_cpuid, IRQS_OFF, 1, "intr 0x31@after{IF}", "shadow")
STI_ROW(sti_cpuid_2, sti_cpuid, IRQS_OFF, 2, "intr 0x31@after{IF}", "shadow, after")
/* With interrupts on: as without a debugger. */
STI_ROW(sti_1_irqs_on, sti, IRQS_ON, 1, "intr 0x31@after{IF}", "shadow")
STI_ROW(sti_2_irqs_on, sti, IRQS_ON, 2, "intr 0x31@after{IF}", "shadow, after")
STI_ROW(sti_cpuid_2_irqs_on, sti_cpuid, IRQS_ON, 2, "intr 0x31@after{IF}", "shadow, after")

CASE(sti_stop_in_shadow, ALL_NATIVE, RULE_STI, BUGS_STI)
{
	setup.shown_flags = X86_EFLAGS_IF | X86_EFLAGS_TF;
	interrupt_pending(PENDING);
	expect("intr 0x31@after{IF}");
	step_from(&sti, "shadow", HARDWARE, IRQS_OFF, 0, "");
}

CASE(movss_step, ALL_NATIVE, RULE_MOVSS, BUGS_STEP)
{
	allow(RULE_STEP, "(none)");
	step_from(&movss, "insn", HARDWARE, IRQS_OFF, 1, "shadow");
}

/* -- The guest's own INT3. --------------------------------------------------------------------- */

SNIPPET(own_int3, "mark before; nop; mark insn; int3; mark after; nop; mark next; nop");

static void show_tf(void)
{
	setup.shown_flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	expect("#BP@after");
}

CASE(hardware_breakpoint_on_int3, ALL_NATIVE, RULE_INT3, BUGS_STEP)
{
	show_tf();
	step_from(&own_int3, "insn", HARDWARE, IRQS_OFF, 0, "");
}

CASE(software_breakpoint_on_int3, ALL_NATIVE, RULE_INT3, BUGS_STEP)
{
	show_tf();
	step_from(&own_int3, "insn", SOFTWARE, IRQS_OFF, 0, "");
}

CASE(stop_before_int3, ALL_NATIVE, RULE_INT3, BUGS_STEP)
{
	show_tf();
	step_from(&own_int3, "before", HARDWARE, IRQS_OFF, 1, "insn");
}
