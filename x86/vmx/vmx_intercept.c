/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an execution control catches, and what it does not.
 *
 * The rule (SDM 3C, "Exceptions", "Other Causes of VM Exits", "Basic VM-Exit Information"). An exception's
 * bit in the bitmap catches the exception, and INT3, INTO and INT1 with theirs; the exit says which it was
 * by the type (6 for INT3 and INTO, 5 for INT1), and has the length of the instruction. It does not catch
 * INT n or an interrupt, whatever the vector: INT 14 is no #PF, INT 2 no NMI, an IPI on vector 20 no #VE.
 * An intercepted #PF or #DB has written neither CR2 nor DR6; the RFLAGS of a fault's exit have RF. An
 * instruction's exit has its length.
 *
 * The bugs that taught it. KVM's nested VMX took INT n for the exception of the same number
 * (CVE-2016-9588): the guest could make its hypervisor believe in exceptions that did not happen. The
 * mistake is as easy with vectors 16 to 31 that come through the APIC; #VE has a guest of its own, vmx_ve.c.
 *
 * What SVM catches alike is in intercept.h. A buggy hypervisor shows an event in the place of `exit …`, an
 * exit in the place of the event, or the wrong type.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_EXCEPTION \
	"SDM 3C, Exceptions: caught before delivery, by the exception bitmap; INT3 and INTO are software exceptions in the exit's information"
#define RULE_NOT_INT_N \
	"SDM 3C, Exceptions: the exception bitmap is not for INT n and external interrupts, whatever their vector"
#define RULE_CR2 "SDM 3C, Recording VM-Exit Information: CR2 is not written by a #PF that exits"
#define RULE_INT1 \
	"SDM 3C, Vectored-Event Information: #DB by INT1 is a privileged software exception"
#define RULE_LENGTH \
	"SDM 3C, Information for VM Exits Due to Instruction Execution: the instruction length is set for software exceptions and for instructions"
#define RULE_RF \
	"SDM 3C, Saving RIP, RSP, RFLAGS, and SSP: RF as the frame of the fault would have it"
#define RULE_DR6 \
	"SDM 3C, Recording VM-Exit Information: DR6 and DR7.GD are not changed by a #DB that exits"

#define BUGS_INT3 CATCHES("kvm-nvmx-soft-intercept")
#define BUGS_DB ""

#define CALL "vmcall"
#define SOFT "soft "
#define ALL_EXCEPTIONS (~0u)

static void intercept_instruction(struct l2 *v, uint32_t controls)
{
	(void)v;
	vmset(VMCS_CPU_CONTROLS, controls);
}

#include "../nested/intercept.h"

static enum l2_action show_and_end(struct l2 *v)
{
	l2_show_exit(v);
	return L2_END;
}

/* -- What the exit of an exception says. ------------------------------------------------------- */

SNIPPET(int1, "mark insn; .byte 0xf1; mark after; nop");

CASE(int1, IN_LONG_MODE, RULE_INT1, "")
{
	expect("exit priv #DB[]@insn");
	try_exceptions(&int1, ALL_EXCEPTIONS);
}

/* 66 and F2: neither changes what the instruction does. */
SNIPPET(int3_prefixed, "mark insn; .byte 0x66, 0xf2, 0xcc; mark after; nop");
SNIPPET(int1_prefixed, "mark insn; .byte 0x66, 0xf2, 0xf1; mark after; nop");

static uint64_t length_at_exit, dr6_at_exit;

static enum l2_action note_exit(struct l2 *v)
{
	length_at_exit = vmread(VMCS_EXIT_LENGTH);
	dr6_at_exit = l2_get(v, L2_DR6);
	return show_and_end(v);
}

static void try_length(const struct snippet *snippet)
{
	uint64_t length = mark_offset(snippet, "after") - mark_offset(snippet, "insn");

	length_at_exit = ~0ul;
	l2_setup.on_exit = note_exit;
	try_exceptions(snippet, ALL_EXCEPTIONS);
	check(length_at_exit == length, "the VM-exit instruction length is %lu, not %lu",
	      length_at_exit, length);
}

CASE(lengths, IN_LONG_MODE, RULE_LENGTH, "")
{
	expect("exit soft #BP@insn; exit soft #BP@insn; exit priv #DB[]@insn; exit priv #DB[]@insn");
	try_length(&int3);
	try_length(&int3_prefixed);
	try_length(&int1);
	try_length(&int1_prefixed);
}

CASE(length_of_into, COMPAT, RULE_LENGTH, "")
{
	setup.rflags = X86_EFLAGS_OF;
	expect("exit soft #OF@insn");
	try_length(&into);
}

CASE(fault_sets_rf, IN_LONG_MODE, RULE_RF, CATCHES("bochs-exit-rf"))
{
	setup.shown_flags = X86_EFLAGS_RF;
	window_map(0, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	expect("exit #UD@insn{RF}; exit #DE@insn{RF}; exit #GP(0x58)@insn{RF}; "
	       "exit #PF(%#x,cr2=window)@insn{RF}",
	       PF_WRITE | (environment_is_user() ? PF_USER : 0));
	try_exceptions(&ud, ALL_EXCEPTIONS);
	try_exceptions(&de, ALL_EXCEPTIONS);
	try_exceptions(&gp, ALL_EXCEPTIONS);
	try_exceptions(&pf, ALL_EXCEPTIONS);
}

CASE(trap_leaves_rf, IN_LONG_MODE, RULE_RF, "")
{
	setup.shown_flags = X86_EFLAGS_RF;
	expect("exit soft #BP@insn; exit priv #DB[]@insn");
	try_exceptions(&int3, ALL_EXCEPTIONS);
	try_exceptions(&int1, ALL_EXCEPTIONS);
}

CASE(dr6_is_not_written, IN_LONG_MODE, RULE_DR6, "")
{
	breakpoint_set(1, mark_address(&step, "after"), BREAK_CODE, 1);
	dr6_at_exit = ~0ul;
	l2_setup.on_exit = note_exit;
	expect("exit #DB[B1]@after");
	try_exceptions(&step, ALL_EXCEPTIONS);
	check(dr6_at_exit == DR6_CLEAR, "DR6 is %#lx at the exit", dr6_at_exit);
}

/* -- Instructions. ----------------------------------------------------------------------------- */

#define RULE_INSTRUCTION \
	"SDM 3C, Instructions That Cause VM Exits: caught before it has done anything, with its length"

SNIPPET(cpuid_insn, "vmcall; mark insn; cpuid; mark after; nop");
SNIPPET(invd_insn, "vmcall; mark insn; invd; mark after; nop");
SNIPPET(rdtsc_insn, "vmcall; mark insn; rdtsc; mark after; nop");
SNIPPET(pause_insn, "vmcall; mark insn; pause; mark after; nop");
SNIPPET(hlt_insn, "vmcall; mark insn; hlt; mark after; nop");
SNIPPET(out_insn, "vmcall; mov $0x80, %edx; mark insn; out %al, (%dx); mark after; nop");

static void try_instruction(const struct snippet *snippet, uint32_t control)
{
	l2_setup.on_exit = note_exit;
	length_at_exit = ~0ul;
	try_after_call(snippet, control ? control : NO_INSTRUCTION);
	check(length_at_exit == mark_offset(snippet, "after") - mark_offset(snippet, "insn"),
	      "the VM-exit instruction length is %lu", length_at_exit);
}

#define INSTRUCTION(name, environments, exit, control)  \
	CASE(name, environments, RULE_INSTRUCTION, "")  \
	{                                               \
		expect("exit " #exit "@insn");          \
		try_instruction(&name##_insn, control); \
	}

INSTRUCTION(cpuid, IN_LONG_MODE, CPUID, 0)
INSTRUCTION(invd, CPL0, INVD, 0)
INSTRUCTION(rdtsc, IN_LONG_MODE, RDTSC, CPU_RDTSC)
INSTRUCTION(pause, IN_LONG_MODE, PAUSE, CPU_PAUSE)
INSTRUCTION(hlt, CPL0, HLT, CPU_HLT)
INSTRUCTION(out, CPL0, IOIO, CPU_ALL_PORTS)
