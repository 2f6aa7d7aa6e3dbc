/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions: #DB and interrupts between the iterations of one instruction.
 *
 * The rule. A REP string instruction can be interrupted between iterations. Single-step traps after
 * each of them; the frame shows the instruction itself, with what is left to do in RCX, and RF set as
 * long as something is left, so that a code breakpoint on the instruction is met once. The frame of an
 * interrupt that comes in between has RF set for the same reason. A data breakpoint traps behind the
 * iteration that met it, or one later.
 *
 * Why a hypervisor must care. It emulates string instructions on ports and device memory, many
 * iterations at a time, and then owes the traps that lie between. Xen's emulator batched them and forgot
 * the trap on memory-mapped writes; KVM loses it behind OUTS. Bochs 2.7 and QEMU forget RF, so that a
 * breakpoint repeats as often as interrupts come.
 *
 * A port that the code may not use is refused before the first iteration, with a #GP whose frame has the flags that
 * the instruction began with. QEMU 10 takes them from elsewhere, and with them a TF that nobody set: that killed a dom0
 * whose OUTS Xen executes for it (tcg-rep-io-gp-flags).
 *
 * What a buggy hypervisor shows here: `#DB[BS]@after` where one for each iteration is due, an extra one
 * before the first, RF missing in a frame, a breakpoint that is met at every iteration, or a count that
 * is not 0 at the end.
 */
#include "trapline.h"

#include "db.h"

#define PENDING 0x31

#define RULE_TF_REP \
	"SDM 3B, Single-Step Exception Condition: a REP string instruction traps after each iteration, with RF set in the frame before the last"
#define RULE_DATA_REP \
	"SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: repeated string instructions trap behind the iteration that met the condition"

/* -- Single-step. ------------------------------------------------------------------------------ */

#define STRING_ROW(name, text, count_, from, to, trace, bugs)                       \
	SNIPPET(string_##name, "mark insn\n" text "\nmark after; nop");             \
	CASE(tf_##name, ALL_NATIVE, RULE_TF_REP, bugs)                              \
	{                                                                           \
		static uint8_t memory[64];                                          \
                                                                                    \
		single_step();                                                      \
		setup.regs.rsi = from;                                              \
		setup.regs.rdi = to;                                                \
		setup.regs.rcx = count_;                                            \
		setup.regs.rdx = SCRATCH_PORT;                                      \
		expect(trace ", #DB[BS]@end{TF}");                                  \
		run(string_##name);                                                 \
		check(setup.result.rcx == 0, "count is %lu behind the instruction", \
		      setup.result.rcx);                                            \
	}

#define MEMORY ((uint64_t)memory)
#define MEMORY_TO (MEMORY + 32)
#define REP_3 "#DB[BS]@insn{TF,RF}, #DB[BS]@insn{TF,RF}, #DB[BS]@after{TF}"
#define BUGS_REP_ONCE CATCHES("tcg-rep-extra-step model-step-lost model-db-twice")
#define BUGS_REP \
	CATCHES("tcg-rep-extra-step tcg-rep-rf bochs-rep-trap-rf xen-emul-tf model-step-lost model-db-twice")

STRING_ROW(movsb, "movsb", 0, MEMORY, MEMORY_TO, "#DB[BS]@after{TF}", BUGS_STEP_NATIVE)
STRING_ROW(rep_movsb_0, "rep movsb", 0, MEMORY, MEMORY_TO, "#DB[BS]@after{TF}", BUGS_REP_ONCE)
STRING_ROW(rep_movsb_1, "rep movsb", 1, MEMORY, MEMORY_TO, "#DB[BS]@after{TF}", BUGS_REP_ONCE)
STRING_ROW(rep_movsb_3, "rep movsb", 3, MEMORY, MEMORY_TO, REP_3, BUGS_REP)
STRING_ROW(rep_stosb_3, "rep stosb", 3, MEMORY, MEMORY_TO, REP_3, BUGS_REP)
STRING_ROW(insb, "insb", 0, MEMORY, MEMORY_TO, "#DB[BS]@after{TF}", BUGS_STEP_NATIVE)
STRING_ROW(outsb, "outsb", 0, MEMORY, MEMORY_TO, "#DB[BS]@after{TF}",
	   CATCHES("kvm-outs-tf model-step-lost"))
STRING_ROW(rep_insb_3, "rep insb", 3, MEMORY, MEMORY_TO, REP_3, BUGS_REP)
STRING_ROW(rep_outsb_3, "rep outsb", 3, MEMORY, MEMORY_TO, REP_3, BUGS_REP)
STRING_ROW(movsl_from_mmio, "movsl", 0, IOAPIC_INDEX, MEMORY_TO, "#DB[BS]@after{TF}",
	   BUGS_STEP_MMIO)
STRING_ROW(movsl_to_mmio, "movsl", 0, MEMORY, IOAPIC_INDEX, "#DB[BS]@after{TF}", BUGS_STEP_MMIO)

/* -- An interrupt between two iterations. ------------------------------------------------------ */

#define RULE_REP_RF \
	"SDM 3B, Instruction-Breakpoint Exception Condition: RF is set in the frame of an interrupt between the iterations of a string instruction"

/* QEMU looks for interrupts every 65536 iterations only. */
static uint8_t long_memory[128 * PAGE_BYTES] __attribute__((section(".noinit")));
static enum { NOT_SEEN, TOO_EARLY, INSIDE, TOO_LATE } hit;

SNIPPET(rep_long, "mark insn; rep stosb; mark after; mov %edx, %ecx\n"
		  "mark wait; 1: dec %ecx; mark wait_more; jnz 1b");

static enum action look_inside(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != PENDING)
		return BY_RULE;
	if (event->rip != mark_address(&rep_long, "insn"))
		hit = TOO_LATE;
	else
		hit = frame->regs.rcx == sizeof(long_memory) ? TOO_EARLY : INSIDE;
	return hit == INSIDE ? BY_RULE : LEAVE;
}

/* `loops`: how long it waits behind the store. */
static void prepare_rep_long(uint64_t bytes, uint64_t loops)
{
	setup.shown_flags = SHOW_IF;
	setup.rflags = X86_EFLAGS_IF;
	grant_iopl();
	setup.regs.rdi = (uint64_t)long_memory;
	setup.regs.rcx = bytes;
	setup.regs.rdx = loops;
}

/*
 * The timer is to hit a store of 512 KiB in the middle. Where it came before or behind it, the run is
 * forgotten and the next one gives it more time or less.
 */
static void try_interrupted_rep(unsigned events)
{
	uint32_t low = 0, high = 0, longest = 1000000;

	prepare_rep_long(sizeof(long_memory), 50000000);
	setup.leave_after = events;
	setup.hook = look_inside;
	for (unsigned attempt = 0; attempt < 200; attempt++) {
		if (low + high / 16 >= high) {
			low = 0;
			high = longest;
			longest *= longest < 16000000 ? 4 : 1;
		}
		hit = NOT_SEEN;
		trace_reset(this_recording()->trace);
		timer_start(PENDING, low + (high - low) / 4);
		run(rep_long);
		timer_stop();
		interrupts_drain();
		if (hit == TOO_EARLY)
			low += (high - low) / 4;
		else if (hit == TOO_LATE)
			high = low + (high - low) / 4;
		else
			break;
	}
	witness(hit != TOO_EARLY && hit != TOO_LATE, "the timer never came between two iterations");
}

CASE(rep_interrupted, ALL_NATIVE | RINGS, RULE_REP_RF, CATCHES("bochs-rep-rf tcg-rep-rf"))
{
	expect("intr 0x31@insn{IF,RF}");
	try_interrupted_rep(1);
}

/* A machine that breaks at every iteration is told without a timer. */
static bool breaks_once(void)
{
	prepare_rep_long(2, 1);
	return run(rep_long) == 1;
}

CASE(rep_interrupted_code_breakpoint, ALL_NATIVE, RULE_REP_RF,
     CATCHES("bochs-rep-rf tcg-rep-code-breakpoint"))
{
	breakpoint_set(0, mark_address(&rep_long, "insn"), BREAK_CODE, 1);
	expect("#DB[B0]@insn{IF}, intr 0x31@insn{IF,RF}");
	if (breaks_once())
		try_interrupted_rep(2);
}

/* -- Breakpoints. ------------------------------------------------------------------------------ */

CASE(code_breakpoint_rep, ALL_NATIVE, RULE_CODE,
     CATCHES("tcg-rep-code-breakpoint model-rf-ignored"))
{
	static uint8_t memory[64];

	break_at(0, &string_rep_movsb_3, "insn");
	setup.regs.rsi = MEMORY;
	setup.regs.rdi = MEMORY_TO;
	setup.regs.rcx = 3;
	expect("#DB[B0]@insn");
	run(string_rep_movsb_3);
	check(setup.result.rcx == 0, "count is %lu behind the instruction", setup.result.rcx);
}

/* A page of its own: QEMU forgets that a breakpoint was met when something else on its page is touched. */
static volatile uint8_t watched[PAGE_BYTES] __attribute__((aligned(4096)));

CASE(data_rep, ALL_NATIVE, RULE_DATA_REP,
     CATCHES("tcg-rep-rf bochs-rep-trap-rf model-data-breakpoint-lost"))
{
	setup.regs.rsi = (uint64_t)watched;
	setup.regs.rcx = 3;
	breakpoint_set(0, (uint64_t)watched + 33, BREAK_WRITE, 1);
	setup.shown_flags = X86_EFLAGS_RF;
	setup.regs.rdi = (uint64_t)watched + 32;
	allow("SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: behind the iteration that met it",
	      "#DB[B0]@insn{RF}");
	allow("SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: REP MOVS and REP STOS of P6 and later may report it one iteration late",
	      "#DB[B0]@after");
	run(string_rep_movsb_3);
	check(setup.result.rcx == 0, "count is %lu behind the instruction", setup.result.rcx);
}

/* -- Refused. ----------------------------------------------------------------------------------- */

#define RULE_GP_FLAGS \
	"SDM 3A, Exception- or Interrupt-Handler Procedures: the handler's frame has RFLAGS as they were"

#define FLAGS_ZF (1u << 6)
#define COMPARED (X86_EFLAGS_CF | FLAGS_ZF | X86_EFLAGS_OF)

static uint64_t flags_at_gp;

static enum action keep_flags(const struct event *event, struct trap_frame *frame)
{
	if (event->vector == VECTOR_GP)
		flags_at_gp = frame->iret.rflags;
	return BY_RULE;
}

/*
 * The flags are new: the comparison is the instruction before. Its operand, as flags, would be TF, ZF and CF; its
 * result is none of them.
 */
#define REFUSED_ROW(name, text, bugs)                                                  \
	SNIPPET(refused_##name, "cmp %ecx, %edx\nmark insn\n" text);                   \
	CASE(gp_flags_##name, OUTER_RINGS, RULE_GP_FLAGS, bugs)                        \
	{                                                                              \
		setup.shown_flags = X86_EFLAGS_TF;                                     \
		setup.regs.rcx = X86_EFLAGS_TF | FLAGS_ZF | X86_EFLAGS_CF;             \
		setup.regs.rdx = REFUSED_PORT;                                         \
		setup.hook = keep_flags;                                               \
		expect("#GP(0x0)@insn");                                               \
		run(refused_##name);                                                   \
		check(!(flags_at_gp & COMPARED), "flags %#lx are in the frame, not 0", \
		      flags_at_gp & COMPARED);                                         \
	}

/* As a port it is nothing's; as a number it is greater than the other operand of the comparison. */
#define REFUSED_PORT 0x5f8

REFUSED_ROW(outsb, "outsb", "")
REFUSED_ROW(insb, "insb", "")
REFUSED_ROW(rep_outsb, "rep outsb", CATCHES("tcg-rep-io-gp-flags"))
REFUSED_ROW(rep_insb, "rep insb", CATCHES("tcg-rep-io-gp-flags"))
