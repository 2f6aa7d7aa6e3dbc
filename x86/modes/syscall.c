/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYSCALL, SYSRET, SYSENTER and SYSEXIT: what the CPU is afterwards.
 *
 * The rule. None of them reads a descriptor or the stack. SYSCALL takes CS and SS (CS + 8) from STAR, RIP from LSTAR (of 32-bit
 * code: CSTAR), puts the old RIP into RCX and the old RFLAGS into R11, and clears in RFLAGS what SFMASK has, and RF; RSP stays.
 * SYSRET takes CS + 16 and SS + 8 of STAR's other half with RPL 3, RIP from RCX and RFLAGS from R11, but RF and VM are clear.
 * SYSENTER takes CS, RSP and RIP from its three MSRs and SS from CS + 8, clears IF and VM, and saves nothing; SYSEXIT goes to CS + 16 (64-bit: + 32)
 * with SS behind it, RIP from RDX and RSP from RCX. TF traps behind each of them if it is set *then*: SFMASK may clear it,
 * R11 may set it. SYSENTER with a null SYSENTER_CS is #GP(0), SYSCALL without EFER.SCE #UD, SYSRET to a RCX that is not
 * canonical #GP(0) in the kernel on Intel (CVE-2012-0217 is what that did), after the return on AMD.
 *
 * Why a hypervisor must care. KVM and Xen emulate all four, where one vendor's CPU is shown on another's and where a
 * page is missing on the way; CVE-2015-0239 was SYSENTER in KVM's emulator, which took a null CS.
 *
 * What a buggy hypervisor shows here: another CS, SS, RSP or flag behind it, a #DB one instruction off, no #GP.
 *
 * INT 0x21 at the target shows the state there (its frame); the recorder leaves the snippet after it.
 */
#include "trapline.h"

#define RULE_SYSCALL \
	"SDM 2B, SYSCALL, Operation: RCX, R11, CS and SS of STAR, RFLAGS without SFMASK and RF"
#define RULE_SYSRET \
	"SDM 2B, SYSRET, Operation: CS, SS of STAR with RPL 3, RIP of RCX, RFLAGS of R11 without RF and VM"
#define RULE_SYSENTER \
	"SDM 2B, SYSENTER, Operation: CS, RSP, RIP of its MSRs, SS = CS + 8, IF cleared"
#define RULE_SYSEXIT \
	"SDM 2B, SYSEXIT, Operation: CS + 16 or + 32, SS behind it, RIP of RDX, RSP of RCX"
#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF as it is behind the instruction's own change of RFLAGS: SDM 2B, SYSCALL and SYSRET"
#define RULE_GP "SDM 2B, SYSENTER: #GP(0) if SYSENTER_CS is null; SYSEXIT: the same, and at CPL > 0"

#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176

/* What the frame of the first event shows. */
static struct iret_frame at_target;
static struct regs regs_at_target;

static enum action look(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != 0x21)
		return BY_RULE;
	at_target = frame->iret;
	regs_at_target = frame->regs;
	return LEAVE;
}

#define ALL_FLAGS (X86_EFLAGS_CF | X86_EFLAGS_IF | X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_AC)

static void check_state(uint16_t cs, uint16_t ss, uint64_t rsp, uint64_t rflags)
{
	check(at_target.cs == cs, "CS is %#lx, must be %#x", at_target.cs, cs);
	check(at_target.ss == ss, "SS is %#lx, must be %#x", at_target.ss, ss);
	check(at_target.rsp == rsp, "RSP is %#lx, must be %#lx", at_target.rsp, rsp);
	check(at_target.rflags == rflags, "RFLAGS are %#lx, must be %#lx", at_target.rflags,
	      rflags);
}

/* -- SYSCALL. --------------------------------------------------------------------------------------- */

SNIPPET_BOTH(
	call,
	"jmp 1f; mark target; int $0x21; mark behind; nop; 1: mark insn; syscall; mark after; nop",
	"nop");

static void star_of_ours(void)
{
	wrmsr(MSR_STAR, (uint64_t)(USER_CS32 & ~3) << 48 | (uint64_t)KERNEL_CS << 32);
}

static void try_syscall(uint64_t rflags, uint64_t mask, const char *trace)
{
	setup.rflags = rflags;
	setup.hook = look;
	setup.stack_top = stack_top(0, STACK_SNIPPET) - 40;
	star_of_ours();
	aim_syscall(&call, "target", mask);
	expect("%s", trace);
	run(call);
	wrmsr(MSR_SFMASK, 0);
}

#define SYSCALL_ROW(name, flags, mask, bugs)                                             \
	CASE(syscall_##name, CPL0 | CPL3 | RINGS, RULE_SYSCALL, bugs)                    \
	{                                                                                \
		try_syscall(flags, mask, "int 0x21@behind");                             \
		check_state(KERNEL_CS, KERNEL_DS, setup.stack_top,                       \
			    X86_EFLAGS_FIXED | ((flags) & ~(uint64_t)(mask)));           \
		check(regs_at_target.rcx == mark_address(&call, "after"), "RCX is %#lx", \
		      regs_at_target.rcx);                                               \
		check(regs_at_target.r11 == (X86_EFLAGS_FIXED | (flags)), "R11 is %#lx", \
		      regs_at_target.r11);                                               \
	}

#define LOST CATCHES("tcg-syscall-flags")
SYSCALL_ROW(keeps_flags, ALL_FLAGS, 0, LOST)
SYSCALL_ROW(masks_if, ALL_FLAGS, X86_EFLAGS_IF, LOST)
SYSCALL_ROW(masks_all, ALL_FLAGS, 0xfffffffd, "")
SYSCALL_ROW(masks_iopl_nt, ALL_FLAGS | X86_EFLAGS_IOPL | X86_EFLAGS_NT,
	    X86_EFLAGS_IOPL | X86_EFLAGS_NT, LOST)
SYSCALL_ROW(mask_of_clear_flags, 0, 0xfffffffd, "")

CASE(syscall_without_sce, CPL0 | CPL3, "SDM 2B, SYSCALL: #UD without EFER.SCE", "")
{
	uint64_t efer = rdmsr(MSR_EFER);

	setup.hook = look;
	aim_syscall(&call, "target", 0);
	wrmsr(MSR_EFER, efer & ~(uint64_t)EFER_SCE);
	expect("#UD@insn");
	run(call);
	wrmsr(MSR_EFER, efer);
}

/* -- SYSRET. ---------------------------------------------------------------------------------------- */

SNIPPET_BOTH(
	ret,
	"lea 1f(%rip), %rcx; mov %r11, %r11; mark insn; sysretq; 1: mark target; int $0x21; mark behind; nop",
	"nop");
SNIPPET_BOTH(ret_to_rcx, "mark insn; sysretq; mark after; nop", "nop");

static void try_sysret(uint64_t flags, const char *trace)
{
	star_of_ours();
	setup.hook = look;
	setup.stack_top = stack_top(0, STACK_SNIPPET) - 40;
	setup.regs.r11 = flags;
	expect("%s", trace);
	run(ret);
}

#define SYSRET_ROW(name, flags, right, bugs)                           \
	CASE(sysret_##name, CPL0, RULE_SYSRET, bugs)                   \
	{                                                              \
		try_sysret(flags, "int 0x21@behind");                  \
		check_state(USER_CS, USER_DS, setup.stack_top, right); \
	}

SYSRET_ROW(loads_flags, ALL_FLAGS | X86_EFLAGS_FIXED | X86_EFLAGS_IOPL | X86_EFLAGS_NT,
	   ALL_FLAGS | X86_EFLAGS_FIXED | X86_EFLAGS_IOPL | X86_EFLAGS_NT, "")
SYSRET_ROW(sets_bit_1, 0, X86_EFLAGS_FIXED, "")
SYSRET_ROW(clears_rf, X86_EFLAGS_FIXED | X86_EFLAGS_RF, X86_EFLAGS_FIXED, CATCHES("tcg-sysret-rf"))

CASE(sysret_sets_tf, CPL0, RULE_TF, CATCHES("bochs-syscall-tf"))
{
	setup.shown_flags = X86_EFLAGS_TF;
	try_sysret(X86_EFLAGS_FIXED | X86_EFLAGS_TF, "#DB[BS]@target{TF}, int 0x21@behind{TF}");
}

#define SYSRET_TO(name, address)                                                                                               \
	CASE(sysret_to_##name, CPL0,                                                                                           \
	     "SDM 2B, SYSRET: #GP(0) in the kernel if RCX is not canonical; APM 3, SYSRET: the #GP is the target's, at CPL 3", \
	     CATCHES("bochs-sysret-amd"))                                                                                      \
	{                                                                                                                      \
		star_of_ours();                                                                                                \
		setup.regs.rcx = address;                                                                                      \
		setup.regs.r11 = X86_EFLAGS_FIXED;                                                                             \
		notation_name("rcx", address, 1);                                                                              \
		if (cpu_is_intel()) {                                                                                          \
			expect("#GP(0x0)@insn");                                                                               \
		} else {                                                                                                       \
			expect("#GP(0x0)@rcx");                                                                                \
		}                                                                                                              \
		run(ret_to_rcx);                                                                                               \
	}

SYSRET_TO(hole_below, 0x0000800000000000)
SYSRET_TO(hole_above, 0xffff7fffffffffff)

/* -- SYSENTER and SYSEXIT. --------------------------------------------------------------------------- */

SNIPPET_BOTH(
	enter,
	"jmp 1f; mark target; int $0x21; mark behind; nop; 1: mark insn; sysenter; mark after; nop",
	"jmp 1f; mark target; int $0x21; mark behind; nop; 1: mark insn; sysenter; mark after; nop");
SNIPPET_BOTH(leave, "mark insn; sysexitq; mark target; int $0x21; mark behind; nop", "nop");

static void aim_sysenter(const struct snippet *snippet, uint16_t cs)
{
	wrmsr(MSR_SYSENTER_CS, cs);
	wrmsr(MSR_SYSENTER_ESP, stack_top(0, STACK_SNIPPET) - 512);
	wrmsr(MSR_SYSENTER_EIP, mark_address(snippet, "target"));
}

static void no_sysenter(void)
{
	wrmsr(MSR_SYSENTER_CS, 0);
	wrmsr(MSR_SYSENTER_ESP, 0);
	wrmsr(MSR_SYSENTER_EIP, 0);
}

static bool has_sysenter(void)
{
	return cpu_is_intel();
}

/* APM 3, SYSENTER and SYSEXIT: #UD in long mode, compatibility mode included. */
#define BUGS_AMD CATCHES("tcg-sysenter-compat bochs-sysenter-amd kvm-sysenter-64")

CASE(sysenter, CPL0 | CPL3 | COMPAT | RINGS, RULE_SYSENTER, BUGS_AMD)
{
	setup.hook = look;
	setup.rflags = ALL_FLAGS;
	aim_sysenter(&enter, KERNEL_CS);
	if (has_sysenter())
		expect("int 0x21@behind");
	else
		expect("#UD@insn");
	run(enter);
	if (has_sysenter())
		check_state(KERNEL_CS, KERNEL_DS, stack_top(0, STACK_SNIPPET) - 512,
			    X86_EFLAGS_FIXED | (ALL_FLAGS & ~X86_EFLAGS_IF));
	no_sysenter();
}

CASE(sysenter_null_cs, CPL0 | CPL3 | COMPAT | RINGS, RULE_GP, BUGS_AMD)
{
	setup.hook = look;
	aim_sysenter(&enter, 3);
	expect(has_sysenter() ? "#GP(0x0)@insn" : "#UD@insn");
	run(enter);
	no_sysenter();
}

CASE(sysexit, CPL0, RULE_SYSEXIT, CATCHES("bochs-sysenter-amd kvm-sysexit-amd"))
{
	setup.hook = look;
	setup.rflags = ALL_FLAGS;
	aim_sysenter(&leave, KERNEL_CS);
	setup.regs.rcx = stack_top(0, STACK_SNIPPET) - 512;
	setup.regs.rdx = mark_address(&leave, "target");
	if (has_sysenter())
		expect("int 0x21@behind");
	else
		expect("#UD@insn");
	run(leave);
	if (has_sysenter())
		check_state(USER_CS, (KERNEL_CS + 40) | 3, setup.regs.rcx,
			    X86_EFLAGS_FIXED | ALL_FLAGS);
	no_sysenter();
}
