/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single-step and breakpoints: one #DB for each condition, at the right place, with the right DR6.
 *
 * The rule. With TF set when an instruction starts, a #DB comes behind it (DR6.BS), whatever the
 * instruction is: also STI, and one that exits to the hypervisor. Not behind one that faulted, and
 * not behind MOV SS and POP SS, where it waits for the end of the next instruction. INT3, INT n and
 * INT1 push TF and clear it, so that nothing is stepped in their handler. A data or I/O breakpoint is
 * a trap behind the access, one #DB together with the step; a code breakpoint is a fault before the
 * instruction unless RF is set, which lasts for one instruction. The frame of a fault has RF set, that
 * of INT n has not.
 *
 * Why a hypervisor must care. It skips or emulates instructions for the guest and then owes the trap
 * that the hardware would have taken. KVM lost it behind CPUID and RDMSR (around 4.11), Xen batched
 * REP strings and forgot it on memory-mapped writes, VirtualBox (ticket 17961) and others let
 * malware tell that it was in a virtual machine by a CPUID that swallowed the trap. On VMX a #DB that
 * is intercepted in an STI or MOV SS shadow must come back through the pending debug exceptions with
 * BS, or VM entry fails and the guest is gone (XSA-308; KVM, Linux 5.17). A breakpoint on MOV SS
 * followed by a system call hands the #DB to the kernel (CVE-2018-8897), and once crashed KVM's host
 * or raised the guest's user (CVE-2018-1087). SYSCALL with TF masked by FMASK must not step into the
 * kernel (CVE-2017-7518).
 *
 * What a buggy hypervisor shows here: the #DB missing, one instruction late, twice, with DR6 bits
 * missing or stale, or RF wrong in a frame, so that a breakpoint repeats for ever.
 *
 * Every event is shown with TF and RF of its frame; `insn` is the instruction under test, `after` what
 * comes behind it. Linux's tools/testing/selftests/x86/mov_ss_trap.c and kvm-unit-tests' debug.c
 * watch some of the same ground.
 */
#include "trapline.h"

#define VECTOR_DB 1
#define VECTOR_UD 6
#define VECTOR_PF 14
#define PENDING 0x31
#define WATCHDOG 0x22 /* of lower priority than PENDING */

#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it, with DR6.BS"
#define RULE_TF_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: MOV SS and POP SS hold back the single-step trap until the next instruction is done"
#define RULE_TF_STI \
	"SDM 2B, STI-Set Interrupt Flag: STI holds back interrupts, not the single-step trap; the handler's IRET ends its shadow"
#define RULE_TF_CLEARED \
	"SDM 3B, Single-Step Exception Condition: INT n, INT3 and INT1 push TF and clear it; the next trap is behind the instruction after IRET"
#define RULE_TF_FAULT \
	"SDM 3B, Single-Step Exception Condition: an instruction that faults is not trapped; RF is set in the fault's frame (SDM 3B, Instruction-Breakpoint Exception Condition)"
#define RULE_TF_REP \
	"SDM 3B, Single-Step Exception Condition: a REP string instruction traps after each iteration, with RF set in the frame before the last"
#define RULE_PRIORITY \
	"SDM 3A, Priority Among Concurrent Events: traps on the previous instruction come before maskable interrupts"
#define RULE_SYSCALL \
	"SDM 2B, SYSCALL-Fast System Call: RFLAGS are masked with FMASK before the boundary, so a masked TF does not trap in the kernel; SYSRET that restores TF traps at once"

#define BUGS_STEP_NATIVE CATCHES("model-step-lost model-db-twice")
#define BUGS_STEP CATCHES("kvm-tf-skipped vbox-17961 model-step-lost model-db-twice")

/* TF from the first instruction on; every event shows TF and RF. */
static void step(void)
{
	setup.shown_flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	setup.rflags |= X86_EFLAGS_TF;
	if (environment_is_user())
		setup.rflags |= X86_EFLAGS_IOPL;
	setup.regs.rsi = environment_is_user() ? USER_DS : KERNEL_DS;
}

/* -- TF over one instruction. ---------------------------------------------------------------------- */

static void try_step(const struct snippet *snippet, const struct exiting *e)
{
	step();
	exiting_prepare(e);
	expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run_snippet(snippet);
	exiting_judge(e);
}

#define STEP_ROW(name, environments, bugs)                                                 \
	SNIPPET(step_over_##name, "mark insn\n" TEXT_##name "\nmark after; nop");          \
	CASE(tf_##name, environments, RULE_TF, bugs)                                       \
	{                                                                                  \
		try_step(&step_over_##name, &exiting_##name);                              \
	}                                                                                  \
	SNIPPET(movss_then_##name,                                                       \
		"mark movss; mov %esi, %ss; mark insn\n" TEXT_##name "\nmark after; nop"); \
	CASE(tf_movss_##name, environments, RULE_TF_MOVSS, bugs)                           \
	{                                                                                  \
		try_step(&movss_then_##name, &exiting_##name);                             \
	}

#define BUGS_STEP_MMIO CATCHES("xen-emul-tf openvmm-tf-mmio model-step-lost model-db-twice")

STEP_ROW(plain, ALL_NATIVE, CATCHES("tcg-movss-tf model-db-twice"))
STEP_ROW(cpuid, ALL_NATIVE, BUGS_STEP)
STEP_ROW(in, ALL_NATIVE, BUGS_STEP)
STEP_ROW(out, ALL_NATIVE, BUGS_STEP)
STEP_ROW(rdmsr, CPL0, BUGS_STEP)
STEP_ROW(wrmsr, CPL0, BUGS_STEP)
STEP_ROW(cr8, CPL0, BUGS_STEP)
STEP_ROW(mmio_read, ALL_NATIVE, BUGS_STEP_MMIO)
STEP_ROW(mmio_write, ALL_NATIVE, BUGS_STEP_MMIO)
STEP_ROW(cold_read, ALL_NATIVE, BUGS_STEP_NATIVE)
STEP_ROW(cold_write, ALL_NATIVE, BUGS_STEP_NATIVE)

SNIPPET(step_into_cold, "nop; mark insn; nop; mark after; nop");

CASE_NEEDS("pam=1", tf_cold_fetch, ALL_NATIVE, RULE_TF, BUGS_STEP_NATIVE)
{
	step();
	cold_successor(&step_into_cold, "insn");
	expect("#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(step_into_cold);
}

SNIPPET(pushf_pop, "mark insn; pushf; mark after; .byte 0x5b");

CASE(tf_pushf, ALL_NATIVE, "SDM 2B, PUSHF: the image holds TF as it is", CATCHES("model-step-lost"))
{
	step();
	expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(pushf_pop);
	check(setup.result.rbx & X86_EFLAGS_TF, "PUSHF stored TF clear: %#lx", setup.result.rbx);
}

SNIPPET(jump, "mark insn; jmp 1f; mark behind; nop; 1: mark after; nop");

CASE(tf_jmp, ALL_NATIVE, RULE_TF, CATCHES("model-step-lost"))
{
	step();
	expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(jump);
}

/* -- The hypercall instruction: another one for each vendor, unknown without a hypervisor. ---------- */

SNIPPET(vmmcall, "mark insn; .byte 0x0f, 0x01, 0xd9; mark after; nop");
SNIPPET(vmcall, "mark insn; .byte 0x0f, 0x01, 0xc1; mark after; nop");

static bool cpu_is_intel(void)
{
	return cpuid(0, 0).b == 0x756e6547;
}

CASE(tf_hypercall, ALL_NATIVE, RULE_TF, BUGS_STEP)
{
	step();
	setup.regs.rax = 0x7fffffff; /* no hypervisor's */
	allow("SDM 3B, Single-Step Exception Condition: the hypervisor carried it out",
	      "#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	allow("SDM 3C, VMCALL, and APM 3, VMMCALL: #UD where no hypervisor intercepts it",
	      "#UD@insn{TF,RF}");
	if (cpu_is_intel())
		run(vmcall);
	else
		run(vmmcall);
}

/* -- STI: the trap comes, the interrupt waits, and IRET ends the shadow. ------------------------------ */

#define SHOW_IF (X86_EFLAGS_IF | X86_EFLAGS_TF | X86_EFLAGS_RF)

SNIPPET(step_sti, "mark insn; sti; mark after; nop; mark next; nop");

CASE(tf_sti, ALL_NATIVE, RULE_TF_STI, CATCHES("tcg-sti-tf kvm-vmx-pending-dbg xsa-308"))
{
	step();
	setup.shown_flags = SHOW_IF;
	expect("#DB[BS]@after{IF,TF}, #DB[BS]@next{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti);
}

CASE(tf_sti_pending, ALL_NATIVE, RULE_TF_STI, CATCHES("tcg-intr-rf tcg-sti-tf kvm-vmx-pending-dbg"))
{
	step();
	setup.shown_flags = SHOW_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@after{IF,TF}, intr 0x31@after{IF,TF}, #DB[BS]@next{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti);
}

SNIPPET(step_sti_cpuid, "mark insn; sti; mark after; cpuid; mark next; nop");

CASE(tf_sti_pending_cpuid, ALL_NATIVE, RULE_TF_STI, CATCHES("tcg-sti-tf model-step-lost"))
{
	step();
	setup.shown_flags = SHOW_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@after{IF,TF}, intr 0x31@after{IF,TF}, #DB[BS]@next{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti_cpuid);
}

SNIPPET(step_popf_if, ".byte 0x55; mark insn; popf; mark after; nop");

CASE(tf_popf_if_pending, ALL_NATIVE, RULE_PRIORITY, CATCHES("tcg-intr-rf model-step-lost"))
{
	step();
	setup.shown_flags = SHOW_IF;
	setup.regs.rbp = setup.rflags | X86_EFLAGS_FIXED | X86_EFLAGS_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@insn{TF}, #DB[BS]@after{IF,TF}, intr 0x31@after{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_popf_if);
}

SNIPPET(step_sti_movss, "mark insn; sti; mark first; mov %esi, %ss; mark second; nop; mark after; nop");

CASE(tf_sti_movss_pending, ALL_NATIVE, RULE_TF_STI, CATCHES("tcg-sti-tf tcg-movss-tf"))
{
	step();
	setup.shown_flags = SHOW_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@first{IF,TF}, intr 0x31@first{IF,TF}, #DB[BS]@after{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti_movss);
}

/* -- HLT. --------------------------------------------------------------------------------------------- */

#define RULE_TF_HLT \
	"SDM 2A, HLT-Halt: a debug exception ends it; SDM 3B, Single-Step Exception Condition: the trap is behind HLT"

#define TRAP_ENDS_HLT "SDM 2A, HLT-Halt: a debug exception ends it as an interrupt does"
#define ONLY_INTERRUPTS_END_HLT \
	"APM 3, HLT: interrupts, INIT and RESET are named as ending it, so the trap may wait for one; it still comes first"

SNIPPET(step_hlt, "mark insn; hlt; mark after; nop");
SNIPPET(step_sti_hlt, "mark insn; sti; mark first; hlt; mark after; nop");

/* The watchdog shows a HLT that slept through its trap. */
CASE(tf_hlt, CPL0, RULE_TF_HLT, CATCHES("bochs-hlt-tf tcg-hlt-tf model-hlt-sleeps"))
{
	step();
	setup.shown_flags = SHOW_IF;
	setup.rflags |= X86_EFLAGS_IF;
	timer_start(WATCHDOG, WATCHDOG_TICKS);
	allow(TRAP_ENDS_HLT, "#DB[BS]@after{IF,TF}, #DB[BS]@end{IF,TF}");
	if (!cpu_is_intel())
		allow(ONLY_INTERRUPTS_END_HLT,
		      "#DB[BS]@after{IF,TF}, intr 0x22@after{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_hlt);
	timer_stop();
}

CASE(tf_sti_hlt_pending, CPL0, RULE_TF_HLT, CATCHES("bochs-hlt-tf tcg-sti-tf tcg-hlt-tf"))
{
	step();
	setup.shown_flags = SHOW_IF;
	interrupt_pending(PENDING);
	timer_start(WATCHDOG, WATCHDOG_TICKS);
	allow(TRAP_ENDS_HLT,
	      "#DB[BS]@first{IF,TF}, intr 0x31@first{IF,TF}, #DB[BS]@after{IF,TF}, #DB[BS]@end{IF,TF}");
	if (!cpu_is_intel())
		allow(ONLY_INTERRUPTS_END_HLT,
		      "#DB[BS]@first{IF,TF}, intr 0x31@first{IF,TF}, #DB[BS]@after{IF,TF}, intr 0x22@after{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti_hlt);
	timer_stop();
}

/* -- MOV SS and POP SS. -------------------------------------------------------------------------------- */

SNIPPET(step_movss_twice,
	"mark insn; mov %esi, %ss; mark first; mov %esi, %ss; mark second; nop; mark after; nop");

CASE(tf_movss_movss, ALL_NATIVE, RULE_TF_MOVSS, CATCHES("tcg-movss-tf"))
{
	step();
	allow("SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: only the first of several is sure to hold back",
	      "#DB[BS]@second{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	allow("SDM 2B, MOV-Move: the later ones may hold back too",
	      "#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(step_movss_twice);
}

SNIPPET_BOTH(step_popss, "nop",
	     "push %esi; mark insn; .byte 0x17; mark shadow; nop; mark after; nop");
SNIPPET_BOTH(step_popss_cpuid, "nop",
	     "push %esi; mark insn; .byte 0x17; mark shadow; cpuid; mark after; nop");

CASE(tf_popss, COMPAT, RULE_TF_MOVSS, CATCHES("tcg-movss-tf"))
{
	step();
	expect("#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(step_popss);
}

CASE(tf_popss_cpuid, COMPAT, RULE_TF_MOVSS, CATCHES("tcg-movss-tf model-step-lost"))
{
	step();
	expect("#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(step_popss_cpuid);
}

SNIPPET(step_movss_int3, "mark insn; mov %esi, %ss; mark shadow; int3; mark after; nop");
SNIPPET(step_movss_int_n, "mark insn; mov %esi, %ss; mark shadow; int $0x21; mark after; nop");
SNIPPET(step_movss_int1, "mark insn; mov %esi, %ss; mark shadow; .byte 0xf1; mark after; nop");
SNIPPET(step_movss_popf, ".byte 0x55; mark insn; mov %esi, %ss; mark shadow; popf; mark after; nop");

CASE(tf_movss_int3, ALL_NATIVE, RULE_TF_CLEARED, CATCHES("tcg-movss-tf cve-2018-1087"))
{
	step();
	expect("#BP@after{TF}, #DB[BS]@end{TF}");
	run(step_movss_int3);
}

CASE(tf_movss_int_n, ALL_NATIVE, RULE_TF_CLEARED, CATCHES("tcg-movss-tf cve-2018-1087"))
{
	step();
	expect("int 0x21@after{TF}, #DB[BS]@end{TF}");
	run(step_movss_int_n);
}

CASE(tf_movss_int1, ALL_NATIVE, RULE_TF_CLEARED, CATCHES("tcg-icebp xsa-308 kvm-vmx-pending-dbg"))
{
	step();
	expect("#DB[]@after{TF}, #DB[BS]@end{TF}");
	run(step_movss_int1);
}

CASE(tf_movss_popf_clears, ALL_NATIVE, RULE_TF_MOVSS, CATCHES("model-step-lost"))
{
	step();
	setup.regs.rbp = (setup.rflags | X86_EFLAGS_FIXED) & ~X86_EFLAGS_TF;
	expect("#DB[BS]@insn{TF}, #DB[BS]@after");
	run(step_movss_popf);
}

/* -- Software interrupts and faults. --------------------------------------------------------------------- */

SNIPPET(step_int3, "mark insn; int3; mark after; nop");
SNIPPET(step_int_n, "mark insn; int $0x21; mark after; nop");
SNIPPET(step_int1, "mark insn; .byte 0xf1; mark after; nop");
SNIPPET(step_ud2, "mark insn; ud2; mark after; nop");

CASE(tf_int3, ALL_NATIVE, RULE_TF_CLEARED, CATCHES("model-db-twice"))
{
	step();
	expect("#BP@after{TF}, #DB[BS]@end{TF}");
	run(step_int3);
}

CASE(tf_int_n, ALL_NATIVE, RULE_TF_CLEARED, CATCHES("model-db-twice"))
{
	step();
	expect("int 0x21@after{TF}, #DB[BS]@end{TF}");
	run(step_int_n);
}

CASE(tf_int1, ALL_NATIVE, RULE_TF_CLEARED, CATCHES("tcg-icebp"))
{
	step();
	expect("#DB[]@after{TF}, #DB[BS]@end{TF}");
	run(step_int1);
}

static enum action skip_ud2(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != VECTOR_UD)
		return BY_RULE;
	frame->iret.rip += 2;
	return RESUME;
}

CASE(tf_fault, ALL_NATIVE, RULE_TF_FAULT, CATCHES("tcg-rf model-db-twice"))
{
	step();
	setup.hook = skip_ud2;
	expect("#UD@insn{TF,RF}, #DB[BS]@end{TF}");
	run(step_ud2);
}

SNIPPET(step_load, "mark insn\n" TEXT_mmio_read "\nmark after; nop");
static uint8_t backing[PAGE_BYTES] __attribute__((aligned(4096)));

static enum action map_window(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != VECTOR_PF)
		return BY_RULE;
	window_map(0, (uint64_t)backing | PTE_PAGE);
	return RESUME;
}

CASE(tf_page_fault, ALL_NATIVE, RULE_TF_FAULT, CATCHES("tcg-rf model-step-lost"))
{
	step();
	window_map(0, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	setup.regs.rdi = WINDOW;
	setup.hook = map_window;
	expect("#PF(%#x,cr2=window)@insn{TF,RF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}",
	       environment_is_user() ? PF_USER : 0);
	run(step_load);
}

/* -- POPF and IRET. ----------------------------------------------------------------------------------------- */

SNIPPET(popf_tf, ".byte 0x55; mark insn; popf; mark after; nop; mark next; nop");

CASE(popf_sets_tf, ALL_NATIVE, RULE_TF, CATCHES("model-db-twice"))
{
	step();
	setup.regs.rbp = setup.rflags | X86_EFLAGS_FIXED;
	setup.rflags &= ~X86_EFLAGS_TF;
	expect("#DB[BS]@next{TF}, #DB[BS]@end{TF}");
	run(popf_tf);
}

CASE(popf_clears_tf, ALL_NATIVE, RULE_TF, CATCHES("model-step-lost"))
{
	step();
	setup.regs.rbp = (setup.rflags | X86_EFLAGS_FIXED) & ~X86_EFLAGS_TF;
	expect("#DB[BS]@insn{TF}, #DB[BS]@after");
	run(popf_tf);
}

SNIPPET_BOTH(iret_only, "mark insn; iretq; mark after; nop; mark next; nop",
	     "mark insn; iret; mark after; nop; mark next; nop");

/* The snippet starts with what IRET pops on its stack, so that nothing comes before IRET. */
static void try_iret(uint64_t rflags)
{
	static uint8_t stack[PAGE_BYTES] __attribute__((aligned(16)));
	uint64_t after = mark_address(&iret_only, "after"), top = (uint64_t)stack + sizeof(stack);

	if (setup.environment == COMPAT) {
		uint32_t *f = (uint32_t *)(top - 64);

		f[0] = after;
		f[1] = USER_CS32;
		f[2] = rflags;
		setup.stack_top = (uint64_t)f;
	} else {
		struct iret_frame *f = (struct iret_frame *)(top - 64);
		bool user = environment_is_user();

		*f = (struct iret_frame){after, user ? USER_CS : KERNEL_CS, rflags, top - 16,
					 user ? USER_DS : KERNEL_DS};
		setup.stack_top = (uint64_t)f;
	}
	run(iret_only);
}

CASE(iret_sets_tf, ALL_NATIVE, RULE_TF, CATCHES("model-db-twice"))
{
	step();
	setup.rflags &= ~X86_EFLAGS_TF;
	expect("#DB[BS]@next{TF}, #DB[BS]@end{TF}");
	try_iret(setup.rflags | X86_EFLAGS_FIXED | X86_EFLAGS_TF);
}

CASE(iret_clears_tf, ALL_NATIVE, RULE_TF, CATCHES("model-step-lost"))
{
	step();
	expect("#DB[BS]@after");
	try_iret((setup.rflags | X86_EFLAGS_FIXED) & ~X86_EFLAGS_TF);
}

CASE(tf_iret, ALL_NATIVE, RULE_TF, CATCHES("model-step-lost"))
{
	step();
	expect("#DB[BS]@after{TF}, #DB[BS]@next{TF}, #DB[BS]@end{TF}");
	try_iret(setup.rflags | X86_EFLAGS_FIXED);
}

/* -- String instructions. ------------------------------------------------------------------------------------- */

#define STRING_ROW(name, text, count_, from, to, trace, bugs)                       \
	SNIPPET(string_##name, "mark insn\n" text "\nmark after; nop");             \
	CASE(tf_##name, ALL_NATIVE, RULE_TF_REP, bugs)                              \
	{                                                                           \
		static uint8_t memory[64];                                          \
                                                                                    \
		step();                                                             \
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

/*
 * The timer is to hit a store of 512 KiB in the middle. Where it came before or behind it, the run is
 * forgotten and the next one gives it more time or less.
 */
static void try_interrupted_rep(unsigned events)
{
	uint32_t low = 0, high = 0, longest = 1000000;

	setup.shown_flags = SHOW_IF;
	setup.rflags = X86_EFLAGS_IF | (environment_is_user() ? X86_EFLAGS_IOPL : 0);
	setup.regs.rdi = (uint64_t)long_memory;
	setup.regs.rcx = sizeof(long_memory);
	setup.regs.rdx = 50000000;
	setup.leave_after = events;
	setup.hook = look_inside;
	for (unsigned attempt = 0; attempt < 200; attempt++) {
		if (low + high / 16 >= high) {
			low = 0;
			high = longest;
			longest *= longest < 16000000 ? 4 : 1;
		}
		hit = NOT_SEEN;
		trace_reset(this_cpu()->trace);
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

CASE(rep_interrupted, ALL_NATIVE, RULE_REP_RF, CATCHES("bochs-rep-rf tcg-rep-rf"))
{
	expect("intr 0x31@insn{IF,RF}");
	try_interrupted_rep(1);
}

/* A machine that breaks at every iteration is told without a timer. */
static bool breaks_once(void)
{
	setup.shown_flags = SHOW_IF;
	setup.rflags = X86_EFLAGS_IF | (environment_is_user() ? X86_EFLAGS_IOPL : 0);
	setup.regs.rdi = (uint64_t)long_memory;
	setup.regs.rcx = 2;
	setup.regs.rdx = 1;
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

#define RULE_INTR_RF \
	"SDM 3B, Instruction-Breakpoint Exception Condition: an interrupt between instructions pushes RF as it is, and every instruction clears it"

/* With RF set by mistake the handler's IRET would step over a breakpoint that waits there. */
CASE(interrupt_rf, ALL_NATIVE, RULE_INTR_RF, CATCHES("tcg-intr-rf bochs-code-breakpoint-first"))
{
	setup.shown_flags = SHOW_IF;
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	breakpoint_set(0, mark_address(&step_sti, "next"), BREAK_CODE, 1);
	interrupt_pending(PENDING);
	expect("intr 0x31@next{IF}, #DB[B0]@next{IF}");
	run(step_sti);
}

/* -- SYSCALL and SYSRET. ------------------------------------------------------------------------------------------ */

/* 0F 07 in 64-bit code returns to compatibility mode, 48 0F 07 to 64-bit mode. */
SNIPPET_BOTH(
	syscall_snippet,
	"jmp 1f; mark target; nop; mark ret; sysretq; 1: mark insn; syscall; mark after; nop",
	"jmp 1f; mark target; nop; mark ret; .byte 0x0f, 0x07; 1: mark insn; syscall; mark after; nop");

#define MSR_CSTAR 0xc0000083

static void aim_syscall(const struct snippet *snippet, uint64_t mask)
{
	wrmsr(MSR_LSTAR, mark_address(snippet, "target"));
	wrmsr(MSR_CSTAR, mark_address(snippet, "target"));
	wrmsr(MSR_SFMASK, mask);
}

static void try_syscall(uint64_t mask, const char *trace)
{
	step();
	aim_syscall(&syscall_snippet, mask);
	if (setup.environment == COMPAT && cpu_is_intel())
		expect("#DB[BS]@insn{TF}, #UD@insn{TF,RF}"); /* SDM 2B, SYSCALL: 64-bit mode only */
	else
		expect("%s", trace);
	run(syscall_snippet);
	wrmsr(MSR_SFMASK, 0);
}

CASE(tf_syscall_masked, USER, RULE_SYSCALL, CATCHES("bochs-syscall-tf cve-2017-7518"))
{
	try_syscall(X86_EFLAGS_TF, "#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
}

CASE(tf_syscall_unmasked, USER, RULE_SYSCALL, CATCHES("model-step-lost"))
{
	try_syscall(
		0,
		"#DB[BS]@insn{TF}, #DB[BS]@target{TF}, #DB[BS]@ret{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
}

/* -- DR7.GD. -------------------------------------------------------------------------------------------------------- */

#define RULE_GD \
	"SDM 3B, General-Detect Exception Condition: with DR7.GD any access to a debug register is a #DB fault with DR6.BD, and GD is cleared on entry"
#define DR7_GD (1u << 13)

#define SNIPPET_64(name, text) SNIPPET_BOTH(name, text, "nop")

SNIPPET_64(read_dr, "mark insn; mov %dr0, %rax; mark after; nop");
SNIPPET_64(write_dr, "mark insn; mov %rax, %dr1; mark after; nop");
SNIPPET_64(load_dr7, "mark insn; mov %dr7, %rax; mark after; nop");
SNIPPET_64(movss_read_dr, "mov %esi, %ss; mark insn; mov %dr0, %rax; mark after; nop");

/* The handler finds GD cleared, so that the instruction runs when it is tried again. */
static void try_general_detect(const struct snippet *snippet)
{
	write_dr0(0x1234);
	setup.regs.rsi = KERNEL_DS;
	setup.regs.rax = 0x5678;
	write_dr7(DR7_CLEAR | DR7_GD);
	run_snippet(snippet);
	write_dr7(DR7_CLEAR);
}

/* The manuals' general words and what CPUs do differ here. */
static void allow_general_detect(void)
{
	setup.shown_flags = X86_EFLAGS_RF;
	allow("SDM 3B, Instruction-Breakpoint Exception Condition: RF is set in the frame of any fault but an instruction breakpoint",
	      "#DB[BD]@insn{RF}");
	allow("Linux, KVM: x86: Treat #DBs from the emulator as fault-like: CPUs of both vendors do not set RF here",
	      "#DB[BD]@insn");
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

CASE(gd_tf, CPL0, RULE_GD, CATCHES("bochs-gd-bs tcg-dr7-gd"))
{
	step();
	allow("SDM 3B, Instruction-Breakpoint Exception Condition: RF is set in the frame of any fault but an instruction breakpoint",
	      "#DB[BD]@insn{TF,RF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	allow("Linux, KVM: x86: Treat #DBs from the emulator as fault-like: CPUs of both vendors do not set RF here",
	      "#DB[BD]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	try_general_detect(&read_dr);
}

CASE(gd_movss, CPL0, RULE_GD, CATCHES("tcg-dr7-gd kvm-vmx-pending-dbg"))
{
	allow_general_detect();
	try_general_detect(&movss_read_dr);
	check(setup.result.rax == 0x1234, "DR0 read as %#lx", setup.result.rax);
}

/* -- DEBUGCTL.BTF. ------------------------------------------------------------------------------------------------- */

#define RULE_BTF \
	"SDM 3B, Single-Stepping on Branches: with DEBUGCTL.BTF a step ends behind the next taken branch, and the #DB clears BTF"
#define MSR_DEBUGCTL 0x1d9
#define DEBUGCTL_BTF 2

SNIPPET_64(set_msr, "mark insn; wrmsr; rdmsr");
SNIPPET(branches, "mark insn; nop; mark second; nop; mark third; jmp 1f; mark behind; nop; 1: mark after; nop");

CASE(btf, ALL_NATIVE, RULE_BTF, CATCHES("model-btf-ignored"))
{
	struct regs regs = {.rcx = MSR_DEBUGCTL, .rax = DEBUGCTL_BTF};

	need(probe_snippet(&set_msr, &regs, NULL) == 0 && regs.rax & DEBUGCTL_BTF,
	     "no DEBUGCTL.BTF on this machine");
	step();
	expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(branches);
	wrmsr(MSR_DEBUGCTL, 0);
}

/* -- Code breakpoints and RF. -------------------------------------------------------------------------------------- */

#define RULE_CODE \
	"SDM 3B, Instruction-Breakpoint Exception Condition: a #DB fault before the instruction, unless RF is set; the instruction clears RF"
#define RULE_RF_FAULT \
	"SDM 3B, Instruction-Breakpoint Exception Condition: a fault's frame has RF set, so that the restarted instruction does not break again"

static void code_breakpoint(const struct snippet *snippet, unsigned n, const char *mark)
{
	setup.shown_flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	if (environment_is_user())
		setup.rflags |= X86_EFLAGS_IOPL;
	setup.regs.rsi = environment_is_user() ? USER_DS : KERNEL_DS;
	breakpoint_set(n, mark_address(snippet, mark), BREAK_CODE, 1);
}

/* The recorder sets RF in the frame, so the instruction runs, once. */
#define CODE_ROW(name, environments, bugs)                                       \
	SNIPPET(break_at_##name, "mark insn\n" TEXT_##name "\nmark after; nop"); \
	CASE(code_breakpoint_##name, environments, RULE_CODE, bugs)              \
	{                                                                        \
		code_breakpoint(&break_at_##name, 0, "insn");                    \
		exiting_prepare(&exiting_##name);                                \
		expect("#DB[B0]@insn");                                          \
		run(break_at_##name);                                            \
		exiting_judge(&exiting_##name);                                  \
	}

#define BUGS_CODE CATCHES("kvm-emul-db-rf xen-db-loop model-code-breakpoint-lost")

CODE_ROW(plain, ALL_NATIVE, "")
CODE_ROW(cpuid, ALL_NATIVE, BUGS_CODE)
CODE_ROW(in, ALL_NATIVE, BUGS_CODE)
CODE_ROW(out, ALL_NATIVE, BUGS_CODE)
CODE_ROW(rdmsr, CPL0, BUGS_CODE)
CODE_ROW(wrmsr, CPL0, BUGS_CODE)
CODE_ROW(mmio_read, ALL_NATIVE, BUGS_CODE)
CODE_ROW(mmio_write, ALL_NATIVE, BUGS_CODE)
CODE_ROW(cold_read, ALL_NATIVE, BUGS_CODE)
CODE_ROW(cold_write, ALL_NATIVE, BUGS_CODE)

CASE_NEEDS("pam=1", code_breakpoint_cold_fetch, ALL_NATIVE, RULE_CODE, BUGS_CODE)
{
	cold_successor(&step_into_cold, "insn");
	code_breakpoint(&step_into_cold, 0, "insn");
	expect("#DB[B0]@insn");
	run(step_into_cold);
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
	code_breakpoint(&break_at_plain, 0, "insn");
	expect("#DB[B0]@insn, #DB[B0]@insn, #DB[B0]@insn");
	run(break_at_plain);
}

CASE(rf_for_one_instruction, ALL_NATIVE, RULE_CODE, CATCHES("model-rf-ignored"))
{
	code_breakpoint(&break_at_plain, 0, "insn");
	code_breakpoint(&break_at_plain, 1, "after");
	setup.rflags |= X86_EFLAGS_RF;
	expect("#DB[B1]@after");
	run(break_at_plain);
}

CASE(rf_not_from_popf, ALL_NATIVE,
     "SDM 2B, POPF-Pop Stack Into EFLAGS Register: RF is cleared, whatever the image holds",
     CATCHES("model-rf-ignored"))
{
	code_breakpoint(&popf_tf, 0, "after");
	setup.regs.rbp = setup.rflags | X86_EFLAGS_FIXED | X86_EFLAGS_RF;
	expect("#DB[B0]@after");
	run(popf_tf);
}

CASE(code_breakpoint_page_fault, ALL_NATIVE, RULE_RF_FAULT, CATCHES("tcg-rf"))
{
	window_map(0, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	setup.regs.rdi = WINDOW;
	setup.hook = map_window;
	code_breakpoint(&step_load, 0, "insn");
	expect("#DB[B0]@insn, #PF(%#x,cr2=window)@insn{RF}", environment_is_user() ? PF_USER : 0);
	run(step_load);
}

CASE(code_breakpoint_rep, ALL_NATIVE, RULE_CODE,
     CATCHES("tcg-rep-code-breakpoint model-rf-ignored"))
{
	static uint8_t memory[64];

	setup.regs.rsi = MEMORY;
	setup.regs.rdi = MEMORY_TO;
	setup.regs.rcx = 3;
	code_breakpoint(&string_rep_movsb_3, 0, "insn");
	setup.regs.rsi = MEMORY;
	expect("#DB[B0]@insn");
	run(string_rep_movsb_3);
	check(setup.result.rcx == 0, "count is %lu behind the instruction", setup.result.rcx);
}

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
		code_breakpoint(&movss_then_plain, 0, "insn");                                                                          \
		run(movss_then_plain);                                                                                                  \
		code_breakpoint(&movss_then_##name, 0, "insn");                                                                         \
		exiting_prepare(&exiting_##name);                                                                                       \
		run(movss_then_##name);                                                                                                 \
		exiting_judge(&exiting_##name);                                                                                         \
	}

MOVSS_CODE_ROW(cpuid, ALL_NATIVE)
MOVSS_CODE_ROW(in, ALL_NATIVE)
MOVSS_CODE_ROW(rdmsr, CPL0)
MOVSS_CODE_ROW(mmio_read, ALL_NATIVE)
MOVSS_CODE_ROW(mmio_write, ALL_NATIVE)
MOVSS_CODE_ROW(cold_read, ALL_NATIVE)

/* -- Data and I/O breakpoints. --------------------------------------------------------------------------------------- */

#define RULE_DATA \
	"SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: a #DB trap behind the access, with the breakpoint's DR6 bit"
#define RULE_DATA_TF \
	"SDM 3B, Single-Step Exception Condition: breakpoint and step behind the same instruction are one #DB with both DR6 bits"
#define RULE_DATA_REP \
	"SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: repeated string instructions trap behind the iteration that met the condition"

static volatile uint8_t watched[64] __attribute__((aligned(64)));

SNIPPET(load, "mark insn\n" TEXT_mmio_read "\nmark after; nop");
SNIPPET(store, "mark insn\n" TEXT_mmio_write "\nmark after; nop");
SNIPPET(store_byte, "mark insn; .byte 0x88, 0x07; mark after; nop");
SNIPPET(push, "mark insn; .byte 0x50; mark after; nop; .byte 0x58; mark popped; nop");
SNIPPET(copy, "mark insn; movsb; mark after; nop");
SNIPPET(copy_3, "mark insn; rep movsb; mark after; nop");

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
#define NO_DATA_ROW(name, snippet, kind, watched_at, bytes, access_at) \
	DATA_CASE(name, snippet, kind, watched_at, bytes, access_at, "(none)", "")
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

CASE(data_tf, ALL_NATIVE, RULE_DATA_TF,
     CATCHES("tcg-data-tf model-data-breakpoint-lost model-db-twice"))
{
	step();
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

CASE(data_rep, ALL_NATIVE, RULE_DATA_REP,
     CATCHES("tcg-rep-rf bochs-rep-trap-rf model-data-breakpoint-lost"))
{
	setup.regs.rsi = (uint64_t)watched;
	setup.regs.rcx = 3;
	watch(0, 33, BREAK_WRITE, 1);
	setup.shown_flags = X86_EFLAGS_RF;
	setup.regs.rdi = (uint64_t)watched + 32;
	allow("SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: behind the iteration that met it",
	      "#DB[B0]@insn{RF}");
	allow("SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: REP MOVS and REP STOS of P6 and later may report it one iteration late",
	      "#DB[B0]@after");
	run(copy_3);
	check(setup.result.rcx == 0, "count is %lu behind the instruction", setup.result.rcx);
}

CASE(data_push, ALL_NATIVE, RULE_DATA, CATCHES("model-data-breakpoint-lost"))
{
	unsigned slot = setup.environment == COMPAT ? 4 : 8;

	setup.shown_flags = X86_EFLAGS_RF;
	setup.stack_top = (uint64_t)long_memory + sizeof(long_memory) / 2;
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

CASE(data_mmio, ALL_NATIVE, RULE_DATA, CATCHES("kvm-mmio-data-breakpoint"))
{
	setup.shown_flags = X86_EFLAGS_RF;
	exiting_prepare(&exiting_mmio_write);
	breakpoint_set(0, IOAPIC_INDEX, BREAK_WRITE, 4);
	expect("#DB[B0]@after");
	run(store);
	exiting_judge(&exiting_mmio_write);
}

CASE(data_fault, ALL_NATIVE,
     "SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: no #DB for an access that did not happen",
     CATCHES("tcg-rf"))
{
	setup.shown_flags = X86_EFLAGS_RF;
	window_map(0, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	setup.regs.rdi = WINDOW;
	breakpoint_set(0, WINDOW, BREAK_WRITE, 4);
	expect("#PF(%#x,cr2=window)@insn{RF}", PF_WRITE | (environment_is_user() ? PF_USER : 0));
	run(store);
}

#define IO_ROW(name, text, port, trace, bugs)                                 \
	SNIPPET(io_##name##_snippet, "mark insn\n" text "\nmark after; nop"); \
	CASE(io_##name, ALL_NATIVE, RULE_DATA, CATCHES(bugs))                 \
	{                                                                     \
		uint64_t cr4 = read_cr4();                                    \
                                                                              \
		need_breakpoints();                                           \
		step();                                                       \
		setup.rflags &= ~X86_EFLAGS_TF;                               \
		setup.regs.rdx = SCRATCH_PORT;                                \
		setup.regs.rsi = setup.regs.rdi = (uint64_t)watched;          \
		setup.regs.rcx = 2;                                           \
		write_cr4(cr4 | X86_CR4_DE);                                  \
		breakpoint_set(0, port, BREAK_IO, 1);                         \
		expect(trace);                                                \
		run(io_##name##_snippet);                                     \
		breakpoints_clear();                                          \
		write_cr4(cr4);                                               \
	}

#define BUGS_IO "kvm-io-breakpoint"
IO_ROW(in, "in %dx, %al", SCRATCH_PORT, "#DB[B0]@after", BUGS_IO)
IO_ROW(out, "out %al, %dx", SCRATCH_PORT, "#DB[B0]@after", BUGS_IO)
IO_ROW(other_port, "in %dx, %al", SCRATCH_PORT - 1, "(none)", "")
IO_ROW(insb, "insb", SCRATCH_PORT, "#DB[B0]@after", BUGS_IO)
IO_ROW(rep_outsb, "rep outsb", SCRATCH_PORT, "#DB[B0]@insn{RF}, #DB[B0]@after",
       BUGS_IO " tcg-rep-io-breakpoint")

/* -- A breakpoint on MOV SS. ------------------------------------------------------------------------------------------ */

#define RULE_ARMED \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: a #DB for MOV SS or POP SS itself comes behind the next instruction"
#define RULE_ARMED_INT \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: where the next instruction enters a handler, the #DB comes at its first instruction"
#define RULE_ARMED_FAULT \
	"Linux, tools/testing/selftests/x86/mov_ss_trap.c: a fault of the next instruction drops the #DB that MOV SS held back"

/* MOV (%rdi), %ss; the selector's two bytes are watched. */
#define ARMED(x) "mark insn; .byte 0x8e, 0x17; mark shadow\n" x "\nmark after; nop"

static void arm_movss(void)
{
	uint16_t selector = environment_is_user() ? USER_DS : KERNEL_DS;

	setup.shown_flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	if (environment_is_user())
		setup.rflags |= X86_EFLAGS_IOPL;
	memcpy((void *)watched, &selector, sizeof(selector));
	watch(0, 0, BREAK_ACCESS, 2);
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

ARMED_ROW(plain, "nop", ALL_NATIVE, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(cpuid, "cpuid", ALL_NATIVE, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(out, TEXT_out, ALL_NATIVE, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(rdmsr, TEXT_rdmsr, CPL0, "#DB[B0]@after", RULE_ARMED, BUGS_ARMED)
ARMED_ROW(int3, "int3", ALL_NATIVE, "#DB[B0]@handler[0x3], #BP@after", RULE_ARMED_INT,
	  BUGS_ARMED_INT)
ARMED_ROW(int_n, "int $0x21", ALL_NATIVE, "#DB[B0]@handler[0x21], int 0x21@after", RULE_ARMED_INT,
	  BUGS_ARMED_INT)
ARMED_ROW(fault, "ud2", ALL_NATIVE, "#UD@shadow{RF}", RULE_ARMED_FAULT, BUGS_ARMED)

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
	step();
	arm_movss();
	expect("#DB[B0,BS]@after{TF}, #DB[BS]@end{TF}");
	run(armed_then_plain);
}

CASE(armed_movss_tf_int1, ALL_NATIVE, RULE_ARMED, CATCHES("tcg-movss-watchpoint tcg-icebp xsa-308"))
{
	step();
	arm_movss();
	allow("Linux, tools/testing/selftests/x86/mov_ss_trap.c: INT1's own #DB, and the one held back is gone",
	      "#DB[]@after{TF}, #DB[BS]@end{TF}");
	allow("SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: both behind INT1 are one",
	      "#DB[B0]@after{TF}, #DB[BS]@end{TF}");
	run(armed_then_int1);
}

/* SYSCALL goes to code at CPL0 that returns at once; the #DB comes at its first instruction. */
SNIPPET_BOTH(armed_then_syscall,
	     "jmp 1f; mark target; nop; mark ret; sysretq; 1:\n" ARMED("syscall"),
	     "jmp 1f; mark target; nop; mark ret; .byte 0x0f, 0x07; 1:\n" ARMED("syscall"));

CASE(armed_movss_syscall, USER, RULE_ARMED_INT, CATCHES("tcg-movss-watchpoint cve-2018-8897"))
{
	arm_movss();
	aim_syscall(&armed_then_syscall, X86_EFLAGS_TF);
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
	CASE(armed_popss_##name, COMPAT, rule, BUGS_ARMED_INT)                         \
	{                                                                              \
		uint32_t selector = USER_DS;                                           \
                                                                                       \
		memcpy((void *)watched, &selector, sizeof(selector));                  \
		arm_movss();                                                           \
		setup.stack_top = (uint64_t)watched;                                   \
		expect(trace);                                                         \
		run(armed_popss_then_##name);                                          \
	}

ARMED_POPSS_ROW(plain, "nop", "#DB[B0]@after", RULE_ARMED)
ARMED_POPSS_ROW(cpuid, "cpuid", "#DB[B0]@after", RULE_ARMED)
ARMED_POPSS_ROW(int3, "int3", "#DB[B0]@handler[0x3], #BP@after", RULE_ARMED_INT)
ARMED_POPSS_ROW(int_n, "int $0x21", "#DB[B0]@handler[0x21], int 0x21@after", RULE_ARMED_INT)

/* -- Last, as QEMU does not survive it. -------------------------------------------------------------------------------- */

SNIPPET(int3_onto_watched, "mark insn; int3; mark after; nop");

CASE(data_frame_push, CPL0,
     "SDM 3B, Data Memory and I/O Breakpoint Exception Conditions: pushes of an event's delivery count; the #DB comes at the handler's first instruction",
     CATCHES("tcg-watchpoint-in-delivery"))
{
	uint64_t top = (uint64_t)long_memory + sizeof(long_memory) / 2;

	breakpoint_set(0, top - 40, BREAK_WRITE, 8);
	use_ist(3, top);
	setup.shown_flags = X86_EFLAGS_RF;
	expect("#DB[B0]@handler[0x3], #BP@after");
	run(int3_onto_watched);
}
