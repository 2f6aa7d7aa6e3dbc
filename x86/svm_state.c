/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What VMRUN and #VMEXIT carry between L1 and L2, and what they must not.
 *
 * The rule (APM 2, "VMRUN", "#VMEXIT", "Global Interrupt Flag", "Interrupt and Local APIC Support").
 * For L1, VMRUN is one instruction: with TF set the #DB comes after it, at the instruction behind, and
 * never by L2's TF. L2's TF traps after its first instruction, its RF spares that one a breakpoint. The
 * interrupt shadow is L2's own: written to the VMCB at the exit, in force again at VMRUN. A virtual
 * interrupt obeys L2's IF, its shadow and V_TPR, and V_IRQ is clear once it was taken. With
 * V_INTR_MASKING, L1's IF at VMRUN decides on physical interrupts and L2's on virtual ones alone.
 * #VMEXIT clears GIF: until STGI no interrupt and no NMI comes, breakpoints are discarded, TF works. It
 * disables the breakpoints in DR7. A triple fault of L2 is an exit. State that cannot be is
 * VMEXIT_INVALID and nothing else.
 *
 * The bugs that taught it. KVM lost L1's single step over VMRUN (9a7de6ecc3ed, 5.13), and leaked its
 * own STI shadow into L2 (be45bc4eff33, 6.14); Xen had the same (c989ff614f). QEMU before 9.1 knew neither
 * TF nor the shadow at VMRUN, and left L1's breakpoints armed. Bochs carries L2's single step over
 * #VMEXIT into L1, and died of a triple fault in L2.
 *
 * A buggy hypervisor shows an `L1 #DB` or an `L1 nmi` too many or too few, an interrupt one instruction
 * early or late, or an exit that nobody asked for.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/svm/svm.h"

#define RULE_TF \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: the host's TF traps after VMRUN has completed, which is after #VMEXIT"
#define RULE_GUEST_TF \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: guest values of EFLAGS have no effect on the host"
#define RULE_GUEST_RF \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: the guest's RF spares its first instruction a breakpoint"
#define RULE_SHADOW \
	"APM 2, Interrupt Shadows: INTERRUPT_SHADOW is saved on #VMEXIT and loaded on VMRUN"
#define RULE_V_IRQ \
	"APM 2, Injecting Virtual (INTR) Interrupts: taken if IF, GIF, V_TPR and the interrupt shadow allow it"
#define RULE_MASKING \
	"APM 2, Physical (INTR) Interrupt Masking in EFLAGS: with V_INTR_MASKING the host's IF at VMRUN controls physical interrupts"
#define RULE_GIF "APM 2, Global Interrupt Flag: interrupts and NMIs are held pending while GIF is 0"
#define RULE_GIF_DB \
	"APM 2, Global Interrupt Flag: with GIF=0 breakpoints are ignored and discarded, EFLAGS.TF works"
#define RULE_DR7 "APM 2, #VMEXIT: disables all breakpoints in the host's DR7"
#define RULE_INVALID \
	"APM 2, Canonicalization and Consistency Checks: illegal state is VMEXIT_INVALID"

#define RULE_TF_LOADED \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: the guest's TF traps after its first instruction, not before it"

#define BUGS_GUEST_TF CATCHES("bochs-vmexit-tf")
#define BUGS_NO_SHADOW CATCHES("svm-sti-leak")

#define CALL "vmmcall"
static void name_places(void)
{
	notation_name("vmrun", (uint64_t)svm_vmrun_insn, svm_vmrun_next - svm_vmrun_insn);
	notation_name("after_vmrun", (uint64_t)svm_vmrun_next, 1);
	notation_name("snippet_enter", (uint64_t)snippet_enter, 64);
}

#include "carried.h"

#define PENDING_VECTOR 0x31
#define VIRTUAL_VECTOR 0x51

SNIPPET(call_twice, "mark call; vmmcall; mark target; nop; mark after; nop; mark again; vmmcall; "
		    "mark last; nop");
SNIPPET(call_sti, "mark call; vmmcall; mark target; sti; mark shadow; nop; mark after; nop; mark third; "
		  "nop; cli; mark again; vmmcall; mark last; nop");
/* -- TF and RF. ----------------------------------------------------------------------------------------------------------- */

static void stop_stepping(struct l2 *v)
{
	(void)v;
	l2_setup.host_rflags = 0;
}

CASE(host_tf, ALL_NATIVE, RULE_TF, CATCHES("vmrun-tf bochs-vmrun-tf"))
{
	name_places();
	l2_setup.host_rflags = X86_EFLAGS_TF;
	l2_setup.on_call = stop_stepping;
	expect("L1 #DB[BS]@after_vmrun");
	run(call);
}

/* -- The interrupt shadow. ------------------------------------------------------------------------------------------------- */

static void shadow_with_pending(struct l2 *v)
{
	if (v->exits > 1)
		return;
	v->vmcb->int_state |= SVM_INTERRUPT_SHADOW;
	interrupt_pending(PENDING_VECTOR);
}

CASE_NEEDS("apic=1", shadow_in, ALL_NATIVE, RULE_SHADOW, CATCHES("tcg-vmrun-shadow"))
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	l2_setup.on_call = shadow_with_pending;
	expect("intr 0x31@after");
	run(call_twice);
}

/* STI in L1 right before VMRUN, as every hypervisor that wants interrupts in L2 has it. */
static void sti_before_vmrun(struct l2 *v)
{
	if (v->exits == 1) {
		l2_setup.host_rflags = X86_EFLAGS_IF;
		v->vmcb->int_control |= SVM_V_INTR_MASKING;
	} else {
		l2_setup.host_rflags = 0;
		note_shadow(v);
	}
}

CASE(no_shadow_from_l1, ALL_NATIVE, RULE_SHADOW, CATCHES("svm-sti-leak"))
{
	shadow = NOT_SEEN;
	l2_setup.on_call = sti_before_vmrun;
	run(call_twice);
	check(!shadow, "INTERRUPT_SHADOW is set at an exit without STI");
}

/* -- Virtual interrupts. ---------------------------------------------------------------------------------------------------- */

static struct {
	uint32_t int_control, at_end;
	uint64_t int_state;
} virtual;

static void make_virtual(struct l2 *v)
{
	if (v->exits > 1) {
		virtual.at_end = v->vmcb->int_control;
		v->vmcb->int_control &= ~SVM_V_IRQ;
		return;
	}
	v->vmcb->v_intr_vector = VIRTUAL_VECTOR;
	v->vmcb->int_control |= SVM_V_IRQ | virtual.int_control;
	v->vmcb->int_state |= virtual.int_state;
}

static void try_virtual(const struct snippet *snippet, uint32_t int_control, bool taken)
{
	virtual.int_control = int_control;
	virtual.int_state = 0;
	virtual.at_end = ~0u;
	l2_setup.on_call = make_virtual;
	run_snippet(snippet);
	check(!(virtual.at_end & SVM_V_IRQ) == taken, "V_IRQ is %s at the exit behind it",
	      taken ? "still set" : "clear");
}

CASE(v_irq, ALL_NATIVE, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@target");
	try_virtual(&call_twice, SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, true);
}

CASE(v_irq_without_masking, ALL_NATIVE, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@target");
	try_virtual(&call_twice, SVM_V_PRIORITY(5), true);
}

CASE(v_irq_if0, ALL_NATIVE, RULE_V_IRQ, "")
{
	expect("(none)");
	try_virtual(&call_twice, SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, false);
}

CASE(v_irq_sti, ALL_NATIVE, RULE_V_IRQ, "")
{
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	expect("extint 0x51@after");
	try_virtual(&call_sti, SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, true);
}

CASE(v_irq_shadow, ALL_NATIVE, RULE_V_IRQ, CATCHES("tcg-vmrun-shadow bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@after");
	virtual.int_control = SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING;
	virtual.int_state = SVM_INTERRUPT_SHADOW;
	l2_setup.on_call = make_virtual;
	run(call_twice);
}

CASE(v_irq_tpr, ALL_NATIVE, RULE_V_IRQ, CATCHES("tcg-v-tpr"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("(none)");
	try_virtual(&call_twice, SVM_V_PRIORITY(5) | 5 | SVM_V_INTR_MASKING, false);
}

CASE(v_irq_ignore_tpr, ALL_NATIVE, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@target");
	try_virtual(&call_twice, SVM_V_PRIORITY(5) | 15 | SVM_V_IGNORE_TPR | SVM_V_INTR_MASKING,
		    true);
}

static void intercept_vintr(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_VINTR);
}

CASE(v_irq_intercepted, ALL_NATIVE,
     "APM 2, Virtual Interrupt Intercept: taken just before the interrupt, which stays pending in V_IRQ",
     "")
{
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	l2_setup.before = intercept_vintr;
	virtual.int_control = SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING;
	virtual.int_state = 0;
	l2_setup.on_call = make_virtual;
	expect("exit VINTR@after");
	run(call_sti);
}

/* -- Physical interrupts at VMRUN. -------------------------------------------------------------------------------------------- */

static enum l2_action take_intr(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT(INTR))
		return L2_UNEXPECTED;
	l2_window(true);
	return L2_RESUME;
}

static void intercept_intr(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_INTR);
	v->vmcb->int_control |= SVM_V_INTR_MASKING;
}

/* L1 makes an interrupt pending, enters L2, and takes at the second call what is left. */
static void pend_then_take(struct l2 *v)
{
	if (v->exits == 1)
		interrupt_pending(PENDING_VECTOR);
	else
		l2_window(true);
}

static void try_masked(const struct snippet *snippet, uint64_t host_if)
{
	apic_enable(0);
	l2_setup.host_rflags = host_if;
	l2_setup.before = intercept_intr;
	l2_setup.on_call = pend_then_take;
	l2_setup.on_exit = take_intr;
	l2_setup.show_exits = true;
	run_snippet(snippet);
}

CASE_NEEDS("apic=1", pending_at_vmrun, ALL_NATIVE, RULE_MASKING, CATCHES("bochs-pending-at-vmrun"))
{
	expect("exit INTR@target, L1 intr 0x31");
	try_masked(&call_twice, X86_EFLAGS_IF);
}

/* L1 has it masked: L2 runs on, whatever its own IF says. */
CASE_NEEDS("apic=1", pending_host_if0, ALL_NATIVE, RULE_MASKING, CATCHES("bochs-intr-masking"))
{
	expect("L1 intr 0x31");
	try_masked(&call_twice, 0);
}

CASE_NEEDS("apic=1", pending_host_if0_guest_if1, ALL_NATIVE, RULE_MASKING,
	   CATCHES("bochs-intr-masking"))
{
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	expect("L1 intr 0x31");
	try_masked(&call_sti, 0);
}

/* The same without the intercept: what L1's IF lets through goes to L2's own IDT, whatever L2's IF. */
static void mask_intr(struct l2 *v)
{
	v->vmcb->int_control |= SVM_V_INTR_MASKING;
}

static void try_not_intercepted(const struct snippet *snippet, uint64_t host_if)
{
	apic_enable(0);
	l2_setup.host_rflags = host_if;
	l2_setup.before = mask_intr;
	l2_setup.on_call = pend_then_take;
	run_snippet(snippet);
}

CASE_NEEDS("apic=1", not_intercepted_host_if0, ALL_NATIVE, RULE_MASKING,
	   CATCHES("bochs-intr-masking"))
{
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	expect("L1 intr 0x31");
	try_not_intercepted(&call_sti, 0);
}

CASE_NEEDS("apic=1", not_intercepted_host_if1, ALL_NATIVE, RULE_MASKING,
	   CATCHES("bochs-intr-masking"))
{
	expect("intr 0x31@target");
	try_not_intercepted(&call_twice, X86_EFLAGS_IF);
}

/* Without V_INTR_MASKING L1's IF means nothing in L2: its own STI lets the interrupt in. */
CASE_NEEDS(
	"apic=1", unmasked_host_if0, ALL_NATIVE,
	"APM 2, Physical (INTR) Interrupt Masking in EFLAGS: without V_INTR_MASKING the guest's IF controls physical interrupts",
	"")
{
	apic_enable(0);
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	l2_setup.on_call = pend_then_take;
	expect("intr 0x31@after");
	run(call_sti);
}

/* Both pending: the physical one is first, and the virtual one waits. */
static void pend_both(struct l2 *v)
{
	make_virtual(v);
	if (v->exits == 1)
		interrupt_pending(PENDING_VECTOR);
}

CASE_NEEDS(
	"apic=1", physical_before_virtual, ALL_NATIVE,
	"APM 2, Injecting Virtual (INTR) Interrupts: physical interrupts take priority over virtual ones",
	"")
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	virtual.int_control = SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING;
	virtual.int_state = 0;
	l2_setup.host_rflags = X86_EFLAGS_IF;
	l2_setup.before = intercept_intr;
	l2_setup.on_call = pend_both;
	l2_setup.on_exit = take_intr;
	l2_setup.show_exits = true;
	expect("exit INTR@target, L1 intr 0x31, extint 0x51@target");
	run(call_twice);
}

/* -- GIF. --------------------------------------------------------------------------------------------------------------------- */

static void wait_a_little(void)
{
	for (volatile int i = 0; i < 1000; i++)
		;
}

static unsigned events_of(const struct l2 *v)
{
	return v->cpu->run.group->events;
}

static unsigned with_gif_clear;

/* After an exit GIF is 0: nothing may come before STGI, and all of it then. */
static void pend_at_gif0(struct l2 *v)
{
	interrupt_pending(PENDING_VECTOR);
	nmi_to_self();
	asm volatile("sti; nop; nop");
	wait_a_little();
	with_gif_clear = events_of(v);
	stgi();
	asm volatile("nop; nop; cli");
	clgi();
}

CASE_NEEDS("apic=1", gif_after_exit, CPL0, RULE_GIF, "")
{
	apic_enable(0);
	l2_setup.on_call = pend_at_gif0;
	allow("SDM 3A, Priority Among Simultaneous Events: NMI first; its handler is interrupted at its first instruction or after its IRET",
	      "L1 nmi, L1 intr 0x31");
	allow("APM 2, Simultaneous Interrupts: recorded in the order of completion",
	      "L1 intr 0x31, L1 nmi");
	run(call);
	check(with_gif_clear == 0, "%u events came while GIF was 0", with_gif_clear);
}

static enum l2_action pend_after_invalid(struct l2 *v)
{
	if ((uint32_t)v->vmcb->exit_code != (uint32_t)SVM_EXIT_INVALID)
		return L2_UNEXPECTED;
	nmi_to_self();
	wait_a_little();
	with_gif_clear = events_of(v);
	stgi();
	asm volatile("nop");
	clgi();
	return L2_END;
}

static void inject_nonsense(struct l2 *v)
{
	l2_inject(v, L2_EXCEPTION | 2, 0, 0);
}

CASE_NEEDS("apic=1", gif_after_invalid, CPL0, RULE_GIF, CATCHES("xen-nested-gif"))
{
	apic_enable(0);
	l2_setup.on_call = inject_nonsense;
	l2_setup.on_exit = pend_after_invalid;
	expect("L1 nmi");
	run(call);
	check(with_gif_clear == 0, "an NMI came while GIF was 0");
}

/* A breakpoint on an instruction of L1's own. */
asm(".text\n"
    "gif_target: ret\n"
    "gif_step: pushfq; orl $0x100, (%rsp); popfq; nop; gif_stepped: nop; ret\n");
void gif_target(void);
void gif_step(void);
extern const uint8_t gif_stepped[];

static void break_at_gif0(struct l2 *v)
{
	if (v->exits > 1)
		return;
	write_dr0((uint64_t)gif_target);
	write_dr7(DR7_CLEAR | 2);
	gif_target();
	with_gif_clear = events_of(v);
	write_dr7(DR7_CLEAR);
	stgi();
	asm volatile("nop");
	clgi();
}

CASE(gif_breakpoint, CPL0, RULE_GIF_DB, CATCHES("gif-breakpoint"))
{
	notation_name("target", (uint64_t)gif_target, 1);
	l2_setup.on_call = break_at_gif0;
	expect("(none)");
	run(call);
}

/* The same at GIF=1: it does break. */
static void break_at_gif1(struct l2 *v)
{
	(void)v;
	stgi();
	write_dr0((uint64_t)gif_target);
	write_dr7(DR7_CLEAR | 2);
	gif_target();
	write_dr7(DR7_CLEAR);
	clgi();
}

CASE(gif_breakpoint_witness, CPL0, RULE_GIF_DB, "")
{
	notation_name("target", (uint64_t)gif_target, 1);
	l2_setup.on_call = break_at_gif1;
	expect("L1 #DB[B0]@target");
	run(call);
}

/* The recorder clears TF in L1's frame, so there is one step. */
static void step_at_gif0(struct l2 *v)
{
	(void)v;
	gif_step();
}

CASE(gif_single_step, CPL0, RULE_GIF_DB, "")
{
	notation_name("stepped", (uint64_t)gif_stepped, 1);
	l2_setup.on_call = step_at_gif0;
	expect("L1 #DB[BS]@stepped");
	run(call);
}

/* -- NMI blocking. --------------------------------------------------------------------------------------------------------------- */

/* L2 exits from within its NMI handler; a second NMI has to wait for the handler's IRET all the same. */
static unsigned nmi_depth, nmi_deepest, nmis;

static void send_nmi(struct l2 *v)
{
	if (v->exits <= 2)
		nmi_to_self();
}

static enum action exit_in_handler(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != 2)
		return BY_RULE;
	nmi_depth++;
	nmi_deepest = nmi_depth > nmi_deepest ? nmi_depth : nmi_deepest;
	if (nmis++ == 0) {
		asm volatile("vmmcall" : : : "memory");
		wait_a_little();
	}
	nmi_depth--;
	return RESUME;
}

CASE_NEEDS(
	"apic=1", nmi_blocked_across_exit, ALL_NATIVE,
	"APM 2, Event Injection, and NMI: a physical NMI that L2 took itself blocks further NMIs until IRET, exits or not",
	CATCHES("bochs-nmi-blocking-at-entry"))
{
	nmi_depth = nmi_deepest = nmis = 0;
	setup.hook = exit_in_handler;
	l2_setup.on_call = send_nmi;
	expect("nmi@target, nmi@target");
	run(call);
	check(nmi_deepest == 1, "NMIs were nested %u deep", nmi_deepest);
}

/* -- Debug registers. -------------------------------------------------------------------------------------------------------------- */

static uint64_t dr7_of_host, dr7_of_guest;

static void note_dr7(struct l2 *v)
{
	dr7_of_guest = v->vmcb->dr7;
	dr7_of_host = read_dr7();
}

CASE(dr7_after_exit, ALL_NATIVE, RULE_DR7, CATCHES("tcg-host-dr7"))
{
	breakpoint_set(0, mark_address(&call, "call"), BREAK_WRITE, 1);
	dr7_of_host = ~0ul;
	l2_setup.on_call = note_dr7;
	run(call);
	check((dr7_of_host & 0xff) == 0, "L1's DR7 is %#lx after the exit", dr7_of_host);
	check((dr7_of_guest & 0xff) == 2, "L2's DR7 is %#lx in the VMCB", dr7_of_guest);
}

/* -- The end of L2. ------------------------------------------------------------------------------------------------------------------ */

SNIPPET(call_int3, "mark call; vmmcall; mark insn; int3; mark after; nop");

static void take_idt_away(struct l2 *v)
{
	v->vmcb->idtr.limit = 0;
}

CASE(triple_fault, CPL0, "APM 2, Shutdown Intercept: a triple fault is an exit, not the end",
     CATCHES("l2-triple-fault"))
{
	l2_setup.on_call = take_idt_away;
	expect("exit SHUTDOWN");
	run(call_int3);
}

/* -- State that cannot be. ----------------------------------------------------------------------------------------------------------- */

enum illegal {
	NO_SVME,
	NO_ASID,
	NO_VMRUN_INTERCEPT,
	NW_WITHOUT_CD,
	HIGH_CR0,
	HIGH_DR6,
	HIGH_DR7,
	LONG_WITHOUT_PAE
};

static enum illegal illegal;

static void make_illegal(struct l2 *v)
{
	switch (illegal) {
	case NO_SVME:
		v->vmcb->efer &= ~(uint64_t)EFER_SVME;
		break;
	case NO_ASID:
		v->vmcb->asid = 0;
		break;
	case NO_VMRUN_INTERCEPT:
		v->vmcb->intercept[SVM_INTERCEPT_VMRUN / 32] &= ~(1u << SVM_INTERCEPT_VMRUN % 32);
		break;
	case NW_WITHOUT_CD:
		v->vmcb->cr0 |= 1ul << 29;
		break;
	case HIGH_CR0:
		v->vmcb->cr0 |= 1ul << 32;
		break;
	case HIGH_DR6:
		v->vmcb->dr6 |= 1ul << 32;
		break;
	case HIGH_DR7:
		v->vmcb->dr7 |= 1ul << 32;
		break;
	case LONG_WITHOUT_PAE:
		v->vmcb->cr4 &= ~(uint64_t)X86_CR4_PAE;
		break;
	}
}

#define ILLEGAL(name, state)                                          \
	CASE(name, CPL0, RULE_INVALID, CATCHES("tcg-vmexit-invalid")) \
	{                                                             \
		illegal = state;                                      \
		l2_setup.on_call = make_illegal;                      \
		expect("exit INVALID");                               \
		run(call);                                            \
	}

ILLEGAL(no_svme, NO_SVME)
ILLEGAL(no_asid, NO_ASID)
ILLEGAL(no_vmrun_intercept, NO_VMRUN_INTERCEPT)
ILLEGAL(nw_without_cd, NW_WITHOUT_CD)
ILLEGAL(high_cr0, HIGH_CR0)
ILLEGAL(high_dr6, HIGH_DR6)
ILLEGAL(high_dr7, HIGH_DR7)
ILLEGAL(long_mode_without_pae, LONG_WITHOUT_PAE)
