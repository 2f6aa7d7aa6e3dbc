/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INT3 and its kin, with everything that their delivery touches warm or cold.
 *
 * The rule. INT3 (CC), INT n, INTO and INT1 are traps: the saved RIP is that of the next instruction,
 * and no error code is pushed. UD2 and BOUND are faults: the saved RIP is their own. It makes no
 * difference whether the CPU, on its way to the handler, touches a page that the hypervisor has to map
 * first: the IDT, the GDT, the TSS, the stack, a page table.
 *
 * The bug that taught it. In July 2023 a plain-SEV guest's INT3 self-test got #UD at every boot
 * (lore.kernel.org/kvm, 8eb933fd-2cf3-d7a9-32fe-2a1d82eac42a@mail.ustc.edu.cn). The page of the guest's
 * IDT had never been read, so vectoring #BP took a nested page fault. KVM mapped the page and wanted to
 * re-inject #BP; for the return address it "skipped" the INT3 with its emulator, which cannot read
 * encrypted memory and, since Linux 5.17, injected #UD instead. Fixed by cb49631ad111 (6.6).
 *
 * Its elder sister. Before 6ef88d6e36c2 (6.0) KVM on AMD did not re-inject INT3 and INTO at all but ran
 * the instruction once more: a code breakpoint on it hits twice, and where the frame's first push has
 * overwritten the instruction ("overlap"), or another CPU has ("replaced"), something else runs.
 *
 * What a buggy hypervisor shows here: #UD@insn or nothing instead of #BP@after, a second #DB, a return
 * address in the middle of an instruction.
 *
 * Each row of the table below is one instruction; each column one thing that is cold. What must be
 * delivered depends on the row alone.
 */
#include "trapline.h"

#define RULE_INT3 \
	"SDM 3A, Interrupt 3-Breakpoint Exception (#BP): a trap; the saved RIP is that of the next instruction"
#define RULE_INTN \
	"SDM 2A, INT n/INTO/INT3/INT1: INT n saves the RIP of the next instruction and pushes no error code"
#define RULE_INTO \
	"SDM 3A, Interrupt 4-Overflow Exception (#OF): a trap; the saved RIP is that of the next instruction"
#define RULE_INTO_64 "SDM 2A, INT n/INTO/INT3/INT1: INTO is invalid in 64-bit mode (#UD)"
#define RULE_INT1 \
	"SDM 3A, Interrupt 1-Debug Exception (#DB): INT1 is trap-like and does not change DR6"
#define RULE_UD2 \
	"SDM 3A, Interrupt 6-Invalid Opcode Exception (#UD): a fault; the saved RIP is that of the instruction"
#define RULE_BOUND \
	"SDM 3A, Interrupt 5-BOUND Range Exceeded Exception (#BR): a fault; the saved RIP is that of the instruction"

/* What a row catches wherever it runs, and what it catches where the delivery itself has to wait. */
#define BUGS_SOFT "model-int-n-rip"
#define BUGS_SOFT_COLD BUGS_SOFT " kvm-sev-int3-ud model-event-lost model-event-doubled"
#define BUGS_INTN_COLD BUGS_SOFT_COLD " kvm-spec-rip"
#define BUGS_FAULT "model-fault-as-trap"
#define BUGS_FAULT_COLD BUGS_FAULT " model-event-doubled"
#define BUGS_INT1 "tcg-icebp"
#define BUGS_INTO_64 "tcg-into-64"

/* One instruction: what it must deliver, and through which vector. */
struct row {
	const struct snippet *snippet;
	unsigned vector;
	const char *trace;
};

enum cold_thing {
	WARM,
	COLD_STACK_IST,
	COLD_STACK_RSP0,
	COLD_IDT,
	COLD_GDT,
	COLD_TSS,
	COLD_HANDLER,
	COLD_PAGE_TABLE,
	COLD_SUCCESSOR,
};

static void make_cold(enum cold_thing thing, const struct row *row)
{
	switch (thing) {
	case WARM:
		return;
	case COLD_STACK_IST:
		return cold_ist_stack(row->vector);
	case COLD_STACK_RSP0:
		return cold_rsp0_stack();
	case COLD_IDT:
		return cold_idt();
	case COLD_GDT:
		return cold_gdt();
	case COLD_TSS:
		return cold_tss(row->vector);
	case COLD_HANDLER:
		return cold_handler(row->vector);
	case COLD_PAGE_TABLE:
		return cold_page_table(row->vector);
	case COLD_SUCCESSOR:
		return cold_successor(row->snippet, "after");
	}
}

/* OF is set for INTO and does not matter to the others; EAX is out of BOUND's bounds. */
static void try_row(const struct row *row, enum cold_thing thing)
{
	setup.rflags = X86_EFLAGS_OF;
	setup.regs.rax = 5;
	make_cold(thing, row);
	expect("%s", row->trace);
	run_snippet(row->snippet);
}

#define CELL(name, column, thing, needs, environments, rule, bugs)   \
	CASE_NEEDS(needs, name##_##column, environments, rule, bugs) \
	{                                                            \
		try_row(&row_##name, thing);                         \
	}

/*
 * A row: all environments that the instruction exists in, the same with the rings between kernel and user, those with
 * a stack switch, and what it catches: anywhere, and where the delivery itself meets a cold page.
 */
#define FAULT_ROW(name, vector, trace, environments, rings, with_rsp0, with_tss, rule, bugs, \
		  bugs_cold)                                                                 \
	static const struct row row_##name = {&name, vector, trace};                         \
	CELL(name, warm, WARM, "", rings | IN_16, rule, bugs)                                \
	CELL(name, cold_stack_ist, COLD_STACK_IST, "", environments, rule, bugs_cold)        \
	CELL(name, cold_stack_rsp0, COLD_STACK_RSP0, "", with_rsp0, rule, bugs_cold)         \
	CELL(name, cold_idt, COLD_IDT, "pam=1", environments, rule, bugs_cold)               \
	CELL(name, cold_gdt, COLD_GDT, "pam=1", environments, rule, bugs_cold)               \
	CELL(name, cold_tss, COLD_TSS, "pam=1", with_tss, rule, bugs_cold)                   \
	CELL(name, cold_handler, COLD_HANDLER, "pam=1", environments, rule, bugs)            \
	CELL(name, cold_page_table, COLD_PAGE_TABLE, "pam=1", environments, rule, bugs_cold)

/* A trap returns to its successor, which may be cold as well. */
#define TRAP_ROW(name, vector, trace, environments, rings, with_rsp0, with_tss, rule, bugs,  \
		 bugs_cold)                                                                  \
	FAULT_ROW(name, vector, trace, environments, rings, with_rsp0, with_tss, rule, bugs, \
		  bugs_cold)                                                                 \
	CELL(name, cold_successor, COLD_SUCCESSOR, "pam=1", environments, rule, bugs)

SNIPPET(int3, "mark insn; int3; mark after; nop");
SNIPPET(int3_prefixed, "mark insn; .byte 0x66, 0xcc; mark after; nop");
SNIPPET(int_3, "mark insn; .byte 0xcd, 0x03; mark after; nop");
SNIPPET(int_3_prefixed, "mark insn; .byte 0xf2, 0xcd, 0x03; mark after; nop");
SNIPPET(into, "mark insn; .byte 0xce; mark after; nop");
SNIPPET(into_prefixed, "mark insn; .byte 0x3e, 0xce; mark after; nop");
SNIPPET(int1, "mark insn; .byte 0xf1; mark after; nop");
SNIPPET(int1_prefixed, "mark insn; .byte 0xf3, 0xf1; mark after; nop");
SNIPPET(undefined, "mark insn; ud2; mark after; nop");
SNIPPET(undefined_prefixed, "mark insn; .byte 0x66, 0x0f, 0x0b; mark after; nop");
/* 62 is BOUND in 32-bit code only. */
#define BOUND(prefix) "pushl $0; pushl $0; mark insn\n" prefix "bound %eax, (%esp); mark after; nop"
SNIPPET_ALL(bound, "mark insn; nop; mark after", BOUND(""), BOUND(""));
SNIPPET_ALL(bound_prefixed, "mark insn; nop; mark after", BOUND(".byte 0x26\n"),
	    BOUND(".byte 0x26\n"));

/* Must stay the first case: any other one would have taken an exception already. */
CASE(first_exception, CPL0, RULE_INT3, BUGS_SOFT)
{
	witness(this_recording()->trace->delivered == 0, "%lu events came before",
		this_recording()->trace->delivered);
	expect("#BP@after");
	run(int3);
}

/*        instruction, vector, must deliver, environments, with rings, those with RSP0, with a TSS, rule, bugs, bugs where it is cold */
TRAP_ROW(int3, VECTOR_BP, "#BP@after", ALL_NATIVE, IN_EVERY_RING, OUTER_RINGS,
	 WITH_EVENT_STACK | RINGS, RULE_INT3, BUGS_SOFT, BUGS_SOFT_COLD)
TRAP_ROW(int3_prefixed, VECTOR_BP, "#BP@after", ALL_NATIVE, ALL_NATIVE, USER, WITH_EVENT_STACK,
	 RULE_INT3, BUGS_SOFT, BUGS_SOFT_COLD)
TRAP_ROW(int_3, VECTOR_BP, "int 0x3@after", ALL_NATIVE, IN_EVERY_RING, OUTER_RINGS,
	 WITH_EVENT_STACK | RINGS, RULE_INTN, BUGS_SOFT, BUGS_INTN_COLD)
TRAP_ROW(int_3_prefixed, VECTOR_BP, "int 0x3@after", ALL_NATIVE, ALL_NATIVE, USER, WITH_EVENT_STACK,
	 RULE_INTN, BUGS_SOFT, BUGS_INTN_COLD)
TRAP_ROW(into, VECTOR_OF, "#OF@after", IN_32, IN_32, USER_32, USER_32, RULE_INTO, BUGS_SOFT,
	 BUGS_SOFT_COLD)
TRAP_ROW(into_prefixed, VECTOR_OF, "#OF@after", IN_32, IN_32, USER_32, USER_32, RULE_INTO,
	 BUGS_SOFT, BUGS_SOFT_COLD)
TRAP_ROW(int1, VECTOR_DB, "#DB[]@after", ALL_NATIVE, IN_EVERY_RING, OUTER_RINGS,
	 WITH_EVENT_STACK | RINGS, RULE_INT1, BUGS_INT1, BUGS_INT1)
TRAP_ROW(int1_prefixed, VECTOR_DB, "#DB[]@after", ALL_NATIVE, ALL_NATIVE, USER, WITH_EVENT_STACK,
	 RULE_INT1, BUGS_INT1, BUGS_INT1)
FAULT_ROW(undefined, VECTOR_UD, "#UD@insn", ALL_NATIVE, IN_EVERY_RING, OUTER_RINGS,
	  WITH_EVENT_STACK | RINGS, RULE_UD2, BUGS_FAULT, BUGS_FAULT_COLD)
FAULT_ROW(undefined_prefixed, VECTOR_UD, "#UD@insn", ALL_NATIVE, ALL_NATIVE, USER, WITH_EVENT_STACK,
	  RULE_UD2, BUGS_FAULT, BUGS_FAULT_COLD)
FAULT_ROW(bound, VECTOR_BR, "#BR@insn", IN_32, IN_32, USER_32, USER_32, RULE_BOUND, BUGS_FAULT,
	  BUGS_FAULT_COLD)
FAULT_ROW(bound_prefixed, VECTOR_BR, "#BR@insn", IN_32, IN_32, USER_32, USER_32, RULE_BOUND,
	  BUGS_FAULT, BUGS_FAULT_COLD)

static const struct row row_into_64 = {&into, VECTOR_UD, "#UD@insn"};
CELL(into_64, warm, WARM, "", CPL0 | CPL3, RULE_INTO_64, BUGS_INTO_64)
CELL(into_64, cold_stack_ist, COLD_STACK_IST, "", CPL0 | CPL3, RULE_INTO_64, BUGS_INTO_64)
CELL(into_64, cold_idt, COLD_IDT, "pam=1", CPL0 | CPL3, RULE_INTO_64, BUGS_INTO_64)

/* -- The gate refuses. ------------------------------------------------------------------------- */

#define RULE_DPL \
	"SDM 3A, Protection of Exception- and Interrupt-Handler Procedures: DPL < CPL is #GP(vector*8+2) for INT n, INT3, INTO"
#define RULE_NO_DPL \
	"SDM 3A, Protection of Exception- and Interrupt-Handler Procedures: hardware-generated exceptions and INT1 ignore the gate's DPL"
#define RULE_NP "SDM 3A, Error Code: #NP(vector*8+IDT), EXT clear for INT n, INT3, INTO"
#define RULE_NP_EXT \
	"SDM 3A, Error Code: #NP(vector*8+IDT+EXT), EXT set while delivering an exception or INT1"

static void try_gate(const struct row *row, unsigned dpl, bool present, const char *trace)
{
	setup.rflags = X86_EFLAGS_OF;
	setup.regs.rax = 5;
	gate_set_dpl(row->vector, dpl);
	gate_set_present(row->vector, present);
	expect("%s", trace);
	run_snippet(row->snippet);
}

#define GATE_DPL0(name, environments, trace, rule, bugs) \
	CASE(name##_gate_dpl0, environments, rule, bugs) \
	{                                                \
		try_gate(&row_##name, 0, true, trace);   \
	}

GATE_DPL0(int3, OUTER_RINGS, "#GP(0x1a)@insn", RULE_DPL,
	  CATCHES("xsa-106 model-int-n-no-dpl-check"))
GATE_DPL0(int3_prefixed, USER, "#GP(0x1a)@insn", RULE_DPL,
	  CATCHES("xsa-106 model-int-n-no-dpl-check"))
GATE_DPL0(int_3, OUTER_RINGS, "#GP(0x1a)@insn", RULE_DPL,
	  CATCHES("xsa-106 model-int-n-no-dpl-check"))
GATE_DPL0(int_3_prefixed, USER, "#GP(0x1a)@insn", RULE_DPL,
	  CATCHES("xsa-106 model-int-n-no-dpl-check"))
GATE_DPL0(into, USER_32, "#GP(0x22)@insn", RULE_DPL, CATCHES("xsa-106 model-int-n-no-dpl-check"))
GATE_DPL0(int1, OUTER_RINGS, "#DB[]@after", RULE_NO_DPL, BUGS_INT1)
GATE_DPL0(undefined, OUTER_RINGS, "#UD@insn", RULE_NO_DPL, CATCHES("model-dpl-for-exceptions"))
GATE_DPL0(bound, USER_32, "#BR@insn", RULE_NO_DPL, CATCHES("model-dpl-for-exceptions"))

/*
 * ... and the IDT is cold: who has to map it first injects the event once more, and must have RIP still at the
 * instruction then, since only the gate says whether this is a trap at all.
 */
#define GATE_DPL0_COLD(name, trace)                                              \
	CASE_NEEDS("pam=1", name##_gate_dpl0_cold_idt, USER, RULE_DPL,           \
		   CATCHES("kvm-reinjected-fault-rip model-int-n-no-dpl-check")) \
	{                                                                        \
		gate_set_dpl(row_##name.vector, 0);                              \
		cold_idt();                                                      \
		expect("%s", trace);                                             \
		run_snippet(row_##name.snippet);                                 \
	}

GATE_DPL0_COLD(int3, "#GP(0x1a)@insn")
GATE_DPL0_COLD(int_3, "#GP(0x1a)@insn")

#define GATE_NOT_PRESENT(name, environments, trace, rule, bugs) \
	CASE(name##_gate_not_present, environments, rule, bugs) \
	{                                                       \
		try_gate(&row_##name, 3, false, trace);         \
	}

GATE_NOT_PRESENT(int3, ALL_NATIVE, "#NP(0x1a)@insn", RULE_NP,
		 CATCHES("tcg-idt-errcode-64 model-int-n-ext"))
GATE_NOT_PRESENT(int_3, ALL_NATIVE, "#NP(0x1a)@insn", RULE_NP,
		 CATCHES("tcg-idt-errcode-64 model-int-n-ext"))
GATE_NOT_PRESENT(into, IN_32, "#NP(0x22)@insn", RULE_NP,
		 CATCHES("tcg-idt-errcode-64 model-int-n-ext"))
GATE_NOT_PRESENT(int1, ALL_NATIVE, "#NP(0xb)@insn", RULE_NP_EXT,
		 CATCHES("tcg-ext-bit tcg-icebp tcg-int1-fault-rip"))
GATE_NOT_PRESENT(undefined, IN_EVERY_RING, "#NP(0x33)@insn", RULE_NP_EXT, CATCHES("tcg-ext-bit"))
GATE_NOT_PRESENT(bound, IN_32, "#NP(0x2b)@insn", RULE_NP_EXT, CATCHES("tcg-ext-bit"))

/* #GP is vector 13, so only a vector above can lie beyond a limit that still lets #GP through. */
SNIPPET(int_0x30, "mark insn; int $0x30; mark after; nop");

CASE(int_0x30_beyond_limit, ALL_NATIVE,
     "SDM 3A, Error Code: a vector beyond the IDT limit is #GP(vector*8+IDT), EXT clear for INT n",
     CATCHES("tcg-idt-errcode-64 model-int-n-ext"))
{
	load_idt(idt, 0x30 * sizeof(struct gate) - 1);
	expect("#GP(0x182)@insn");
	run(int_0x30);
}

/* -- The next page is not there. --------------------------------------------------------------- */

#define RULE_PAGE_END \
	"SDM 3A, Interrupt 3-Breakpoint Exception (#BP): delivery does not fetch the next instruction; its page fault comes after the handler's IRET"

static void try_page_end(const struct row *row)
{
	setup.rflags = X86_EFLAGS_OF;
	absent_successor(row->snippet, "after");
	expect("%s, #PF(%#x,cr2=after)@after", row->trace,
	       PF_FETCH | (environment_is_user() ? PF_USER : 0));
	run_snippet(row->snippet);
}

#define PAGE_END(name, environments, bugs)                       \
	CASE(name##_page_end, environments, RULE_PAGE_END, bugs) \
	{                                                        \
		try_page_end(&row_##name);                       \
	}

PAGE_END(int3, IN_EVERY_RING, BUGS_SOFT)
PAGE_END(int3_prefixed, ALL_NATIVE, BUGS_SOFT)
PAGE_END(int_3, ALL_NATIVE, BUGS_SOFT)
PAGE_END(into, IN_32, BUGS_SOFT)
PAGE_END(int1, ALL_NATIVE, BUGS_INT1)

/* -- Re-execution told from re-injection. ------------------------------------------------------ */

#define RULE_CODE_BREAKPOINT \
	"SDM 3B, Instruction-Breakpoint Exception Condition: one #DB before the instruction, RF keeps it from a second"

static void try_code_breakpoint(const struct row *row, enum cold_thing thing)
{
	breakpoint_set(0, mark_address(row->snippet, "insn"), BREAK_CODE, 1);
	setup.shown_flags = X86_EFLAGS_RF;
	setup.rflags = X86_EFLAGS_OF;
	make_cold(thing, row);
	expect("#DB[B0]@insn, %s", row->trace);
	run_snippet(row->snippet);
}

#define CODE_BREAKPOINT(name, environments, retry)                                              \
	CASE(name##_code_breakpoint, environments, RULE_CODE_BREAKPOINT, CATCHES("tcg-int-rf")) \
	{                                                                                       \
		try_code_breakpoint(&row_##name, WARM);                                         \
	}                                                                                       \
	CASE(name##_code_breakpoint_cold_stack, environments, RULE_CODE_BREAKPOINT,             \
	     CATCHES("tcg-int-rf bochs-delivery-exit-rf " retry))                               \
	{                                                                                       \
		try_code_breakpoint(&row_##name, COLD_STACK_IST);                               \
	}                                                                                       \
	CASE_NEEDS("pam=1", name##_code_breakpoint_cold_page_table, environments,               \
		   RULE_CODE_BREAKPOINT, CATCHES("tcg-int-rf bochs-delivery-exit-rf " retry))   \
	{                                                                                       \
		try_code_breakpoint(&row_##name, COLD_PAGE_TABLE);                              \
	}

CODE_BREAKPOINT(int3, IN_EVERY_RING, "kvm-int3-retry")
CODE_BREAKPOINT(int_3, ALL_NATIVE, "kvm-intn-retry")
CODE_BREAKPOINT(into, IN_32, "kvm-int3-retry")

#define RULE_OVERLAP \
	"SDM 3A, Exception- and Interrupt-Handler Procedures: the event was decided when the instruction ran; what its frame overwrites is not run again"

/*
 * The exception stack ends 16 bytes into a warm page, on top of the instruction: the push of SS succeeds and destroys
 * it, and the third push finds a cold page, the fifth in 32-bit protected mode.
 */
static void try_overlap(const struct row *row)
{
	static uint8_t warm_page[PAGE_BYTES] __attribute__((aligned(4096)));
	static uint8_t added_to[PAGE_BYTES] __attribute__((aligned(4096)));
	uint64_t boundary = WINDOW + PAGE_BYTES;
	size_t word = in_other_mode() ? sizeof(uint32_t) : sizeof(uint64_t);

	cold_window_page(0);
	window_map(1, (uint64_t)warm_page | PTE_PAGE);
	use_ist(row->vector, boundary + 16);
	/*
	 * Where the instruction is run again, the frame is, and all zeros behind it: what these bytes add to is memory, and
	 * not the code itself, which an emulator would translate anew two thousand times.
	 */
	setup.regs.rax = (uint64_t)added_to;
	setup.address = (void *)(boundary + 16 - word);
	setup.leave_after = 1;
	expect("%s", row->trace);
	run_snippet(row->snippet);
}

SNIPPET(int_0x80, "mark insn; int $0x80; mark after; nop");
static const struct row row_int_0x80 = {&int_0x80, 0x80, "int 0x80@after"};

CASE(int3_overlap, WITH_EVENT_STACK | RINGS, RULE_OVERLAP,
     CATCHES("kvm-int3-retry kvm-int3-replaced xen-soft-event-retry"))
{
	try_overlap(&row_int3);
}

CASE(int_0x80_overlap, WITH_EVENT_STACK | RINGS, RULE_OVERLAP,
     CATCHES("kvm-intn-retry kvm-int3-replaced kvm-spec-rip xen-soft-event-retry model-event-stale"))
{
	try_overlap(&row_int_0x80);
}

/* Each run under a layer, or in another mode, is a round trip, and takes as long as a hundred without. */
#define REPETITIONS (layer == &layer_native && !in_other_mode() ? repetitions_due(10000) : 50u)

CASE(int3_repeated_cold_stack, ALL_NATIVE, RULE_INT3, BUGS_SOFT_COLD " model-event-stale")
{
	for (unsigned i = 0; i < REPETITIONS; i++) {
		cold_ist_stack(VECTOR_BP);
		run(int3);
	}
	expect("#BP@after x%u", REPETITIONS);
}

/* -- The instruction changes under the CPU's feet. --------------------------------------------- */

/* CC 1F 00 is INT3 and bytes that nobody reaches; 0F 1F 00 is a NOP of three bytes. */
SNIPPET(replaced, "mark insn; .byte 0xcc; mark after; .byte 0x1f, 0x00; mark behind; nop");

struct replacing {
	volatile uint8_t *byte;
	volatile bool stop;
	volatile unsigned long replaced;
};

/*
 * Where the CPUs of the guest share one of the host's (`waits=yield`), the other one runs only between turns: it would
 * see nothing of a pause, and a PAUSE may be a VM exit.
 */
static void pause_for(unsigned pauses)
{
	while (!args.waits_yield && pauses--)
		cpu_relax();
}

/*
 * After how many changes its turn ends: now odd, now even, by no rule that could agree with the other CPU's, so that
 * this one, where the two share one of the host's, meets either byte. The generator is that of C's rand().
 */
static unsigned turn_due(void)
{
	static uint32_t random = 1;

	random = random * 1103515245 + 12345;
	return 16 + (random >> 16) % 16;
}

static void replace_byte(void *argument)
{
	struct replacing *r = argument;
	unsigned left = turn_due();

	while (!r->stop) {
		*r->byte ^= 0xcc ^ 0x0f;
		r->replaced++;
		pause_for(50);
		if (!--left) {
			wait_relax();
			left = turn_due();
		}
	}
}

/* Both must have been seen this often; the other CPU may not run at all for a while. */
#define ENOUGH_OF_EACH (layer == &layer_native && !in_other_mode() ? 100u : 10u)
#define MOST_RUNS (layer == &layer_native && !in_other_mode() ? 100000u : 5000u)

CASE_NEEDS(
	"cpus=2", int3_replaced_by_other_cpu, ALL_NATIVE,
	"SDM 3A, Interrupt 3-Breakpoint Exception (#BP): an INT3 that was executed saves the RIP behind itself, whatever stands there now",
	CATCHES("kvm-int3-replaced"))
{
	static uint8_t page[PAGE_BYTES] __attribute__((aligned(4096)));
	static struct replacing replacing;
	const struct code *code = snippet_code(&replaced);
	unsigned runs = 0, traps = 0;

	memcpy(page, code->start, code->end - code->start);
	replacing = (struct replacing){.byte = page};
	setup.address = page;
	setup.placed = true;
	setup.leave_after = 1;
	allow_run("#BP@after");
	allow_run("(none)");
	cpu_start_work(1, replace_byte, &replacing);
	for (; runs < MOST_RUNS && (traps < ENOUGH_OF_EACH || runs - traps < ENOUGH_OF_EACH);
	     runs++) {
		cold_ist_stack(VECTOR_BP);
		cold_is_optional();
		/* On an emulator that runs its CPUs in turn, equal runs would always meet the same byte. */
		pause_for(runs * 7 % 61);
		wait_relax();
		traps += run(replaced);
	}
	replacing.stop = true;
	check(cpu_wait(1), "CPU 1 did not come back within the deadline");
	witness(traps >= ENOUGH_OF_EACH && runs - traps >= ENOUGH_OF_EACH,
		"the byte changed %lu times, %u of %u runs saw INT3", replacing.replaced, traps,
		runs);
}

/* -- What a kernel does with it. --------------------------------------------------------------- */

SNIPPET(call_by_int3, "mark insn; int3; mark after; jmp 1f; mark callee; inc %eax; ret; 1: nop");

/* As ftrace and static calls do: push the return address, go to the function. */
static enum action emulate_call(const struct event *event, struct trap_frame *frame)
{
	bool wide = !environment_is_32();

	if (event->vector != VECTOR_BP)
		return BY_RULE;
	frame->iret.rsp -= wide ? 8 : 4;
	memcpy((void *)frame->iret.rsp, &frame->iret.rip, wide ? 8 : 4);
	frame->iret.rip = mark_address(&call_by_int3, "callee");
	return RESUME;
}

CASE(int3_call_emulation, IN_EVERY_RING,
     "SDM 2A, IRET: the handler's IRET goes where the frame says, also if the handler has edited it",
     BUGS_SOFT)
{
	/* On a stack of its own, or the pushed address would overwrite the frame. */
	use_ist(VECTOR_BP, stack_top(0, STACK_EVENTS));
	setup.hook = emulate_call;
	expect("#BP@after");
	run(call_by_int3);
	check(setup.result.rax == 1, "the function ran %lu times", setup.result.rax);
}
