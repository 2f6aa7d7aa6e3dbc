/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt shadows: the one instruction after STI, MOV SS and POP SS.
 *
 * The rule. STI that sets IF holds maskable interrupts back until the instruction after it is done;
 * so STI;HLT cannot lose a wake-up and STI;RET leaves the routine first. MOV SS and POP SS do the
 * same (and hold back more, see movss.c) so that SS and RSP can change together. Of several such
 * instructions in a row only the first is sure to count. POPF and IRET set IF without a shadow, and
 * STI makes none where IF was set already.
 *
 * Why a hypervisor must care. When the instruction in the shadow exits (CPUID, port or memory-mapped
 * I/O, a page that the host has to map first), the shadow lies in the hypervisor's hands: VMX keeps
 * it in the interruptibility state, SVM in the VMCB, an emulator in a variable of its own. Linux
 * learned it in 2019, when ftrace's INT3 patching met hosts that single-step guests
 * (lore.kernel.org/lkml, thread "x86/ftrace: Have ftrace trampolines turn read-only at the end of
 * system boot up" and its INT3 successors); KVM still drops STI's shadow when the host steps over
 * it. The mirror image is to leave one behind: on SVM a VMRUN in the hypervisor's own STI shadow
 * leaks into the guest (be45bc4eff33, Linux 6.14; Xen c989ff614f).
 *
 * What a buggy hypervisor shows here: the interrupt one instruction early (`before`: dropped on the
 * exit, or forgotten by the emulator), one late (`late`: invented on the exit, or not ended by it),
 * twice, or never.
 *
 * The table below has a row for each way to set IF and a column for each instruction that comes
 * next. An interrupt waits in IRR (that is the witness), and the row says on which side of the
 * column's instruction it must come. The instruction must also have done its work.
 */
#include "trapline.h"

#define PENDING 0x31

#define RULE_STI \
	"SDM 2B, STI-Set Interrupt Flag: where IF was 0, interrupts stay blocked until the instruction after STI is done"
#define RULE_STI_STI \
	"SDM 2B, STI-Set Interrupt Flag: with IF already 1, STI delays nothing; of several in a row only the first counts"
#define RULE_IN_A_ROW \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks; SDM 2B, STI: of several such instructions in a row only the first is sure to delay"
#define RULE_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: interrupts stay blocked after MOV SS and POP SS until the next instruction is done, and no longer"
#define RULE_NO_SHADOW \
	"SDM 3A, Masking Maskable Hardware Interrupts: POPF and IRET set IF at once; only STI, MOV SS and POP SS delay"

/* When the row's interrupt comes. */
enum when {
	EARLY,	/* before the column's instruction: the row makes no shadow */
	AFTER,	/* behind it */
	EITHER, /* both are legal */
};

struct column {
	const struct exiting *instruction;
	const char *event; /* what the instruction itself delivers, or NULL */
	void (*prepare)(void);
	bool cold_code; /* what follows the mark `before` is on a cold page */
};

static void prepare_fault(void)
{
	setup.hook = skip_ud2;
}

#define EXITING_COLUMN(name) \
	static const struct column column_##name = {&exiting_##name, NULL, NULL, false};

EXITING_COLUMN(plain)
EXITING_COLUMN(cpuid)
EXITING_COLUMN(in)
EXITING_COLUMN(out)
EXITING_COLUMN(rdmsr)
EXITING_COLUMN(wrmsr)
EXITING_COLUMN(cr8)
EXITING_COLUMN(mmio_read)
EXITING_COLUMN(mmio_write)
EXITING_COLUMN(cold_read)
EXITING_COLUMN(cold_write)
static const struct column column_cold_fetch = {&exiting_plain, NULL, NULL, true};
static const struct column column_int3 = {&exiting_plain, "#BP@after{IF}", NULL, false};
static const struct column column_int_n = {&exiting_plain, "int 0x21@after{IF}", NULL, false};
static const struct column column_fault = {&exiting_plain, "#UD@before{IF}", prepare_fault, false};

/* -- The table. -------------------------------------------------------------------------------- */

#define OLDER_FIRST \
	"SDM 2B, STI-Set Interrupt Flag: of several in a row only the first is sure to delay"
#define LATER_TOO "SDM 2B, STI-Set Interrupt Flag: the later ones of several in a row may delay too"

static void expect_cell(const struct column *column, enum when when)
{
	static const char early[] = "intr 0x31@before{IF}", after[] = "intr 0x31@after{IF}";
	const char *event = column->event ? column->event : "";
	const char *comma = column->event ? ", " : "";

	if (when == EARLY)
		expect("%s%s%s", early, comma, event);
	if (when == AFTER)
		expect("%s%s%s", event, comma, after);
	if (when == EITHER) {
		allow(OLDER_FIRST, "%s%s%s", early, comma, event);
		allow(LATER_TOO, "%s%s%s", event, comma, after);
	}
}

/* EBP is a flags image with IF set, ESI a selector for SS. */
static void prepare_row(void)
{
	setup.shown_flags = X86_EFLAGS_IF;
	grant_iopl();
	setup.regs.rbp = X86_EFLAGS_FIXED | X86_EFLAGS_IF | setup.rflags;
	setup.regs.rsi = stack_selector();
}

static void try_cell(const struct snippet *snippet, const struct column *column, enum when when)
{
	prepare_row();
	exiting_prepare(column->instruction);
	if (column->prepare)
		column->prepare();
	if (column->cold_code)
		cold_successor(snippet, "before");
	interrupt_pending(PENDING);
	expect_cell(column, when);
	run_snippet(snippet);
	exiting_judge(column->instruction);
}

#define PUSH_FLAGS ".byte 0x55\n" /* push %rbp or %ebp */
#define PUSH_SS ".byte 0x56\n"	  /* push %rsi or %esi */
#define MOV_SS "mov %esi, %ss\n"
#define POP_SS ".byte 0x17\n"
#define IRET64                                                          \
	"mov %rsp, %r8; mov %ss, %r9d; push %r9; push %r8; push %rbp\n" \
	"mov %cs, %r9d; push %r9; lea 1f(%rip), %r9; push %r9; iretq; 1:\n"
#define IRET32 "push %ebp; push %cs; call 1f; 1: addl $(2f - 1b), (%esp); iret; 2:\n"

/* Code of each row up to the mark `before`: 64-bit, 32-bit. */
#define CODE_sti "sti\n", "sti\n"
#define CODE_sti_sti "sti; mark first; sti\n", "sti; mark first; sti\n"
#define CODE_sti_movss "sti; mark first\n" MOV_SS, "sti; mark first\n" MOV_SS
#define CODE_sti_popss "nop\n", PUSH_SS "sti; mark first\n" POP_SS
#define CODE_movss_sti MOV_SS "mark first; sti\n", MOV_SS "mark first; sti\n"
#define CODE_popss_sti "nop\n", PUSH_SS POP_SS "mark first; sti\n"
#define CODE_movss_popf \
	PUSH_FLAGS MOV_SS "mark first; popf\n", PUSH_FLAGS MOV_SS "mark first; popf\n"
#define CODE_popss_popf "nop\n", PUSH_FLAGS PUSH_SS POP_SS "mark first; popf\n"
#define CODE_popf PUSH_FLAGS "popf\n", PUSH_FLAGS "popf\n"
#define CODE_iret IRET64, IRET32

/*
 * What a cell catches. A shadow that is lost on an exit shows only where the instruction starts again
 * (COLD); where it is skipped, one that is left standing does.
 */
#define BUGS_AFTER_PLAIN "model-shadow-late"
#define BUGS_AFTER_SKIPPED "model-skip-keeps-shadow model-ipi-no-isr"
#define BUGS_AFTER_COLD "model-shadow-lost model-ipi-no-isr"
#define BUGS_EARLY_PLAIN "model-shadow-late"
#define BUGS_EARLY_SKIPPED "model-shadow-late"
#define BUGS_EARLY_COLD "model-shadow-late"
#define BUGS_EITHER_PLAIN "model-ipi-no-isr"
#define BUGS_EITHER_SKIPPED "model-ipi-no-isr"
#define BUGS_EITHER_COLD "model-ipi-no-isr"

#define TAIL(x) "mark before\n" x "\nmark after; nop; mark late; nop; mark later; nop"
#define BOTH_CODES(name, x, text64, text32) \
	SNIPPET_ALL(name, text64 TAIL(x), text32 TAIL(x), text32 TAIL(x))
#define BOTH_CODES_(...) BOTH_CODES(__VA_ARGS__)

#define CELL(needs, row, when, column, x, environments, rule, bugs)     \
	BOTH_CODES_(row##_then_##column, x, CODE_##row);                \
	CASE_NEEDS(needs, row##_##column, environments, rule, bugs)     \
	{                                                               \
		try_cell(&row##_then_##column, &column_##column, when); \
	}

#define EXITING_CELL(row, when, column, environments, rule, bugs) \
	CELL("", row, when, column, TEXT_##column, environments, rule, bugs)

/* A row in all environments that it exists in, and with the rings where the ring can matter. */
#define ROW(row, when, environments, rings, in_16, rule)                                         \
	EXITING_CELL(row, when, plain, rings | in_16, rule, BUGS_##when##_PLAIN)                 \
	EXITING_CELL(row, when, cpuid, environments | in_16, rule, BUGS_##when##_SKIPPED)        \
	EXITING_CELL(row, when, in, rings | in_16, rule, BUGS_##when##_SKIPPED)                  \
	EXITING_CELL(row, when, out, rings | in_16, rule, BUGS_##when##_SKIPPED)                 \
	EXITING_CELL(row, when, mmio_read, environments, rule, BUGS_##when##_SKIPPED)            \
	EXITING_CELL(row, when, mmio_write, environments, rule, BUGS_##when##_SKIPPED)           \
	EXITING_CELL(row, when, cold_read, environments, rule, BUGS_##when##_COLD)               \
	EXITING_CELL(row, when, cold_write, environments, rule, BUGS_##when##_COLD)              \
	CELL("pam=1", row, when, cold_fetch, "nop", environments, rule, BUGS_##when##_COLD)      \
	CELL("", row, when, int3, "int3", rings | in_16, rule, BUGS_##when##_PLAIN)              \
	CELL("", row, when, int_n, "int $0x21", environments | in_16, rule, BUGS_##when##_PLAIN) \
	CELL("", row, when, fault, "ud2", rings | in_16, rule, BUGS_##when##_PLAIN)

/* Its columns that only CPL0 may run. */
#define ROW_CPL0(row, when, rule)                                          \
	EXITING_CELL(row, when, rdmsr, RING0, rule, BUGS_##when##_SKIPPED) \
	EXITING_CELL(row, when, wrmsr, RING0, rule, BUGS_##when##_SKIPPED) \
	EXITING_CELL(row, when, cr8, CPL0, rule, BUGS_##when##_SKIPPED)

ROW(sti, AFTER, ALL_NATIVE, IN_EVERY_RING, IN_16, RULE_STI)
ROW_CPL0(sti, AFTER, RULE_STI)
ROW(sti_sti, EARLY, ALL_NATIVE, ALL_NATIVE, IN_16, RULE_STI_STI)
ROW_CPL0(sti_sti, EARLY, RULE_STI_STI)
ROW(sti_movss, EITHER, ALL_NATIVE, IN_EVERY_RING, IN_16, RULE_IN_A_ROW)
ROW_CPL0(sti_movss, EITHER, RULE_IN_A_ROW)
ROW(sti_popss, EITHER, IN_32, IN_32, IN_16, RULE_IN_A_ROW)
ROW(movss_sti, EITHER, ALL_NATIVE, ALL_NATIVE, IN_16, RULE_IN_A_ROW)
ROW_CPL0(movss_sti, EITHER, RULE_IN_A_ROW)
ROW(popss_sti, EITHER, IN_32, IN_32, IN_16, RULE_IN_A_ROW)
ROW(movss_popf, EARLY, ALL_NATIVE, ALL_NATIVE, IN_16, RULE_MOVSS)
ROW_CPL0(movss_popf, EARLY, RULE_MOVSS)
ROW(popss_popf, EARLY, IN_32, IN_32, IN_16, RULE_MOVSS)
ROW(popf, EARLY, ALL_NATIVE, IN_EVERY_RING, IN_16, RULE_NO_SHADOW)
ROW_CPL0(popf, EARLY, RULE_NO_SHADOW)
ROW(iret, EARLY, ALL_NATIVE, IN_EVERY_RING, ALL_NATIVE, RULE_NO_SHADOW)
ROW_CPL0(iret, EARLY, RULE_NO_SHADOW)

/* -- STI;CLI: IF was never set at an instruction boundary without a shadow. -------------------- */

SNIPPET(sti_cli_sti, "sti; mark shadow; cli; mark cleared; nop; mark masked\n"
		     "sti; mark again; nop; mark after; nop; mark late; nop");

CASE(sti_cli, IN_EVERY_RING, RULE_STI, CATCHES("model-shadow-late"))
{
	prepare_row();
	interrupt_pending(PENDING);
	expect("intr 0x31@after{IF}");
	run(sti_cli_sti);
}

/* -- HLT. -------------------------------------------------------------------------------------- */

#define RULE_HLT \
	"SDM 2A, HLT-Halt: an interrupt wakes it, and its return address is the instruction after HLT; SDM 2B, STI: none comes between STI and HLT"

/* The watchdog tells a lost wake-up from a late one; at most these two events are let happen. */
static void try_hlt(const struct snippet *snippet, const char *trace)
{
	prepare_row();
	setup.leave_after = 1;
	expect("%s", trace);
	run_snippet(snippet);
	watchdog_stop();
}

/* The shadow of STI covers the load, which makes none of its own: loads of SS with its pointer, and of other segments. */
#define LOAD_ROW(name, environments, bugs, text)                                             \
	SNIPPET(sti_then_##name, "sti; mark insn\n" text "mark after; nop; mark late; nop"); \
	CASE(sti_##name, environments, RULE_NO_SHADOW, bugs)                                 \
	{                                                                                    \
		prepare_row();                                                               \
		setup.regs.rbx = (uint64_t)lss_operand();                                    \
		interrupt_pending(PENDING);                                                  \
		expect("intr 0x31@after{IF}");                                               \
		run(sti_then_##name);                                                        \
	}

LOAD_ROW(lss, IN_EVERY_RING, CATCHES("model-shadow-late"), TEXT_lss)
LOAD_ROW(lfs, ALL_NATIVE, CATCHES("model-shadow-late"), ".byte 0x0f, 0xb4, 0x03\n")
LOAD_ROW(lds, IN_32, CATCHES("model-shadow-late"), ".byte 0xc5, 0x03\n")
LOAD_ROW(les, IN_32, CATCHES("model-shadow-late"), ".byte 0xc4, 0x03\n")
LOAD_ROW(mov_ds, ALL_NATIVE, CATCHES("model-shadow-late"), "mov %esi, %ds\n")
LOAD_ROW(mov_fs, ALL_NATIVE, CATCHES("model-shadow-late"), "mov %esi, %fs\n")

SNIPPET(hlt_in_shadow, "sti; mark before; hlt; mark after; nop; mark late; nop");

CASE(sti_hlt_pending, RING0, RULE_HLT,
     CATCHES("nsvm-shadow-not-synced model-shadow-lost model-hlt-sleeps"))
{
	interrupt_pending(PENDING);
	watchdog_start();
	try_hlt(&hlt_in_shadow, "intr 0x31@after{IF}");
}

CASE(sti_hlt_woken, RING0, RULE_HLT, CATCHES("nsvm-shadow-not-synced model-hlt-sleeps"))
{
	timer_start(PENDING, 10000);
	try_hlt(&hlt_in_shadow, "intr 0x31@after{IF}");
}

SNIPPET(movss_hlt, "sti; mark first; mov %esi, %ss; mark before; hlt; mark after; nop; mark late; nop");

CASE(sti_movss_hlt_pending, RING0, RULE_IN_A_ROW, CATCHES("model-ipi-no-isr"))
{
	interrupt_pending(PENDING);
	watchdog_start();
	prepare_row();
	setup.leave_after = 1;
	allow(OLDER_FIRST, "intr 0x31@before{IF}");
	allow(LATER_TOO, "intr 0x31@after{IF}");
	run(movss_hlt);
	watchdog_stop();
}

SNIPPET(popf_hlt, ".byte 0x55; popf; mark before; hlt; mark after; nop");

CASE(popf_hlt_pending, RING0, RULE_NO_SHADOW, CATCHES("model-shadow-late"))
{
	interrupt_pending(PENDING);
	watchdog_start();
	try_hlt(&popf_hlt, "intr 0x31@before{IF}");
}

/* -- MOV SS and POP SS with interrupts on already. --------------------------------------------- */

/*
 * No instruction can make an interrupt pending inside MOV SS, so the timer does it, over and over,
 * at whatever instruction it hits; the one behind MOV SS must never be interrupted first. ECX counts
 * down so that a timer that never comes ends the run.
 */
#define RUNS 200
#define LOOPS 50000000

SNIPPET(movss_loop, "1: mark top; mov %esi, %ss; mark shadow; nop; mark next; nop; mark third\n"
		    "dec %ecx; mark fourth; jnz 1b");
SNIPPET_BOTH(popss_loop, "nop",
	     "1: mark top; push %esi; mark next; .byte 0x17; mark shadow; nop; mark third\n"
	     "dec %ecx; mark fourth; jnz 1b");
SNIPPET(sti_loop, "1: mark top; cli; mark masked; nop; mark still_masked; sti; mark shadow; nop\n"
		  "mark next; nop; mark third; dec %ecx; mark fourth; jnz 1b");

/* Ends with the first run that shows the interrupt where none may come. */
static void try_loop(const struct snippet *snippet, const char *const *open_marks)
{
	const struct trace *trace = this_recording()->trace;
	bool held = true;

	prepare_row();
	setup.rflags |= X86_EFLAGS_IF;
	setup.regs.rcx = LOOPS;
	setup.leave_after = 1;
	for (const char *const *mark = open_marks; *mark; mark++)
		allow("SDM 3A, Masking Maskable Hardware Interrupts: IF is set and no shadow is there",
		      "intr 0x31@%s{IF}", *mark);
	for (unsigned i = 0; i < repetitions_due(RUNS) && held; i++) {
		trace_reset(this_recording()->trace);
		timer_start(PENDING, 500 + i);
		run_snippet(snippet);
		held = false;
		for (const char *const *mark = open_marks; *mark; mark++)
			held |= trace->events_used == 1 &&
				trace->events[0].rip == mark_address(snippet, *mark);
	}
}

static const char *const open_marks[] = {"top", "next", "third", "fourth", NULL};

CASE(movss_at_random, IN_EVERY_RING, RULE_MOVSS, CATCHES("model-ipi-no-isr"))
{
	try_loop(&movss_loop, open_marks);
}

/* Behind the second of two the interrupt may come or wait; behind the first it must wait. */
SNIPPET(movss_movss_loop,
	"1: mark top; mov %esi, %ss; mark first; mov %esi, %ss; mark next; nop; mark third\n"
	"dec %ecx; mark fourth; jnz 1b");

CASE(movss_movss_at_random, ALL_NATIVE, RULE_IN_A_ROW, CATCHES("model-ipi-no-isr"))
{
	try_loop(&movss_movss_loop, open_marks);
}

CASE(popss_at_random, IN_32, RULE_MOVSS, CATCHES("model-ipi-no-isr"))
{
	try_loop(&popss_loop, open_marks);
}

CASE(sti_at_random, ALL_NATIVE, RULE_STI, CATCHES("model-ipi-no-isr"))
{
	try_loop(&sti_loop, open_marks);
}
