/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MOV SS and POP SS hold back debug exceptions until the next instruction is done.
 *
 * The rule. SS and RSP change in two instructions, and nothing may come between that pushes a frame.
 * So a #DB for the load of SS itself (single-step, or a data breakpoint on the selector's memory: an
 * "armed" MOV SS) waits for the end of the next instruction, and one that belongs to both of them comes
 * once. Where the next instruction enters a handler by INT n or INT3, or the kernel by SYSCALL, the #DB
 * comes at the first instruction there. Of several such instructions in a row only the first is sure to
 * hold anything back. (Interrupts are in shadow.c, NMI in nmi.c.)
 *
 * Why a hypervisor must care. A breakpoint on MOV SS followed by a system call hands the #DB to the
 * kernel, on the user's stack (CVE-2018-8897), and once crashed KVM's host or raised the guest's user
 * (CVE-2018-1087). On VMX a #DB that is intercepted in this shadow must come back through the pending
 * debug exceptions, or VM entry fails and the guest is gone (XSA-308; KVM, Linux 5.17). And where the
 * hypervisor emulates the next instruction it owes what was held back: KVM checked code breakpoints
 * there differently from the CPU until 6.1.
 *
 * What a buggy hypervisor shows here: the #DB at `shadow`, twice, fused with that of the next instruction
 * where it must not be, or never; the guest dead.
 *
 * Every event is shown with TF and RF of its frame. Linux's tools/testing/selftests/x86/mov_ss_trap.c
 * watches some of the same ground.
 */
#include "trapline.h"

#include "db.h"

#define PENDING 0x31

#define RULE_TF_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: MOV SS and POP SS hold back the single-step trap until the next instruction is done"
#define RULE_TF_STI_MOVSS \
	"SDM 2B, STI-Set Interrupt Flag: its shadow ends with the handler's IRET, that of MOV SS is the next one"

/* -- Single-step. ------------------------------------------------------------------------------ */

#define STEP_ROW(name, environments, bugs)                                                 \
	SNIPPET(movss_then_##name,                                                         \
		"mark movss; mov %esi, %ss; mark insn\n" TEXT_##name "\nmark after; nop"); \
	CASE(tf_movss_##name, environments, RULE_TF_MOVSS, bugs)                           \
	{                                                                                  \
		single_step();                                                             \
		exiting_prepare(&exiting_##name);                                          \
		expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");                              \
		run(movss_then_##name);                                                    \
		exiting_judge(&exiting_##name);                                            \
	}

STEP_ROW(plain, EVERYWHERE | RINGS | LEGACY_RINGS, CATCHES("tcg-movss-tf model-db-twice"))
FOR_EACH_EXITING_IN(STEP_ROW, EVERYWHERE, RING0 | IN_REAL, BUGS_STEP, BUGS_STEP_MMIO,
		    BUGS_STEP_NATIVE)

SNIPPET(step_movss_twice,
	"mark insn; mov %esi, %ss; mark first; mov %esi, %ss; mark second; nop; mark after; nop");

CASE(tf_movss_movss, EVERYWHERE, RULE_TF_MOVSS, CATCHES("tcg-movss-tf model-db-twice"))
{
	single_step();
	allow("SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: only the first of several is sure to hold back",
	      "#DB[BS]@second{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	allow("SDM 2B, MOV-Move: the later ones may hold back too",
	      "#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(step_movss_twice);
}

/* 56 is PUSH ESI, 17 is POP SS, which only 32-bit code has. */
STEP(popss, IN_32, RULE_TF_MOVSS, CATCHES("tcg-movss-tf model-db-twice"),
     ".byte 0x56; mark insn; .byte 0x17; mark shadow; nop; mark after; nop",
     "#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}")
STEP(popss_cpuid, IN_32, RULE_TF_MOVSS, CATCHES("tcg-movss-tf model-step-lost"),
     ".byte 0x56; mark insn; .byte 0x17; mark shadow; cpuid; mark after; nop",
     "#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}")

STEP(movss_int3, EVERYWHERE | RINGS, RULE_TF_CLEARED,
     CATCHES("tcg-movss-tf cve-2018-1087 model-step-lost"),
     "mark insn; mov %esi, %ss; mark shadow; int3; mark after; nop",
     "#BP@after{TF}, #DB[BS]@end{TF}")
STEP(movss_int_n, EVERYWHERE | RINGS, RULE_TF_CLEARED,
     CATCHES("tcg-movss-tf cve-2018-1087 model-step-lost"),
     "mark insn; mov %esi, %ss; mark shadow; int $0x21; mark after; nop",
     "int 0x21@after{TF}, #DB[BS]@end{TF}")
STEP(movss_int1, EVERYWHERE, RULE_TF_CLEARED, CATCHES("tcg-icebp xsa-308 kvm-vmx-pending-dbg"),
     "mark insn; mov %esi, %ss; mark shadow; .byte 0xf1; mark after; nop",
     "#DB[]@after{TF}, #DB[BS]@end{TF}")

SNIPPET(step_movss_popf, ".byte 0x55; mark insn; mov %esi, %ss; mark shadow; popf; mark after; nop");

CASE(tf_movss_popf_clears, EVERYWHERE, RULE_TF_MOVSS, CATCHES("model-step-lost"))
{
	single_step();
	setup.regs.rbp = (setup.rflags | X86_EFLAGS_FIXED) & ~X86_EFLAGS_TF;
	expect("#DB[BS]@insn{TF}, #DB[BS]@after");
	run(step_movss_popf);
}

SNIPPET(step_sti_movss, "mark insn; sti; mark first; mov %esi, %ss; mark second; nop; mark after; nop");

CASE(tf_sti_movss_pending, EVERYWHERE | RINGS, RULE_TF_STI_MOVSS,
     CATCHES("tcg-sti-tf tcg-movss-tf"))
{
	single_step();
	setup.shown_flags = SHOW_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@first{IF,TF}, intr 0x31@first{IF,TF}, #DB[BS]@after{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti_movss);
}

/* -- A code breakpoint on the instruction behind it. ------------------------------------------- */

#define RULE_CODE_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: Intel holds the breakpoint back, AMD does not; all instructions are alike"

/* NOP first: whichever of the two the machine does there, it must do with one that exits. */
#define MOVSS_CODE_ROW(name, environments)                                                                                              \
	CASE(code_breakpoint_movss_##name, environments, RULE_CODE_MOVSS,                                                               \
	     CATCHES("kvm-codebp-movss"))                                                                                               \
	{                                                                                                                               \
		allow("SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: debug exceptions are inhibited behind MOV SS",  \
		      "(none); (none)");                                                                                                \
		allow("Linux, KVM: x86: Suppress code #DBs on Intel if MOV/POP SS blocking is active: CPUs of AMD do not hold it back", \
		      "#DB[B0]@insn; #DB[B0]@insn");                                                                                    \
		break_at(0, &movss_then_plain, "insn");                                                                                 \
		run(movss_then_plain);                                                                                                  \
		break_at(0, &movss_then_##name, "insn");                                                                                \
		exiting_prepare(&exiting_##name);                                                                                       \
		run(movss_then_##name);                                                                                                 \
		exiting_judge(&exiting_##name);                                                                                         \
	}

MOVSS_CODE_ROW(cpuid, ALL_NATIVE)
MOVSS_CODE_ROW(in, ALL_NATIVE)
MOVSS_CODE_ROW(rdmsr, RING0)
MOVSS_CODE_ROW(mmio_read, ALL_NATIVE)
MOVSS_CODE_ROW(mmio_write, ALL_NATIVE)
MOVSS_CODE_ROW(cold_read, ALL_NATIVE)

/* -- DR7.GD. ----------------------------------------------------------------------------------- */

SNIPPET_BOTH(movss_read_dr, "mov %esi, %ss; mark insn; mov %dr0, %rax; mark after; nop", "nop");

CASE(gd_movss, CPL0, RULE_GD, CATCHES("tcg-dr7-gd kvm-vmx-pending-dbg"))
{
	need_breakpoints();
	prepare_db();
	setup.shown_flags = X86_EFLAGS_RF;
	allow(FAULTS_SET_RF, "#DB[BD]@insn{RF}");
	allow(GD_LEAVES_RF, "#DB[BD]@insn");
	write_dr0(0x1234);
	write_dr7(DR7_CLEAR | DR7_GD);
	run(movss_read_dr);
	write_dr7(DR7_CLEAR);
	check(setup.result.rax == 0x1234, "DR0 read as %#lx", setup.result.rax);
}

/* -- A data breakpoint on the load of SS itself. ----------------------------------------------- */

#define RULE_ARMED \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: a #DB for MOV SS or POP SS itself comes behind the next instruction"
#define RULE_ARMED_INT \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: where the next instruction enters a handler, the #DB comes at its first instruction"
#define RULE_ARMED_FAULT \
	"Linux, tools/testing/selftests/x86/mov_ss_trap.c: a fault of the next instruction drops the #DB that MOV SS held back"

/* MOV (%rdi), %ss; the selector's two bytes are watched. */
#define ARMED(x) "mark insn; .byte 0x8e, 0x17; mark shadow\n" x "\nmark after; nop"

/* A page of its own: QEMU forgets that a breakpoint was met when something else on its page is touched. */
static volatile uint8_t watched[PAGE_BYTES] __attribute__((aligned(4096)));

static void arm_movss(void)
{
	uint32_t selector = stack_selector();

	prepare_db();
	memcpy((void *)watched, &selector, sizeof(selector));
	breakpoint_set(0, (uint64_t)watched, BREAK_ACCESS, 2);
	setup.regs.rdi = (uint64_t)watched;
	setup.regs.rdx = SCRATCH_PORT;
}

#define ARMED_ROW(name, text, environments, trace, rule, bugs) \
	SNIPPET(armed_then_##name, ARMED(text));               \
	CASE(armed_movss_##name, environments, rule, bugs)     \
	{                                                      \
		arm_movss();                                   \
		expect(trace);                                 \
		run(armed_then_##name);                        \
	}

#define BUGS_ARMED CATCHES("tcg-movss-watchpoint cve-2018-1087")
#define BUGS_ARMED_INT \
	CATCHES("bochs-armed-movss-int tcg-movss-watchpoint cve-2018-1087 cve-2018-8897")

ARMED_ROW(plain, "nop", ALL_NATIVE | RINGS, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(cpuid, "cpuid", ALL_NATIVE, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(out, TEXT_out, ALL_NATIVE, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(rdmsr, TEXT_rdmsr, RING0, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(int3, "int3", ALL_NATIVE | RINGS, "#DB[B0]@handler[0x3], #BP@after", RULE_ARMED_INT,
	  BUGS_ARMED_INT)
ARMED_ROW(int_n, "int $0x21", ALL_NATIVE | RINGS, "#DB[B0]@handler[0x21], int 0x21@after",
	  RULE_ARMED_INT, BUGS_ARMED_INT)
ARMED_ROW(fault, "ud2", ALL_NATIVE | RINGS, "#UD@shadow{RF}", RULE_ARMED_FAULT, BUGS_ARMED)

SNIPPET(armed_then_int1, ARMED(".byte 0xf1"));

CASE(armed_movss_int1, ALL_NATIVE, RULE_ARMED, CATCHES("tcg-movss-watchpoint tcg-icebp xsa-308"))
{
	arm_movss();
	allow("Linux, tools/testing/selftests/x86/mov_ss_trap.c: INT1's own #DB, and the one held back is gone",
	      "#DB[]@after");
	allow("SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: both behind INT1 are one",
	      "#DB[B0]@after");
	run(armed_then_int1);
}

CASE(armed_movss_tf, ALL_NATIVE, RULE_ARMED, CATCHES("tcg-movss-watchpoint xsa-308"))
{
	single_step();
	arm_movss();
	expect("#DB[B0,BS]@after{TF}, #DB[BS]@end{TF}");
	run(armed_then_plain);
}

CASE(armed_movss_tf_int1, ALL_NATIVE, RULE_ARMED, CATCHES("tcg-movss-watchpoint tcg-icebp xsa-308"))
{
	single_step();
	arm_movss();
	allow("Linux, tools/testing/selftests/x86/mov_ss_trap.c: INT1's own #DB, and the one held back is gone",
	      "#DB[]@after{TF}, #DB[BS]@end{TF}");
	allow("SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: both behind INT1 are one",
	      "#DB[B0]@after{TF}, #DB[BS]@end{TF}");
	run(armed_then_int1);
}

/* -- LSS holds nothing back: its own #DB comes behind it. -------------------------------------- */

#define RULE_ARMED_LSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: MOV SS and POP SS hold back, other loads of SS do not"

#define ARMED_LSS(name, text, trace)                                              \
	SNIPPET(armed_lss_then_##name,                                                       \
		"mark insn\n" TEXT_lss "mark shadow\n" text "\nmark after; nop"); \
	CASE(armed_lss_##name, ALL_NATIVE | RINGS, RULE_ARMED_LSS,                \
	     CATCHES("model-data-breakpoint-lost"))                               \
	{                                                                         \
		arm_movss();                                                      \
		memcpy((void *)(watched + 4), lss_operand() + 4, 2);              \
		breakpoint_set(0, (uint64_t)watched + 4, BREAK_ACCESS, 2);        \
		setup.regs.rbx = (uint64_t)watched;                               \
		expect(trace);                                                    \
		run(armed_lss_then_##name);                                       \
	}

ARMED_LSS(plain, "nop", "#DB[B0]@shadow")
ARMED_LSS(int3, "int3", "#DB[B0]@shadow, #BP@after")

/* SYSCALL goes to code at CPL0 that returns at once; the #DB comes at its first instruction. */
SNIPPET_BOTH(armed_then_syscall,
	     "jmp 1f; mark target; nop; mark ret; sysretq; 1:\n" ARMED("syscall"),
	     "jmp 1f; mark target; nop; mark ret; .byte 0x0f, 0x07; 1:\n" ARMED("syscall"));

CASE(armed_movss_syscall, CPL3 | COMPAT, RULE_ARMED_INT,
     CATCHES("tcg-movss-watchpoint cve-2018-8897"))
{
	arm_movss();
	aim_syscall(&armed_then_syscall, "target", X86_EFLAGS_TF);
	if (setup.environment == COMPAT && cpu_is_intel())
		expect("#UD@shadow{RF}"); /* SDM 2B, SYSCALL: 64-bit mode only */
	else
		expect("#DB[B0]@target");
	run(armed_then_syscall);
	wrmsr(MSR_SFMASK, 0);
}

/* POP SS reads the watched stack. */
#define ARMED_POPSS_ROW(name, text, trace, rule)                                       \
	SNIPPET_BOTH(armed_popss_then_##name, "nop",                                   \
		     "mark insn; .byte 0x17; mark shadow\n" text "\nmark after; nop"); \
	CASE(armed_popss_##name, USER_32, rule, BUGS_ARMED_INT)                        \
	{                                                                              \
		arm_movss();                                                           \
		setup.stack_top = (uint64_t)watched;                                   \
		expect(trace);                                                         \
		run(armed_popss_then_##name);                                          \
	}

ARMED_POPSS_ROW(plain, "nop", "#DB[B0]@after", RULE_ARMED)
ARMED_POPSS_ROW(cpuid, "cpuid", "#DB[B0]@after", RULE_ARMED)
ARMED_POPSS_ROW(int3, "int3", "#DB[B0]@handler[0x3], #BP@after", RULE_ARMED_INT)
ARMED_POPSS_ROW(int_n, "int $0x21", "#DB[B0]@handler[0x21], int 0x21@after", RULE_ARMED_INT)
