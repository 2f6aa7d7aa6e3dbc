/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What VMRUN and #VMEXIT carry between L1 and L2, and what they must not: TF, RF, the interrupt shadow, DR7, CR4.
 *
 * The rule (APM 2, "VMRUN and TF/RF Bits in EFLAGS", "Interrupt Shadows", "#VMEXIT"). For L1, VMRUN is one
 * instruction: with TF set the #DB comes after it, at the instruction behind, and never by L2's TF. L2's TF
 * traps after its first instruction, its RF spares that one a breakpoint. The interrupt shadow is L2's own:
 * written to the VMCB at the exit, in force again at VMRUN; L1's own STI right before VMRUN leaves none in
 * it. #VMEXIT disables the breakpoints in DR7.
 *
 * The bugs that taught it. KVM lost L1's single step over VMRUN (9a7de6ecc3ed, 5.13), and leaked its
 * own STI shadow into L2 (be45bc4eff33, 6.14); Xen had the same (c989ff614f). QEMU before 9.1 knew neither
 * TF nor the shadow at VMRUN, and left L1's breakpoints armed. Bochs carries L2's single step over
 * #VMEXIT into L1.
 *
 * What VMX carries as well is in carried_state.h. A buggy hypervisor shows an `L1 #DB` too many or too few, or an
 * interrupt one instruction early or late.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_TF \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: the host's TF traps after VMRUN has completed, which is after #VMEXIT"
#define RULE_TF_LOADED \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: the guest's TF traps after its first instruction, not before it"
#define RULE_GUEST_TF \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: guest values of EFLAGS have no effect on the host"
#define RULE_GUEST_RF \
	"APM 2, VMRUN and TF/RF Bits in EFLAGS: the guest's RF spares its first instruction a breakpoint"
#define RULE_SHADOW \
	"APM 2, Interrupt Shadows: INTERRUPT_SHADOW is saved on #VMEXIT and loaded on VMRUN"
#define RULE_DR7 "APM 2, #VMEXIT: disables all breakpoints in the host's DR7"

#define BUGS_GUEST_TF CATCHES("bochs-vmexit-tf")
#define BUGS_NO_SHADOW CATCHES("svm-sti-leak")
#define BUGS_DR7 CATCHES("tcg-host-dr7")

#define CALL "vmmcall"
#define DR7_AT_EXIT 0xff

static void name_places(void)
{
	notation_name("vmrun", (uint64_t)svm_vmrun_insn, svm_vmrun_next - svm_vmrun_insn);
	notation_name("after_vmrun", (uint64_t)svm_vmrun_next, 1);
	notation_name("snippet_enter", (uint64_t)snippet_enter, 64);
}

#include "../nested/carried_state.h"

#define PENDING_VECTOR 0x31

SNIPPET(call_twice, "mark call; vmmcall; mark target; nop; mark after; nop; mark again; vmmcall; "
		    "mark last; nop");

/* -- L1's TF. ---------------------------------------------------------------------------------- */

static void stop_stepping(struct l2 *v)
{
	(void)v;
	l2_setup.host_rflags = 0;
}

CASE(host_tf, IN_LONG_MODE, RULE_TF, CATCHES("vmrun-tf nsvm-vmrun-tf-dr6 bochs-vmrun-tf"))
{
	name_places();
	l2_setup.host_rflags = X86_EFLAGS_TF;
	l2_setup.on_call = stop_stepping;
	expect("L1 #DB[BS]@after_vmrun");
	run(call);
}

/* -- CR4. -------------------------------------------------------------------------------------- */

#define RULE_CR4 "APM 2, #VMEXIT: reloads the host's CR4 from what VMRUN saved"

static uint64_t cr4_wanted, cr4_seen;
static unsigned looks;

/* What is wrong stays; what is right may still change at the next exit. */
static void look_at_cr4(struct l2 *v)
{
	(void)v;
	looks++;
	if (cr4_seen == cr4_wanted)
		cr4_seen = read_cr4();
}

CASE(host_cr4, ALL_NATIVE, RULE_CR4, CATCHES("xen-nested-cr4-mce"))
{
	uint64_t usual = read_cr4();

	cr4_wanted = cr4_seen = usual & ~(uint64_t)X86_CR4_MCE;
	looks = 0;
	l2_setup.on_call = look_at_cr4;
	write_cr4(cr4_wanted);
	expect("(none)");
	run(call_twice);
	look_at_cr4(NULL);
	write_cr4(usual);
	witness(looks == 3, "L2 exited %u times, not twice", looks - 1);
	check(cr4_seen == cr4_wanted, "CR4 is %#lx behind a #VMEXIT, was %#lx", cr4_seen,
	      cr4_wanted);
}

/* -- The shadow, at VMRUN. --------------------------------------------------------------------- */

static void shadow_with_pending(struct l2 *v)
{
	if (v->exits > 1)
		return;
	v->vmcb->int_state |= SVM_INTERRUPT_SHADOW;
	interrupt_pending(PENDING_VECTOR);
}

CASE_NEEDS("apic=1", shadow_in, IN_LONG_MODE, RULE_SHADOW, CATCHES("tcg-vmrun-shadow"))
{
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	l2_setup.on_call = shadow_with_pending;
	expect("intr 0x31@after");
	run(call_twice);
}

/*
 * STI in L1 right before the VMRUN behind the first call, as every hypervisor that wants interrupts in L2 has it.
 * The second call is an exit without STI before it.
 */
static void sti_before_vmrun(struct l2 *v)
{
	svm_sti_before_vmrun = v->exits == 1;
	v->vmcb->int_control |= SVM_V_INTR_MASKING;
	if (v->exits > 1)
		note_shadow(v);
}

CASE(no_shadow_from_l1, IN_LONG_MODE, RULE_SHADOW, CATCHES("svm-sti-leak"))
{
	shadow = NOT_SEEN;
	l2_setup.on_call = sti_before_vmrun;
	run(call_twice);
	check(!shadow, "INTERRUPT_SHADOW is set at an exit without STI");
}

/* The exit comes before L2's first instruction: an event is injected, and its stack is not mapped. */
static uint8_t stack_page[PAGE_BYTES] __attribute__((aligned(4096)));

static void sti_and_inject(struct l2 *v)
{
	svm_sti_before_vmrun = true;
	v->vmcb->int_control |= SVM_V_INTR_MASKING;
	slat_unmap((uint64_t)stack_page);
	l2_inject(v, L2_INTR | 0x50, 0, 0);
}

static enum l2_action note_shadow_at_miss(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT_NPF)
		return L2_UNEXPECTED;
	svm_sti_before_vmrun = false;
	note_shadow(v);
	slat_map((uint64_t)stack_page);
	l2_inject_again(v, 0);
	return L2_RESUME;
}

CASE(no_shadow_from_l1_in_delivery, IN_LONG_MODE, RULE_SHADOW,
     CATCHES("svm-sti-leak tcg-vmrun-shadow"))
{
	need_of_machine(layer == &layer_svm, "nested paging in %s", layer->name);
	shadow = NOT_SEEN;
	use_ist(0x50, (uint64_t)stack_page + PAGE_BYTES);
	l2_setup.on_call = sti_and_inject;
	l2_setup.on_exit = note_shadow_at_miss;
	expect("extint 0x50@target");
	run(call);
	witness(shadow != NOT_SEEN, "L1 saw no miss on the stack that it took away");
	check(shadow != true, "INTERRUPT_SHADOW is set at an exit before L2's first instruction");
}
