/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an execution control catches, and what it does not.
 *
 * The rule (SDM 3C, "Exceptions", "Other Causes of VM Exits", "Basic VM-Exit Information"). An exception's
 * bit in the bitmap catches the exception, and INT3, INTO and INT1 with theirs; the exit says which it was
 * by the type (6 for INT3 and INTO, 5 for INT1), and has the length of the instruction. It does not catch
 * INT n or an interrupt, whatever the vector: INT 14 is no #PF, INT 2 no NMI, an IPI on vector 20 no #VE.
 * An intercepted #PF or #DB has written neither CR2 nor DR6; the RFLAGS of a fault's exit have RF. With
 * external-interrupt exiting L2's IF means nothing; the interrupt stays pending, or is acknowledged by the
 * exit, as L1 chose. Windows open before the interrupt or NMI that L1 waits to inject. An EPT violation can
 * be a #VE instead, with all that the exit would have said in a page of L2's.
 *
 * The bugs that taught it. KVM's nested VMX took INT n for the exception of the same number
 * (CVE-2016-9588): the guest could make its hypervisor believe in exceptions that did not happen. The
 * mistake is as easy with vectors 16 to 31 that come through the APIC, #VE's 20 among them.
 *
 * What SVM catches alike is in intercept.h. A buggy hypervisor shows an event in the place of `exit …`, an
 * exit in the place of the event, or the wrong type.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/vmx/vmx.h"

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
#define RULE_INTR \
	"SDM 3C, Other Causes of VM Exits: an external interrupt exits whatever RFLAGS.IF says, and stays pending if it is not acknowledged"
#define RULE_ACK \
	"SDM 3C, Vectored-Event Information: acknowledged on exit, the interrupt's vector is in the exit's information and in service"
#define RULE_WINDOW \
	"SDM 3C, Other Causes of VM Exits: a window's exit comes at the first boundary where the event could be taken, and before an external interrupt"
#define RULE_NMI "SDM 3C, Other Causes of VM Exits: with NMI exiting an NMI is an exit"
#define RULE_VE \
	"SDM 3C, Virtualization Exceptions: an EPT violation becomes #VE and fills the information area; INT 20 and interrupts on 20 do not"

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

#include "intercept.h"

#define PENDING_VECTOR 0x31
#define APIC_ICR_ADDRESS 0xfee00300ul

static enum l2_action show_and_end(struct l2 *v)
{
	l2_show_exit(v);
	return L2_END;
}

/* -- What the exit of an exception says. ---------------------------------------------------------------------------- */

SNIPPET(int1, "mark insn; .byte 0xf1; mark after; nop");

CASE(int1, ALL_NATIVE, RULE_INT1, "")
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

CASE(lengths, ALL_NATIVE, RULE_LENGTH, "")
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

CASE(fault_sets_rf, ALL_NATIVE, RULE_RF, CATCHES("bochs-exit-rf"))
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

CASE(trap_leaves_rf, ALL_NATIVE, RULE_RF, "")
{
	setup.shown_flags = X86_EFLAGS_RF;
	expect("exit soft #BP@insn; exit priv #DB[]@insn");
	try_exceptions(&int3, ALL_EXCEPTIONS);
	try_exceptions(&int1, ALL_EXCEPTIONS);
}

CASE(dr6_is_not_written, ALL_NATIVE, RULE_DR6, "")
{
	breakpoint_set(1, mark_address(&step, "after"), BREAK_CODE, 1);
	dr6_at_exit = ~0ul;
	l2_setup.on_exit = note_exit;
	expect("exit #DB[B1]@after");
	try_exceptions(&step, ALL_EXCEPTIONS);
	check(dr6_at_exit == DR6_CLEAR, "DR6 is %#lx at the exit", dr6_at_exit);
}

/* -- Instructions. ----------------------------------------------------------------------------------------------------- */

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

INSTRUCTION(cpuid, ALL_NATIVE, CPUID, 0)
INSTRUCTION(invd, CPL0, INVD, 0)
INSTRUCTION(rdtsc, ALL_NATIVE, RDTSC, CPU_RDTSC)
INSTRUCTION(pause, ALL_NATIVE, PAUSE, CPU_PAUSE)
INSTRUCTION(hlt, CPL0, HLT, CPU_HLT)
INSTRUCTION(out, CPL0, IOIO, CPU_ALL_PORTS)

/* -- External interrupts. ------------------------------------------------------------------------------------------------ */

static struct {
	bool in_irr, in_isr;
	uint32_t info;
} at_exit;

static enum l2_action take_interrupt(struct l2 *v)
{
	if (vmx_reason(v) != VMX_EXTERNAL_INTERRUPT)
		return L2_UNEXPECTED;
	at_exit.in_irr = apic_bit(APIC_IRR, PENDING_VECTOR);
	at_exit.in_isr = apic_bit(APIC_ISR, PENDING_VECTOR);
	at_exit.info = vmread(VMCS_EXIT_EVENT);
	if (at_exit.in_isr)
		apic_eoi();
	else
		l2_window(true);
	return L2_RESUME;
}

static uint32_t pin_controls, cpu_controls, exit_controls;
static uint64_t interruptibility;

static void exit_on_interrupts(struct l2 *v)
{
	(void)v;
	vmset(VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT);
}

/* At the first call only. */
static void pend(struct l2 *v)
{
	if (v->exits > 1)
		return;
	vmset(VMCS_PIN_CONTROLS, pin_controls);
	vmset(VMCS_CPU_CONTROLS, cpu_controls);
	vmset(VMCS_EXIT_CONTROLS, exit_controls);
	vmset(VMCS_GUEST_INTERRUPTIBILITY, interruptibility);
	if (pin_controls & PIN_EXTERNAL_INTERRUPT)
		interrupt_pending(PENDING_VECTOR);
}

SNIPPET(call_again, "mark call; vmcall; mark target; nop; mark again; vmcall; mark after; nop");
SNIPPET(call_sti, "mark call; vmcall; mark target; sti; mark shadow; nop; mark after; nop; cli; nop");

static void try_pending(const struct snippet *snippet, uint32_t pin, uint32_t cpu, uint32_t exit)
{
	pin_controls = pin;
	cpu_controls = cpu;
	exit_controls = exit;
	interruptibility = 0;
	l2_setup.on_call = pend;
	l2_setup.show_exits = true;
	run_snippet(snippet);
}

static void try_interrupt(uint32_t exit)
{
	apic_enable(0);
	memset(&at_exit, 0, sizeof(at_exit));
	l2_setup.on_exit = take_interrupt;
	try_pending(&call_again, PIN_EXTERNAL_INTERRUPT, 0, exit);
}

CASE_NEEDS("apic=1", intr, ALL_NATIVE, RULE_INTR, "")
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR@target, L1 intr 0x31");
	try_interrupt(0);
	check(at_exit.in_irr && !at_exit.in_isr, "at the exit the interrupt is not in IRR alone");
	check(!(at_exit.info & L2_EVENT_VALID), "the exit's information is %#x", at_exit.info);
}

CASE_NEEDS("apic=1", intr_if0, ALL_NATIVE, RULE_INTR, CATCHES("bochs-vmentry-pending-intr"))
{
	expect("exit INTR@target, L1 intr 0x31");
	try_interrupt(0);
}

SNIPPET(send_ipi, "mark call; vmcall; mov %eax, (%edi); area insn; nop; nop; nop; nop; nop; nop; "
		  "mark after; nop");

/* It comes while L2 runs: L2 sends it to itself. */
CASE_NEEDS("apic=1", intr_if0_sent, ALL_NATIVE, RULE_INTR, CATCHES("bochs-vmentry-pending-intr"))
{
	apic_enable(0);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_SELF | ICR_FIXED | ICR_ASSERT | PENDING_VECTOR;
	l2_setup.on_call = exit_on_interrupts;
	l2_setup.on_exit = take_interrupt;
	l2_setup.show_exits = true;
	expect("exit INTR@insn, L1 intr 0x31");
	run(send_ipi);
}

CASE_NEEDS("apic=1", intr_acknowledged, ALL_NATIVE, RULE_ACK, "")
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR@target");
	try_interrupt(EXIT_ACK_INTERRUPT);
	check(!at_exit.in_irr && at_exit.in_isr, "at the exit the interrupt is not in ISR alone");
	check(at_exit.info == (L2_EVENT_VALID | L2_INTR | PENDING_VECTOR),
	      "the exit's information is %#x", at_exit.info);
}

static void pend_only(struct l2 *v)
{
	if (v->exits == 1)
		interrupt_pending(PENDING_VECTOR);
}

CASE_NEEDS(
	"apic=1", intr_not_intercepted, ALL_NATIVE,
	"SDM 3C, Event Blocking: without external-interrupt exiting interrupts are the guest's, by its IF",
	"")
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	l2_setup.on_call = pend_only;
	l2_setup.show_exits = true;
	expect("intr 0x31@target");
	run(call_again);
}

/* -- Windows. ------------------------------------------------------------------------------------------------------------- */

static void try_window(const struct snippet *snippet, uint64_t state)
{
	interruptibility = state;
	cpu_controls = CPU_INTERRUPT_WINDOW;
	pin_controls = exit_controls = 0;
	l2_setup.on_call = pend;
	run_snippet(snippet);
}

CASE(window, ALL_NATIVE, RULE_WINDOW, "")
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR_WINDOW@target");
	try_window(&call_again, 0);
}

CASE(window_if0, ALL_NATIVE, RULE_WINDOW, "")
{
	expect("(none)");
	try_window(&call_again, 0);
}

CASE(window_behind_sti, ALL_NATIVE, RULE_WINDOW, "")
{
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	expect("exit INTR_WINDOW@after");
	try_window(&call_sti, 0);
}

CASE(window_behind_shadow, ALL_NATIVE, RULE_WINDOW, "")
{
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR_WINDOW@again x2");
	try_window(&call_again, BLOCKED_BY_STI);
	try_window(&call_again, BLOCKED_BY_MOV_SS);
}

CASE_NEEDS("apic=1", window_before_interrupt, ALL_NATIVE, RULE_WINDOW, "")
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	expect("exit INTR_WINDOW@target");
	try_pending(&call_again, PIN_EXTERNAL_INTERRUPT, CPU_INTERRUPT_WINDOW, 0);
	interrupts_drain();
}

/* -- NMIs. ------------------------------------------------------------------------------------------------------------------ */

SNIPPET(send_nmi, "mark call; vmcall; mov %eax, (%edi); area insn; nop; nop; nop; nop; nop; nop; "
		  "mark after; nop");

static uint32_t nmi_info;

/* Then L1 has NMIs blocked: the exit does that, and l2.c ends it. */
static enum l2_action note_nmi(struct l2 *v)
{
	nmi_info = vmread(VMCS_EXIT_EVENT);
	return show_and_end(v);
}

static void try_nmi(uint32_t pin)
{
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	pin_controls = pin;
	cpu_controls = exit_controls = 0;
	interruptibility = 0;
	l2_setup.on_call = pend;
	run(send_nmi);
}

CASE_NEEDS("apic=1", nmi, ALL_NATIVE, RULE_NMI, "")
{
	apic_enable(0);
	nmi_info = 0;
	l2_setup.on_exit = note_nmi;
	expect("exit nmi@insn");
	try_nmi(PIN_NMI);
	check(nmi_info == (L2_EVENT_VALID | L2_NMI | 2), "the exit's information is %#x", nmi_info);
}

CASE_NEEDS("apic=1", nmi_not_intercepted, ALL_NATIVE, RULE_NMI, "")
{
	apic_enable(0);
	expect("nmi@insn");
	try_nmi(0);
}

static void try_nmi_window(uint64_t state)
{
	interruptibility = state;
	pin_controls = PIN_NMI | PIN_VIRTUAL_NMIS;
	cpu_controls = CPU_NMI_WINDOW;
	exit_controls = 0;
	l2_setup.on_call = pend;
	run(call_again);
}

CASE(nmi_window, ALL_NATIVE, RULE_WINDOW, "")
{
	expect("exit NMI_WINDOW@target");
	try_nmi_window(0);
}

CASE(nmi_window_behind_movss, ALL_NATIVE, RULE_WINDOW, "")
{
	expect("exit NMI_WINDOW@again");
	try_nmi_window(BLOCKED_BY_MOV_SS);
}

/* The snippet has no IRET; the handler of its closing UD2 has one. */
CASE(nmi_window_blocked, ALL_NATIVE, RULE_WINDOW, "")
{
	notation_name("behind_iret", (uint64_t)snippet_leave, 1);
	expect("exit NMI_WINDOW@behind_iret");
	try_nmi_window(BLOCKED_BY_NMI);
}

/* -- #VE. ------------------------------------------------------------------------------------------------------------------- */

#define VECTOR_VE 20
#define EPT_SUPPRESS_VE (1ul << 63)
#define UNTOUCHED 0x55

struct ve_info {
	uint32_t reason, busy;
	uint64_t qualification, linear, physical;
	uint16_t eptp_index;
};

static union {
	struct ve_info info;
	uint8_t bytes[PAGE_BYTES];
} ve_area __attribute__((aligned(4096)));
static uint8_t missing[PAGE_BYTES] __attribute__((aligned(4096)));

static bool suppress_ve;

static void use_ve(struct l2 *v)
{
	l2_intercept_exceptions(v, exceptions);
	vmwrite(VMCS_VE_INFO_ADDRESS, (uint64_t)&ve_area);
	vmset(VMCS_SECONDARY_CONTROLS, SECONDARY_VE);
	slat_unmap((uint64_t)missing);
	if (suppress_ve)
		*slat_entry((uint64_t)missing) |= EPT_SUPPRESS_VE;
}

SNIPPET(touch, "mark call; vmcall; mark insn; movl $0, (%edi); mark after; nop");
SNIPPET(int_0x14, "mark call; vmcall; mark insn; int $0x14; mark after; nop");

static void need_ve(void)
{
	need(layer == &layer_vmx, "#VE comes of EPT violations, and there is no EPT");
	need(vmx_has_secondary(SECONDARY_VE), "the CPU has no EPT-violation #VE");
	memset(&ve_area, UNTOUCHED, sizeof(ve_area));
	ve_area.info.busy = 0;
	suppress_ve = false;
	notation_name("missing", (uint64_t)missing, PAGE_BYTES);
}

static void try_ve(const struct snippet *snippet, uint32_t intercepted)
{
	exceptions = intercepted;
	setup.regs.rdi = (uint64_t)missing;
	l2_setup.on_call = use_ve;
	run_snippet(snippet);
	*slat_entry((uint64_t)missing) &= ~EPT_SUPPRESS_VE;
}

static void check_filled(void)
{
	const struct ve_info *i = &ve_area.info;

	check(i->reason == VMX_EPT_VIOLATION && i->busy == ~0u,
	      "the area says reason %#x, busy %#x", i->reason, i->busy);
	check((i->qualification & EPT_QUALIFICATION) ==
		      (EPT_WRITE | EPT_LINEAR_VALID | EPT_OF_LINEAR),
	      "the area's qualification is %#lx", i->qualification);
	check(i->linear == (uint64_t)missing && i->physical == (uint64_t)missing,
	      "the area's addresses are %#lx and %#lx", i->linear, i->physical);
}

static void check_untouched(void)
{
	bool same = ve_area.info.busy == 0;

	for (unsigned i = 0; i < sizeof(struct ve_info); i++)
		same &= ve_area.bytes[i] == UNTOUCHED || (i >= 4 && i < 8);
	check(same, "the information area was written");
}

CASE(ve, ALL_NATIVE, RULE_VE, "")
{
	need_ve();
	expect("#VE@insn");
	try_ve(&touch, 0);
	check_filled();
}

CASE(ve_intercepted, ALL_NATIVE, RULE_VE, "")
{
	need_ve();
	expect("exit #VE@insn");
	try_ve(&touch, EXCEPTION(VECTOR_VE));
	check_filled();
}

CASE(ve_int_20, ALL_NATIVE, RULE_VE, CATCHES("kvm-nvmx-soft-intercept"))
{
	need_ve();
	expect("int 0x14@after");
	try_ve(&int_0x14, EXCEPTION(VECTOR_VE));
	check_untouched();
}

static void use_ve_and_pend(struct l2 *v)
{
	use_ve(v);
	interrupt_pending(VECTOR_VE);
}

CASE_NEEDS("apic=1", ve_ipi_20, ALL_NATIVE, RULE_VE, CATCHES("kvm-nvmx-soft-intercept"))
{
	need_ve();
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	exceptions = EXCEPTION(VECTOR_VE);
	l2_setup.on_call = use_ve_and_pend;
	expect("intr 0x14@target");
	run(call);
	check_untouched();
}

static void use_ve_and_inject(struct l2 *v)
{
	use_ve(v);
	l2_inject(v, L2_EXCEPTION | VECTOR_VE, 0, 0);
}

CASE(ve_injected, ALL_NATIVE,
     "SDM 3C, Event Injection: injected events do not cause exits by the exception bitmap, nor do they fill the area",
     "")
{
	need_ve();
	exceptions = EXCEPTION(VECTOR_VE);
	l2_setup.on_call = use_ve_and_inject;
	expect("#VE@target");
	run(call);
	check_untouched();
}

#define RULE_NO_VE                                                                             \
	"SDM 3C, Convertible EPT Violations: not where bit 63 of the entry is set, nor while " \
	"the area is busy"

CASE(ve_suppressed, ALL_NATIVE, RULE_NO_VE, "")
{
	need_ve();
	suppress_ve = true;
	expect("exit EPT_VIOLATION(0x182,gpa=missing)@insn");
	try_ve(&touch, 0);
	check_untouched();
}

CASE(ve_area_busy, ALL_NATIVE, RULE_NO_VE, "")
{
	need_ve();
	ve_area.info.busy = 1;
	expect("exit EPT_VIOLATION(0x182,gpa=missing)@insn");
	try_ve(&touch, 0);
	check(ve_area.info.busy == 1 && ve_area.bytes[0] == UNTOUCHED, "the area was written");
}
