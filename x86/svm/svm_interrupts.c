/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts, physical and virtual, while L2 runs.
 *
 * The rule (APM 2, "Interrupt and Local APIC Support", "Interrupt Intercepts"). An intercepted interrupt is
 * an exit, and stays pending until L1 takes it. Without V_INTR_MASKING L2's IF decides on it; with
 * V_INTR_MASKING L1's IF at VMRUN decides on physical interrupts and L2's on virtual ones alone. A virtual
 * interrupt obeys L2's IF, its shadow and V_TPR, and V_IRQ is clear once it was taken; VINTR is an exit just
 * before that. Where both are pending, the physical one is first.
 *
 * The bugs that taught it. QEMU 7.2 runs an instruction of L2 although an interrupt is pending, where L1 has an
 * STI right before VMRUN; Bochs looks at neither that interrupt nor V_IRQ at VMRUN, and knows no V_INTR_MASKING.
 * KVM lost interrupts that were pending when L1 entered L2 (2018), let its own V_IRQ, of vector 0, through to L2
 * (6.1), and never got on with L2 while a masked interrupt was pending (5.10).
 *
 * What VMX has alike is in interrupts.h. A buggy hypervisor shows an interrupt one instruction early or late,
 * in L2 in the place of `exit INTR`, or never.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_INTR \
	"APM 2, Interrupt Intercepts: an intercepted interrupt stays pending until L1 takes it"
#define RULE_V_IRQ \
	"APM 2, Injecting Virtual (INTR) Interrupts: taken if IF, GIF, V_TPR and the interrupt shadow allow it"
#define RULE_MASKING \
	"APM 2, Physical (INTR) Interrupt Masking in EFLAGS: with V_INTR_MASKING the host's IF at VMRUN controls physical interrupts"
#define RULE_NO_MASKING \
	"APM 2, Physical (INTR) Interrupt Masking in EFLAGS: without V_INTR_MASKING the guest's IF controls physical interrupts"

#define RULE_NO_SHADOW \
	"APM 2, Interrupt Shadows, and VMRUN: the shadow of L1's STI covers VMRUN alone; L2's is the one that the VMCB holds"

#define BUGS_INTR ""
#define BUGS_MASKED CATCHES("bochs-intr-masking nsvm-masked-intr-spins nsvm-window-vector")

#define CALL "vmmcall"
#define PENDING_VECTOR 0x31
#define VIRTUAL_VECTOR 0x51

static bool is_interrupt_exit(const struct l2 *v)
{
	return v->vmcb->exit_code == SVM_EXIT(INTR);
}

static void try_interrupt(void);

#include "../nested/interrupts.h"

/* -- Intercepted, without V_INTR_MASKING. ------------------------------------------------------ */

/* Pending at the first call; at the second L1 takes what no exit has told it of. */
static void pend_then_take(struct l2 *v)
{
	if (v->exits == 1)
		interrupt_pending(PENDING_VECTOR);
	else
		l2_window(true);
}

/* With the interrupt pending at the snippet's first call, or what the case has set as `on_call`. */
static void try_pending(const struct snippet *snippet)
{
	apic_enable(0);
	if (!l2_setup.on_call)
		l2_setup.on_call = pend_then_take;
	run_snippet(snippet);
}

/* The same with the exit in the trace; `intercept` sets the intercept of INTR. */
static void try_pending_intercepted(const struct snippet *snippet, void (*intercept)(struct l2 *v))
{
	memset(&at_exit, 0, sizeof(at_exit));
	l2_setup.before = intercept;
	l2_setup.on_exit = take_interrupt;
	l2_setup.show_exits = true;
	try_pending(snippet);
}

static void intercept_alone(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_INTR);
}

static void try_interrupt(void)
{
	try_pending_intercepted(&call_again, intercept_alone);
}

/* L2's IF holds the interrupt back. */
CASE_NEEDS("apic=1", intr_if0, IN_LONG_MODE, RULE_NO_MASKING, CATCHES("nsvm-masked-intr-spins"))
{
	expect("L1 intr 0x31");
	try_interrupt();
}

/* L2's IF lets it in, and the shadow that L1 enters it with keeps it out for an instruction. */
static void pend_in_shadow(struct l2 *v)
{
	if (v->exits == 1)
		v->vmcb->int_state |= SVM_INTERRUPT_SHADOW;
	pend_then_take(v);
}

CASE_NEEDS(
	"apic=1", intr_shadow, IN_LONG_MODE,
	"APM 2, Interrupt Shadows: VMRUN loads the shadow, and the instruction in it recognizes no interrupts",
	CATCHES("nsvm-sti-shadow-reflect tcg-vmrun-shadow"))
{
	setup.rflags = X86_EFLAGS_IF;
	l2_setup.on_call = pend_in_shadow;
	expect("exit INTR@after, L1 intr 0x31");
	try_interrupt();
}

/* -- Virtual interrupts. ----------------------------------------------------------------------- */

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

SNIPPET(warm_up, "nop");

/*
 * The #UD that ends a run has been delivered the way that an interrupt will go: where this is the first run since
 * the boot, nothing of it is cold below L1 any more. A delivery that faults there is svm_vectoring.c's subject.
 */
static void begin_virtual(uint32_t int_control, uint64_t int_state)
{
	run(warm_up);
	trace_reset(this_recording()->trace);
	virtual.int_control = int_control;
	virtual.int_state = int_state;
	virtual.at_end = ~0u;
	l2_setup.on_call = make_virtual;
}

static void try_virtual(const struct snippet *snippet, uint32_t int_control, bool taken)
{
	begin_virtual(int_control, 0);
	run_snippet(snippet);
	check(!(virtual.at_end & SVM_V_IRQ) == taken, "V_IRQ is %s at the exit behind it",
	      taken ? "still set" : "clear");
}

CASE(v_irq, IN_LONG_MODE, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@target");
	try_virtual(&call_again, SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, true);
}

CASE(v_irq_without_masking, IN_LONG_MODE, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@target");
	try_virtual(&call_again, SVM_V_PRIORITY(5), true);
}

CASE(v_irq_if0, IN_LONG_MODE, RULE_V_IRQ, "")
{
	expect("(none)");
	try_virtual(&call_again, SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, false);
}

CASE(v_irq_sti, IN_LONG_MODE, RULE_V_IRQ, "")
{
	grant_iopl();
	expect("extint 0x51@after");
	try_virtual(&call_sti, SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, true);
}

CASE(v_irq_shadow, IN_LONG_MODE, RULE_V_IRQ, CATCHES("tcg-vmrun-shadow bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@after");
	begin_virtual(SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, SVM_INTERRUPT_SHADOW);
	run(call_again);
}

CASE(v_irq_tpr, IN_LONG_MODE, RULE_V_IRQ, CATCHES("tcg-v-tpr"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("(none)");
	try_virtual(&call_again, SVM_V_PRIORITY(5) | 5 | SVM_V_INTR_MASKING, false);
}

CASE(v_irq_ignore_tpr, IN_LONG_MODE, RULE_V_IRQ, CATCHES("bochs-v-irq"))
{
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x51@target");
	try_virtual(&call_again, SVM_V_PRIORITY(5) | 15 | SVM_V_IGNORE_TPR | SVM_V_INTR_MASKING,
		    true);
}

static void intercept_vintr(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_VINTR);
}

CASE(v_irq_intercepted, IN_LONG_MODE,
     "APM 2, Virtual Interrupt Intercept: taken just before the interrupt, which stays pending in V_IRQ",
     "")
{
	grant_iopl();
	l2_setup.before = intercept_vintr;
	begin_virtual(SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, 0);
	expect("exit VINTR@after");
	run(call_sti);
}

/* -- Physical interrupts at VMRUN. ------------------------------------------------------------- */

static void set_masking(struct l2 *v)
{
	v->vmcb->int_control |= SVM_V_INTR_MASKING;
}

static void intercept_and_mask(struct l2 *v)
{
	intercept_alone(v);
	set_masking(v);
}

static void try_masked(const struct snippet *snippet, uint64_t host_if)
{
	l2_setup.host_rflags = host_if;
	try_pending_intercepted(snippet, intercept_and_mask);
}

CASE_NEEDS("apic=1", pending_at_vmrun, IN_LONG_MODE, RULE_MASKING,
	   CATCHES("bochs-pending-at-vmrun"))
{
	expect("exit INTR@target, L1 intr 0x31");
	try_masked(&call_again, X86_EFLAGS_IF);
}

/* The shadow of L1's STI ends with VMRUN. */
CASE_NEEDS("apic=1", pending_at_vmrun_behind_sti, IN_LONG_MODE, RULE_MASKING,
	   CATCHES("bochs-pending-at-vmrun"))
{
	svm_sti_before_vmrun = true;
	expect("exit INTR@target, L1 intr 0x31");
	try_masked(&call_again, 0);
}

/* Without V_INTR_MASKING L2's own IF lets it in, and nothing of L1's shadow may keep it out. */
CASE_NEEDS("apic=1", intr_behind_sti, IN_LONG_MODE, RULE_NO_SHADOW, CATCHES("tcg-pending-at-vmrun"))
{
	setup.rflags = X86_EFLAGS_IF;
	svm_sti_before_vmrun = true;
	expect("exit INTR@target, L1 intr 0x31");
	try_interrupt();
}

CASE_NEEDS("apic=1", delivered_behind_sti, IN_LONG_MODE, RULE_NO_SHADOW,
	   CATCHES("tcg-pending-at-vmrun"))
{
	setup.rflags = X86_EFLAGS_IF;
	svm_sti_before_vmrun = true;
	expect("intr 0x31@target");
	try_pending(&call_again);
}

/* L1 has it masked: L2 runs on, whatever its own IF says. */
CASE_NEEDS("apic=1", pending_host_if0, IN_LONG_MODE, RULE_MASKING,
	   CATCHES("bochs-intr-masking nsvm-masked-intr-spins"))
{
	expect("L1 intr 0x31");
	try_masked(&call_again, 0);
}

CASE_NEEDS("apic=1", pending_host_if0_guest_if1, IN_LONG_MODE, RULE_MASKING, BUGS_MASKED)
{
	grant_iopl();
	expect("L1 intr 0x31");
	try_masked(&call_sti, 0);
}

/* The same without the intercept: what L1's IF lets through goes to L2's own IDT, whatever L2's IF. */
static void try_not_intercepted(const struct snippet *snippet, uint64_t host_if)
{
	l2_setup.host_rflags = host_if;
	l2_setup.before = set_masking;
	try_pending(snippet);
}

CASE_NEEDS("apic=1", not_intercepted_host_if0, IN_LONG_MODE, RULE_MASKING,
	   CATCHES("bochs-intr-masking nsvm-window-vector"))
{
	grant_iopl();
	expect("L1 intr 0x31");
	try_not_intercepted(&call_sti, 0);
}

CASE_NEEDS("apic=1", not_intercepted_host_if1, IN_LONG_MODE, RULE_MASKING,
	   CATCHES("bochs-intr-masking"))
{
	expect("intr 0x31@target");
	try_not_intercepted(&call_again, X86_EFLAGS_IF);
}

/* Without V_INTR_MASKING L1's IF means nothing in L2: its own STI lets the interrupt in. */
CASE_NEEDS(
	"apic=1", unmasked_host_if0, IN_LONG_MODE,
	"APM 2, Physical (INTR) Interrupt Masking in EFLAGS: without V_INTR_MASKING the guest's IF controls physical interrupts",
	"")
{
	grant_iopl();
	expect("intr 0x31@after");
	try_pending(&call_sti);
}

/* Both pending: the physical one is first, and the virtual one waits. */
static void pend_both(struct l2 *v)
{
	make_virtual(v);
	if (v->exits == 1)
		interrupt_pending(PENDING_VECTOR);
}

CASE_NEEDS(
	"apic=1", physical_before_virtual, IN_LONG_MODE,
	"APM 2, Injecting Virtual (INTR) Interrupts: physical interrupts take priority over virtual ones",
	"")
{
	setup.rflags = X86_EFLAGS_IF;
	begin_virtual(SVM_V_PRIORITY(5) | SVM_V_INTR_MASKING, 0);
	l2_setup.on_call = pend_both;
	expect("exit INTR@target, L1 intr 0x31, extint 0x51@target");
	try_masked(&call_again, X86_EFLAGS_IF);
}
