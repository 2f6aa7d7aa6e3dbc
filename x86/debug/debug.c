/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breakpoints in the debug registers: code, data, I/O, and the guard on the registers themselves.
 *
 * The rule. A code breakpoint is a fault before the instruction unless RF is set, which lasts for one
 * instruction; the frame of any other fault has RF set, so that the instruction, tried again, does not
 * break again, and that of INT n or an interrupt between instructions has not. A data or I/O breakpoint
 * is a trap behind the access, one #DB together with the step. With DR7.GD an access to a debug register
 * is a fault, once.
 *
 * Why a hypervisor must care. Breakpoints of the guest hit instructions that the hypervisor carries out
 * in its stead: port I/O, device memory, CPUID. The CPU does not see those accesses; the emulator has to
 * compare them with DR0 to DR3 itself, and KVM does not for data and I/O breakpoints. Code breakpoints it
 * checks, and for long with the wrong RF (6.1). An RF that is lost over a fault that only the host sees,
 * a page to be mapped, makes a breakpoint repeat for ever.
 *
 * What a buggy hypervisor shows here: no #DB, a second one, DR6 bits missing or stale, or RF wrong in a
 * frame.
 *
 * Every event is shown with TF and RF of its frame; `insn` is the instruction under test, `after` what
 * comes behind it. Single-step is in step.c, string instructions in strings.c, breakpoints on MOV SS in
 * movss.c.
 */
#include "trapline.h"

#include "db.h"

#define PENDING 0x31

/* -- Code breakpoints and RF. ------------------------------------------------------------------ */

#define RULE_RF_FAULT \
	"SDM 3B, Instruction-Breakpoint Exception Condition: a fault's frame has RF set, so that the restarted instruction does not break again"

/* The recorder sets RF in the frame, so the instruction runs, once. */
#define CODE_ROW(name, environments, bugs)                                       \
	SNIPPET(break_at_##name, "mark insn\n" TEXT_##name "\nmark after; nop"); \
	CASE(code_breakpoint_##name, environments, RULE_CODE, bugs)              \
	{                                                                        \
		break_at(0, &break_at_##name, "insn");                           \
		exiting_prepare(&exiting_##name);                                \
		expect("#DB[B0]@insn");                                          \
		run(break_at_##name);                                            \
		exiting_judge(&exiting_##name);                                  \
	}

#define BUGS_CODE \
	CATCHES("kvm-emul-db-rf xen-db-loop model-code-breakpoint-lost tcg-real-code-breakpoint")

CODE_ROW(plain, IN_EVERY_RING, CATCHES("model-code-breakpoint-lost"))
FOR_EACH_EXITING_IN(CODE_ROW, EVERYWHERE, RING0 | IN_REAL, BUGS_CODE, BUGS_CODE, BUGS_CODE)

SNIPPET(run_into_cold, "nop; mark insn; nop; mark after; nop");

CASE_NEEDS("pam=1", code_breakpoint_cold_fetch, ALL_NATIVE, RULE_CODE, BUGS_CODE)
{
	cold_successor(&run_into_cold, "insn");
	break_at(0, &run_into_cold, "insn");
	expect("#DB[B0]@insn");
	run(run_into_cold);
}

static unsigned forgotten;

/* A handler that does not set RF, twice. */
static enum action forget_rf(const struct event *event, struct trap_frame *frame)
{
	if (event->vector == VECTOR_DB && forgotten++ < 2)
		frame->iret.rflags &= ~(uint64_t)X86_EFLAGS_RF;
	return BY_RULE;
}

CASE(code_breakpoint_without_rf, ALL_NATIVE, RULE_CODE, CATCHES("model-code-breakpoint-lost"))
{
	forgotten = 0;
	setup.hook = forget_rf;
	break_at(0, &break_at_plain, "insn");
	expect("#DB[B0]@insn, #DB[B0]@insn, #DB[B0]@insn");
	run(break_at_plain);
}

CASE(rf_for_one_instruction, ALL_NATIVE, RULE_CODE, CATCHES("model-rf-ignored"))
{
	break_at(0, &break_at_plain, "insn");
	break_at(1, &break_at_plain, "after");
	setup.rflags |= X86_EFLAGS_RF;
	expect("#DB[B1]@after");
	run(break_at_plain);
}

SNIPPET(popf, ".byte 0x55; mark insn; popf; mark after; nop");

CASE(rf_not_from_popf, ALL_NATIVE,
     "SDM 2B, POPF-Pop Stack Into EFLAGS Register: RF is cleared, whatever the image holds",
     CATCHES("model-rf-ignored"))
{
	break_at(0, &popf, "after");
	setup.regs.rbp = setup.rflags | X86_EFLAGS_FIXED | X86_EFLAGS_RF;
	expect("#DB[B0]@after");
	run(popf);
}

SNIPPET(load, "mark insn\n" TEXT_mmio_read "\nmark after; nop");

CASE(code_breakpoint_page_fault, ALL_NATIVE | RINGS, RULE_RF_FAULT,
     CATCHES("tcg-rf nsvm-exception-payload xen-cr2-stale model-pf-twice"))
{
	unmap_window();
	setup.hook = map_window;
	break_at(0, &load, "insn");
	expect("#DB[B0]@insn, #PF(%#x,cr2=window)@insn{RF}", environment_is_user() ? PF_USER : 0);
	run(load);
}

/* Where the access is to a device, it is an emulator that has to find the fault, and to have asked for the breakpoint. */
SNIPPET(copy_from_device, "mark insn; movsb; mark after; nop");

CASE(code_breakpoint_mmio_fault, ALL_NATIVE, RULE_RF_FAULT, CATCHES("kvm-code-bp-on-exception"))
{
	unmap_window();
	setup.hook = map_window;
	setup.regs.rsi = IOAPIC_INDEX;
	break_at(0, &copy_from_device, "insn");
	expect("#DB[B0]@insn, #PF(%#x,cr2=window)@insn{RF}",
	       PF_WRITE | (environment_is_user() ? PF_USER : 0));
	run(copy_from_device);
}

#define RULE_INTR_RF \
	"SDM 3B, Instruction-Breakpoint Exception Condition: an interrupt between instructions pushes RF as it is, and every instruction clears it"

SNIPPET(sti, "sti; mark after; nop; mark next; nop");

/* With RF set by mistake the handler's IRET would step over a breakpoint that waits there. */
CASE(interrupt_rf, ALL_NATIVE | RINGS, RULE_INTR_RF,
     CATCHES("tcg-intr-rf bochs-code-breakpoint-first"))
{
	setup.shown_flags = SHOW_IF;
	grant_iopl();
	breakpoint_set(0, mark_address(&sti, "next"), BREAK_CODE, 1);
	interrupt_pending(PENDING);
	expect("intr 0x31@next{IF}, #DB[B0]@next{IF}");
	run(sti);
}

/* -- Data and I/O breakpoints. ----------------------------------------------------------------- */

#define RULE_DATA \
	"SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: a #DB trap behind the access, with the breakpoint's DR6 bit"
#define RULE_DATA_TF \
	"SDM 3B, Single-Step Exception Condition: breakpoint and step behind the same instruction are one #DB with both DR6 bits"

/* A page of its own: QEMU forgets that a breakpoint was met when something else on its page is touched. */
static volatile uint8_t watched[PAGE_BYTES] __attribute__((aligned(4096)));

SNIPPET(store, "mark insn\n" TEXT_mmio_write "\nmark after; nop");
SNIPPET(store_byte, "mark insn; .byte 0x88, 0x07; mark after; nop");
SNIPPET(push, "mark insn; .byte 0x50; mark after; nop; .byte 0x58; mark popped; nop");
SNIPPET(copy, "mark insn; movsb; mark after; nop");

static void watch(unsigned n, unsigned offset, enum breakpoint kind, unsigned bytes)
{
	breakpoint_set(n, (uint64_t)watched + offset, kind, bytes);
}

/* The access is 4 bytes (1 for store_byte) at `offset`. */
static void try_access(const struct snippet *snippet, unsigned offset, const char *trace)
{
	setup.shown_flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	setup.regs.rdi = (uint64_t)watched + offset;
	expect("%s", trace);
	run_snippet(snippet);
}

#define DATA_ROW(name, snippet, kind, watched_at, bytes, access_at, trace)  \
	DATA_CASE(name, snippet, kind, watched_at, bytes, access_at, trace, \
		  "model-data-breakpoint-lost")
#define NO_DATA_ROW(name, snippet, kind, watched_at, bytes, access_at)         \
	DATA_CASE(name, snippet, kind, watched_at, bytes, access_at, "(none)", \
		  "model-data-breakpoint-page")
#define DATA_CASE(name, snippet, kind, watched_at, bytes, access_at, trace, bugs) \
	CASE(data_##name, ALL_NATIVE, RULE_DATA, CATCHES(bugs))                   \
	{                                                                         \
		watch(0, watched_at, kind, bytes);                                \
		try_access(&snippet, access_at, trace);                           \
	}

/*       name, snippet, kind, watched at, bytes, accessed at, trace */
DATA_ROW(write_stored, store, BREAK_WRITE, 16, 4, 16, "#DB[B0]@after")
NO_DATA_ROW(write_loaded, load, BREAK_WRITE, 16, 4, 16)
DATA_ROW(access_stored, store, BREAK_ACCESS, 16, 4, 16, "#DB[B0]@after")
DATA_ROW(access_loaded, load, BREAK_ACCESS, 16, 4, 16, "#DB[B0]@after")
DATA_ROW(first_byte_only, store, BREAK_WRITE, 16, 1, 13, "#DB[B0]@after")
NO_DATA_ROW(byte_before, store, BREAK_WRITE, 16, 1, 12)
DATA_ROW(last_byte_only, store, BREAK_WRITE, 16, 4, 19, "#DB[B0]@after")
NO_DATA_ROW(byte_behind, store, BREAK_WRITE, 16, 4, 20)
DATA_ROW(inside_8, store_byte, BREAK_WRITE, 16, 8, 23, "#DB[B0]@after")
NO_DATA_ROW(behind_8, store_byte, BREAK_WRITE, 16, 8, 24)
DATA_ROW(inside_2, store_byte, BREAK_ACCESS, 18, 2, 19, "#DB[B0]@after")

CASE(data_tf, ALL_NATIVE | RINGS, RULE_DATA_TF,
     CATCHES("tcg-data-tf model-data-breakpoint-lost model-db-twice"))
{
	single_step();
	watch(0, 16, BREAK_WRITE, 4);
	setup.regs.rdi = (uint64_t)watched + 16;
	expect("#DB[B0,BS]@after{TF}, #DB[BS]@end{TF}");
	run(store);
}

CASE(data_two_at_once, ALL_NATIVE, RULE_DATA,
     CATCHES("tcg-two-watchpoints model-data-breakpoint-lost"))
{
	setup.regs.rsi = (uint64_t)watched;
	watch(1, 0, BREAK_ACCESS, 1);
	watch(3, 32, BREAK_WRITE, 1);
	try_access(&copy, 32, "#DB[B1,B3]@after");
}

CASE(data_push, WITH_EVENT_STACK, RULE_DATA, CATCHES("model-data-breakpoint-lost"))
{
	static uint8_t stack[PAGE_BYTES] __attribute__((aligned(16)));
	unsigned slot = environment_is_32() ? 4 : 8;

	setup.shown_flags = X86_EFLAGS_RF;
	setup.stack_top = (uint64_t)stack + sizeof(stack);
	breakpoint_set(0, setup.stack_top - slot, BREAK_ACCESS, slot);
	/* No frame may be pushed to the watched slot. */
	use_ist(VECTOR_DB, stack_top(0, STACK_EVENTS));
	use_ist(VECTOR_UD, stack_top(0, STACK_EVENTS));
	expect("#DB[B0]@after, #DB[B0]@popped");
	run(push);
}

CASE(data_cold, ALL_NATIVE, RULE_DATA, CATCHES("model-data-breakpoint-lost"))
{
	setup.shown_flags = X86_EFLAGS_RF;
	cold_window_page(0);
	setup.regs.rdi = WINDOW + 64;
	breakpoint_set(0, WINDOW + 64, BREAK_WRITE, 4);
	expect("#DB[B0]@after");
	run(store);
}

CASE(data_mmio, ALL_NATIVE, RULE_DATA, CATCHES("kvm-mmio-data-breakpoint xen-emulated-breakpoint"))
{
	setup.shown_flags = X86_EFLAGS_RF;
	exiting_prepare(&exiting_mmio_write);
	breakpoint_set(0, IOAPIC_INDEX, BREAK_WRITE, 4);
	expect("#DB[B0]@after");
	run(store);
	exiting_judge(&exiting_mmio_write);
}

CASE(data_fault, ALL_NATIVE | RINGS,
     "SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: no #DB for an access that did not happen",
     CATCHES("tcg-rf"))
{
	setup.shown_flags = X86_EFLAGS_RF;
	unmap_window();
	breakpoint_set(0, WINDOW, BREAK_WRITE, 4);
	expect("#PF(%#x,cr2=window)@insn{RF}", PF_WRITE | (environment_is_user() ? PF_USER : 0));
	run(store);
}

#define IO_ROW(name, text, port, trace, bugs)                                 \
	SNIPPET(io_##name##_snippet, "mark insn\n" text "\nmark after; nop"); \
	CASE(io_##name, ALL_NATIVE | RINGS, RULE_DATA, CATCHES(bugs))         \
	{                                                                     \
		need_breakpoints();                                           \
		single_step();                                                \
		setup.rflags &= ~X86_EFLAGS_TF;                               \
		setup.regs.rdx = SCRATCH_PORT;                                \
		setup.regs.rsi = setup.regs.rdi = (uint64_t)watched;          \
		setup.regs.rcx = 2;                                           \
		write_cr4(read_cr4() | X86_CR4_DE);                           \
		breakpoint_set(0, port, BREAK_IO, 1);                         \
		expect(trace);                                                \
		run(io_##name##_snippet);                                     \
		debugreg_clear();                                             \
		write_cr4(read_cr4() & ~(uint64_t)X86_CR4_DE);                \
	}

#define BUGS_IO "kvm-io-breakpoint"
IO_ROW(in, "in %dx, %al", SCRATCH_PORT, "#DB[B0]@after", BUGS_IO)
IO_ROW(out, "out %al, %dx", SCRATCH_PORT, "#DB[B0]@after", BUGS_IO)
IO_ROW(other_port, "in %dx, %al", SCRATCH_PORT - 1, "(none)", "model-io-breakpoint-any-port")
IO_ROW(insb, "insb", SCRATCH_PORT, "#DB[B0]@after", BUGS_IO)
IO_ROW(rep_outsb, "rep outsb", SCRATCH_PORT, "#DB[B0]@insn{RF}, #DB[B0]@after",
       BUGS_IO " tcg-rep-io-breakpoint")

/* -- DR7.GD. ----------------------------------------------------------------------------------- */

#define SNIPPET_64(name, text) SNIPPET_BOTH(name, text, "nop")

SNIPPET_64(read_dr, "mark insn; mov %dr0, %rax; mark after; nop");
SNIPPET_64(write_dr, "mark insn; mov %rax, %dr1; mark after; nop");
SNIPPET_64(load_dr7, "mark insn; mov %dr7, %rax; mark after; nop");

/* The handler finds GD cleared, so that the instruction runs when it is tried again. */
static void try_general_detect(const struct snippet *snippet)
{
	need_breakpoints();
	write_dr0(0x1234);
	setup.regs.rax = 0x5678;
	write_dr7(DR7_CLEAR | DR7_GD);
	run_snippet(snippet);
	write_dr7(DR7_CLEAR);
}

/* The manuals' general words and what CPUs do differ here. */
static void allow_general_detect(void)
{
	setup.shown_flags = X86_EFLAGS_RF;
	allow(FAULTS_SET_RF, "#DB[BD]@insn{RF}");
	allow(GD_LEAVES_RF, "#DB[BD]@insn");
}

CASE(gd_read, CPL0, RULE_GD, CATCHES("tcg-dr7-gd"))
{
	allow_general_detect();
	try_general_detect(&read_dr);
	check(setup.result.rax == 0x1234, "DR0 read as %#lx", setup.result.rax);
}

CASE(gd_write, CPL0, RULE_GD, CATCHES("tcg-dr7-gd"))
{
	allow_general_detect();
	try_general_detect(&write_dr);
	check(read_dr1() == 0x5678, "DR1 is %#lx", read_dr1());
}

CASE(gd_read_dr7, CPL0, RULE_GD, CATCHES("tcg-dr7-gd"))
{
	allow_general_detect();
	try_general_detect(&load_dr7);
	check(!(setup.result.rax & DR7_GD), "DR7 is %#lx after the fault", setup.result.rax);
}

CASE(gd_tf, CPL0, RULE_GD, CATCHES("bochs-gd-bs tcg-dr7-gd xen-db-bs-added"))
{
	single_step();
	allow(FAULTS_SET_RF, "#DB[BD]@insn{TF,RF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	allow(GD_LEAVES_RF, "#DB[BD]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	try_general_detect(&read_dr);
}

/* -- DR6, which nobody but a #DB and MOV writes. ------------------------------------------------- */

#define RULE_DR6 \
	"SDM 3B, Debug Status Register (DR6): written by debug exceptions and by MOV; what a hypervisor does in between is not seen"
#define DR6_LEFT (DR6_CLEAR | DR6_BS | 1)

/* A breakpoint that nothing hits: some hypervisors load the debug registers only where one is armed. */
#define DR6_ROW(name, bugs)                                                                        \
	SNIPPET_64(dr6_##name,                                                                     \
		   "mov %rbp, %dr6; mark insn\n" TEXT_##name "\nmark after; mov %dr6, %rbp; nop"); \
	CASE(dr6_over_##name, CPL0, RULE_DR6, bugs)                                                \
	{                                                                                          \
		need_breakpoints();                                                                \
		exiting_prepare(&exiting_##name);                                                  \
		setup.regs.rbp = DR6_LEFT;                                                         \
		watch(3, 64, BREAK_WRITE, 4);                                                      \
		expect("(none)");                                                                  \
		run(dr6_##name);                                                                   \
		check(setup.result.rbp == DR6_LEFT, "DR6 is %#lx, not %#x", setup.result.rbp,      \
		      DR6_LEFT);                                                                   \
		write_dr6(DR6_CLEAR);                                                              \
		exiting_judge(&exiting_##name);                                                    \
	}

#define BUGS_DR6 CATCHES("kvm-dr6-stale model-exit-dr6")

DR6_ROW(cpuid, BUGS_DR6)
DR6_ROW(in, BUGS_DR6)
DR6_ROW(out, BUGS_DR6)
DR6_ROW(rdmsr, BUGS_DR6)
DR6_ROW(wrmsr, BUGS_DR6)
/* The exits of control registers are not among those that the model's bug is about. */
DR6_ROW(cr8, CATCHES("kvm-dr6-stale"))
DR6_ROW(mmio_read, BUGS_DR6)
DR6_ROW(mmio_write, BUGS_DR6)
DR6_ROW(cold_read, CATCHES("kvm-dr6-stale"))
DR6_ROW(cold_write, CATCHES("kvm-dr6-stale"))

/* -- Last, as QEMU does not survive it. -------------------------------------------------------- */

SNIPPET(int3_onto_watched, "mark insn; int3; mark after; nop");

CASE(data_frame_push, CPL0,
     "SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: pushes of an event's delivery count; the #DB comes at the handler's first instruction",
     CATCHES("tcg-watchpoint-in-delivery"))
{
	static uint8_t stack[PAGE_BYTES] __attribute__((aligned(16)));
	uint64_t top = (uint64_t)stack + sizeof(stack);

	breakpoint_set(0, top - 40, BREAK_WRITE, 8);
	use_ist(VECTOR_BP, top);
	setup.shown_flags = X86_EFLAGS_RF;
	expect("#DB[B0]@handler[0x3], #BP@after");
	run(int3_onto_watched);
}
