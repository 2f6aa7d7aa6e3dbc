/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single-step: one #DB behind each instruction, whatever the instruction is.
 *
 * The rule. With TF set when an instruction starts, a #DB comes behind it (DR6.BS): also behind STI,
 * and behind one that exits to the hypervisor. Not behind one that faulted; the frame of the fault has
 * RF set. INT3, INT n and INT1 push TF and clear it, so that nothing is stepped in their handler, and
 * the next trap is behind the instruction that IRET returns to. What is pending besides comes after the
 * trap. (String instructions are in strings.c, what MOV SS holds back in movss.c.)
 *
 * Why a hypervisor must care. It skips or emulates instructions for the guest and then owes the trap
 * that the hardware would have taken. KVM lost it behind CPUID and RDMSR (around 4.11), Xen forgot it on
 * memory-mapped writes, VirtualBox (ticket 17961) and others let malware tell that it was in a virtual
 * machine by a CPUID that swallowed the trap. On VMX a #DB that is intercepted in an STI shadow must
 * come back through the pending debug exceptions with BS, or VM entry fails and the guest is gone
 * (XSA-308; KVM, Linux 5.17). SYSCALL with TF masked by FMASK must not step into the kernel
 * (CVE-2017-7518).
 *
 * What a buggy hypervisor shows here: the #DB missing, one instruction late, twice, with DR6 bits
 * missing or stale, or TF or RF wrong in a frame.
 *
 * Every event is shown with TF and RF of its frame; `insn` is the instruction under test, `after` what
 * comes behind it. kvm-unit-tests' debug.c watches some of the same ground.
 */
#include "trapline.h"

#include "db.h"

#include "x86/harness/probe.h"

#define PENDING 0x31

#define RULE_TF_STI \
	"SDM 2B, STI-Set Interrupt Flag: STI holds back interrupts, not the single-step trap; the handler's IRET ends its shadow"
#define RULE_TF_FAULT \
	"SDM 3B, Single-Step Exception Condition: an instruction that faults is not trapped; RF is set in the fault's frame (SDM 3B, Instruction-Breakpoint Exception Condition)"
#define RULE_PRIORITY \
	"SDM 3A, Priority Among Concurrent Events: traps on the previous instruction come before maskable interrupts"
#define RULE_SYSCALL \
	"SDM 2B, SYSCALL-Fast System Call: RFLAGS are masked with FMASK before the boundary, so a masked TF does not trap in the kernel; SYSRET that restores TF traps at once"

/* -- TF over one instruction. ------------------------------------------------------------------ */

#define STEP_ROW(name, environments, bugs)                                        \
	SNIPPET(step_over_##name, "mark insn\n" TEXT_##name "\nmark after; nop"); \
	CASE(tf_##name, environments, RULE_TF, bugs)                              \
	{                                                                         \
		single_step();                                                    \
		exiting_prepare(&exiting_##name);                                 \
		expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");                     \
		run(step_over_##name);                                            \
		exiting_judge(&exiting_##name);                                   \
	}

STEP_ROW(plain, EVERYWHERE | RINGS | LEGACY_RINGS, CATCHES("model-db-twice"))
FOR_EACH_EXITING_IN(STEP_ROW, EVERYWHERE, RING0 | IN_REAL, BUGS_STEP, BUGS_STEP_MMIO,
		    BUGS_STEP_NATIVE)

SNIPPET(step_into_cold, "nop; mark insn; nop; mark after; nop");

CASE_NEEDS("pam=1", tf_cold_fetch, ALL_NATIVE, RULE_TF, BUGS_STEP_NATIVE)
{
	single_step();
	cold_successor(&step_into_cold, "insn");
	expect("#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(step_into_cold);
}

SNIPPET(pushf_pop, "mark insn; pushf; mark after; .byte 0x5b");

CASE(tf_pushf, IN_EVERY_RING, "SDM 2B, PUSHF: the image holds TF as it is",
     CATCHES("model-step-lost"))
{
	single_step();
	expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(pushf_pop);
	check(setup.result.rbx & X86_EFLAGS_TF, "PUSHF stored TF clear: %#lx", setup.result.rbx);
}

STEP(jmp, EVERYWHERE, RULE_TF, CATCHES("model-step-lost"),
     "mark insn; jmp 1f; mark behind; nop; 1: mark after; nop",
     "#DB[BS]@after{TF}, #DB[BS]@end{TF}")

/* -- The hypercall instruction: another one for each vendor, unknown without a hypervisor. ----- */

SNIPPET(vmmcall, "mark insn; .byte 0x0f, 0x01, 0xd9; mark after; nop");
SNIPPET(vmcall, "mark insn; .byte 0x0f, 0x01, 0xc1; mark after; nop");

CASE(tf_hypercall, ALL_NATIVE | RINGS, RULE_TF, BUGS_STEP)
{
	single_step();
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

/* -- LSS loads SS, and is no MOV SS. ----------------------------------------------------------- */

#define STEP_LOAD(name, environments, bugs, text)                                                                                      \
	SNIPPET(step_##name, "mark insn\n" text "mark after; nop");                                                                    \
	CASE(tf_##name, environments,                                                                                                  \
	     "SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: MOV SS and POP SS hold back, other loads of SS do not", \
	     bugs)                                                                                                                     \
	{                                                                                                                              \
		single_step();                                                                                                         \
		setup.regs.rbx = (uint64_t)lss_operand();                                                                              \
		expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");                                                                          \
		run(step_##name);                                                                                                      \
	}

STEP_LOAD(lss, IN_EVERY_RING, CATCHES("tcg-lss-shadow model-step-lost"), TEXT_lss)
STEP_LOAD(lfs, ALL_NATIVE, CATCHES("model-step-lost"), ".byte 0x0f, 0xb4, 0x03\n")
STEP_LOAD(lds, IN_32, CATCHES("model-step-lost"), ".byte 0xc5, 0x03\n")
STEP_LOAD(les, IN_32, CATCHES("model-step-lost"), ".byte 0xc4, 0x03\n")
STEP_LOAD(mov_ds, ALL_NATIVE, CATCHES("model-step-lost"), "mov %esi, %ds\n")

/* -- STI: the trap comes, the interrupt waits, and IRET ends the shadow. ----------------------- */

SNIPPET(step_sti, "mark insn; sti; mark after; nop; mark next; nop");

CASE(tf_sti, EVERYWHERE | RINGS, RULE_TF_STI,
     CATCHES("tcg-sti-tf kvm-vmx-pending-dbg kvm-emul-pending-bs xsa-308"))
{
	single_step();
	setup.shown_flags = SHOW_IF;
	expect("#DB[BS]@after{IF,TF}, #DB[BS]@next{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_sti);
}

/* The interrupt that waits for the end of the shadow comes behind the trap, not instead of it. */
static void try_sti_pending(const struct snippet *snippet)
{
	single_step();
	setup.shown_flags = SHOW_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@after{IF,TF}, intr 0x31@after{IF,TF}, #DB[BS]@next{IF,TF}, #DB[BS]@end{IF,TF}");
	run_snippet(snippet);
}

CASE(tf_sti_pending, EVERYWHERE | RINGS, RULE_TF_STI,
     CATCHES("tcg-intr-rf tcg-sti-tf kvm-vmx-pending-dbg"))
{
	try_sti_pending(&step_sti);
}

SNIPPET(step_sti_cpuid, "mark insn; sti; mark after; cpuid; mark next; nop");

CASE(tf_sti_pending_cpuid, EVERYWHERE, RULE_TF_STI, CATCHES("tcg-sti-tf model-step-lost"))
{
	try_sti_pending(&step_sti_cpuid);
}

SNIPPET(step_popf_if, ".byte 0x55; mark insn; popf; mark after; nop");

CASE(tf_popf_if_pending, EVERYWHERE | RINGS, RULE_PRIORITY, CATCHES("tcg-intr-rf model-step-lost"))
{
	single_step();
	setup.shown_flags = SHOW_IF;
	setup.regs.rbp = setup.rflags | X86_EFLAGS_FIXED | X86_EFLAGS_IF;
	interrupt_pending(PENDING);
	expect("#DB[BS]@insn{TF}, #DB[BS]@after{IF,TF}, intr 0x31@after{IF,TF}, #DB[BS]@end{IF,TF}");
	run(step_popf_if);
}

/* -- HLT. -------------------------------------------------------------------------------------- */

#define RULE_TF_HLT \
	"SDM 2A, HLT-Halt: a debug exception ends it; SDM 3B, Single-Step Exception Condition: the trap is behind HLT"

#define TRAP_ENDS_HLT "SDM 2A, HLT-Halt: a debug exception ends it as an interrupt does"
#define ONLY_INTERRUPTS_END_HLT \
	"APM 3, HLT: interrupts, INIT and RESET are named as ending it, so the trap may wait for one; it still comes first"

SNIPPET(step_hlt, "mark insn; hlt; mark after; nop");
SNIPPET(step_sti_hlt, "mark insn; sti; mark first; hlt; mark after; nop");

/* The watchdog shows a HLT that slept through its trap. */
static void try_hlt(const struct snippet *snippet, bool pending)
{
	for (unsigned attempt = 0; attempt < 5; attempt++) {
		trace_reset(this_recording()->trace);
		if (pending)
			interrupt_pending(PENDING);
		watchdog_start();
		run_snippet(snippet);
		watchdog_stop();
		if (!watchdog_was_early(snippet, "after"))
			break;
	}
}

CASE(tf_hlt, RING0, RULE_TF_HLT, CATCHES("bochs-hlt-tf tcg-hlt-tf model-hlt-sleeps"))
{
	single_step();
	setup.shown_flags = SHOW_IF;
	setup.rflags |= X86_EFLAGS_IF;
	allow(TRAP_ENDS_HLT, "#DB[BS]@after{IF,TF}, #DB[BS]@end{IF,TF}");
	if (!cpu_is_intel())
		allow(ONLY_INTERRUPTS_END_HLT,
		      "#DB[BS]@after{IF,TF}, intr 0x22@after{IF,TF}, #DB[BS]@end{IF,TF}");
	try_hlt(&step_hlt, false);
}

CASE(tf_sti_hlt_pending, RING0, RULE_TF_HLT, CATCHES("bochs-hlt-tf tcg-sti-tf tcg-hlt-tf"))
{
	single_step();
	setup.shown_flags = SHOW_IF;
	allow(TRAP_ENDS_HLT,
	      "#DB[BS]@first{IF,TF}, intr 0x31@first{IF,TF}, #DB[BS]@after{IF,TF}, #DB[BS]@end{IF,TF}");
	if (!cpu_is_intel())
		allow(ONLY_INTERRUPTS_END_HLT,
		      "#DB[BS]@first{IF,TF}, intr 0x31@first{IF,TF}, #DB[BS]@after{IF,TF}, intr 0x22@after{IF,TF}, #DB[BS]@end{IF,TF}");
	try_hlt(&step_sti_hlt, true);
}

/* -- Software interrupts and faults. ----------------------------------------------------------- */

STEP(int3, EVERYWHERE | RINGS, RULE_TF_CLEARED, CATCHES("model-db-twice"),
     "mark insn; int3; mark after; nop", "#BP@after{TF}, #DB[BS]@end{TF}")
STEP(int_n, EVERYWHERE | RINGS, RULE_TF_CLEARED, CATCHES("model-db-twice"),
     "mark insn; int $0x21; mark after; nop", "int 0x21@after{TF}, #DB[BS]@end{TF}")
STEP(int1, EVERYWHERE | RINGS, RULE_TF_CLEARED, CATCHES("tcg-icebp"),
     "mark insn; .byte 0xf1; mark after; nop", "#DB[]@after{TF}, #DB[BS]@end{TF}")

SNIPPET(step_ud2, "mark insn; ud2; mark after; nop");

CASE(tf_fault, ALL_NATIVE | RINGS, RULE_TF_FAULT, CATCHES("tcg-rf model-db-twice"))
{
	single_step();
	setup.hook = skip_ud2;
	expect("#UD@insn{TF,RF}, #DB[BS]@end{TF}");
	run(step_ud2);
}

SNIPPET(step_load, "mark insn\n" TEXT_mmio_read "\nmark after; nop");

CASE(tf_page_fault, ALL_NATIVE | RINGS, RULE_TF_FAULT, CATCHES("tcg-rf model-step-lost"))
{
	single_step();
	unmap_window();
	setup.hook = map_window;
	expect("#PF(%#x,cr2=window)@insn{TF,RF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}",
	       environment_is_user() ? PF_USER : 0);
	run(step_load);
}

/* -- POPF and IRET. ---------------------------------------------------------------------------- */

SNIPPET(popf_tf, ".byte 0x55; mark insn; popf; mark after; nop; mark next; nop");

CASE(popf_sets_tf, EVERYWHERE | RINGS, RULE_TF, CATCHES("model-db-twice"))
{
	single_step();
	setup.regs.rbp = setup.rflags | X86_EFLAGS_FIXED;
	setup.rflags &= ~X86_EFLAGS_TF;
	expect("#DB[BS]@next{TF}, #DB[BS]@end{TF}");
	run(popf_tf);
}

CASE(popf_clears_tf, EVERYWHERE | RINGS, RULE_TF, CATCHES("model-step-lost"))
{
	single_step();
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

	if (environment_is_32()) {
		uint32_t *f = (uint32_t *)(top - 64);

		f[0] = after;
		f[1] = code_selector();
		f[2] = rflags;
		setup.stack_top = (uint64_t)f;
	} else {
		struct iret_frame *f = (struct iret_frame *)(top - 64);

		*f = (struct iret_frame){after, code_selector(), rflags, top - 16,
					 stack_selector()};
		setup.stack_top = (uint64_t)f;
	}
	run(iret_only);
}

CASE(iret_sets_tf, ALL_NATIVE | RINGS, RULE_TF, CATCHES("model-db-twice"))
{
	single_step();
	setup.rflags &= ~X86_EFLAGS_TF;
	expect("#DB[BS]@next{TF}, #DB[BS]@end{TF}");
	try_iret(setup.rflags | X86_EFLAGS_FIXED | X86_EFLAGS_TF);
}

CASE(iret_clears_tf, ALL_NATIVE | RINGS, RULE_TF, CATCHES("xen-lazy-dr-bs-lost model-step-lost"))
{
	single_step();
	expect("#DB[BS]@after");
	try_iret((setup.rflags | X86_EFLAGS_FIXED) & ~X86_EFLAGS_TF);
}

CASE(tf_iret, ALL_NATIVE | RINGS, RULE_TF, CATCHES("model-step-lost"))
{
	single_step();
	expect("#DB[BS]@after{TF}, #DB[BS]@next{TF}, #DB[BS]@end{TF}");
	try_iret(setup.rflags | X86_EFLAGS_FIXED);
}

/* -- SYSCALL and SYSRET. ----------------------------------------------------------------------- */

/* 0F 07 in 64-bit code returns to compatibility mode, 48 0F 07 to 64-bit mode. */
SNIPPET_BOTH(
	syscall_snippet,
	"jmp 1f; mark target; nop; mark ret; sysretq; 1: mark insn; syscall; mark after; nop",
	"jmp 1f; mark target; nop; mark ret; .byte 0x0f, 0x07; 1: mark insn; syscall; mark after; nop");

static void try_syscall(uint64_t mask, const char *trace)
{
	single_step();
	aim_syscall(&syscall_snippet, "target", mask);
	if (setup.environment == COMPAT && cpu_is_intel())
		expect("#DB[BS]@insn{TF}, #UD@insn{TF,RF}"); /* SDM 2B, SYSCALL: 64-bit mode only */
	else
		expect("%s", trace);
	run(syscall_snippet);
	wrmsr(MSR_SFMASK, 0);
}

CASE(tf_syscall_masked, CPL3 | COMPAT, RULE_SYSCALL, CATCHES("bochs-syscall-tf cve-2017-7518"))
{
	try_syscall(X86_EFLAGS_TF, "#DB[BS]@insn{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
}

CASE(tf_syscall_unmasked, CPL3 | COMPAT, RULE_SYSCALL, CATCHES("model-step-lost"))
{
	try_syscall(
		0,
		"#DB[BS]@insn{TF}, #DB[BS]@target{TF}, #DB[BS]@ret{TF}, #DB[BS]@after{TF}, #DB[BS]@end{TF}");
}

/* -- DEBUGCTL.BTF. ----------------------------------------------------------------------------- */

#define RULE_BTF \
	"SDM 3B, Single-Stepping on Branches: with DEBUGCTL.BTF a step ends behind the next taken branch, and the #DB clears BTF"
#define MSR_DEBUGCTL 0x1d9
#define DEBUGCTL_BTF 2

SNIPPET(branches, "mark insn; nop; mark second; nop; mark third; jmp 1f; mark behind; nop; 1: mark after; nop");

CASE(btf, ALL_NATIVE, RULE_BTF, CATCHES("kvm-debugctl-not-saved model-btf-ignored"))
{
	need_of_machine(msr_takes(MSR_DEBUGCTL, DEBUGCTL_BTF), "DEBUGCTL.BTF");
	single_step();
	expect("#DB[BS]@after{TF}, #DB[BS]@end{TF}");
	run(branches);
	wrmsr(MSR_DEBUGCTL, 0);
}
