/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs while L2 runs: for L1, for L2, injected.
 *
 * The rule (APM 2, "Interrupt Intercepts", "Global Interrupt Flag", "Event Injection"). An intercepted NMI is
 * an exit and stays pending until L1 sets GIF; one that is not intercepted is L2's, and blocks further ones
 * until IRET, exits or not. An injected NMI blocks nothing. One for L2 is delivered to L2, and one for L1 to
 * L1.
 *
 * The bugs that taught it. KVM before 6.0 lost L1's NMI behind one that it had injected into L2 and whose
 * delivery had faulted (159fc6fa3b7d). Bochs masks NMIs while the handler of an injected one runs.
 *
 * What VMX has alike is in nmi_handler.h. A buggy hypervisor shows no NMI, one inside the handler of another,
 * or one that came to the wrong of the two.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_INTERCEPT \
	"APM 2, Interrupt Intercepts: an intercepted interrupt stays pending until L1 takes it"
#define RULE_INJECTED \
	"APM 2, Event Injection: an injected NMI does not block delivery of further NMIs"

#define CALL "vmmcall"

#include "../nested/nmi_handler.h"

SNIPPET(call_twice, "mark call; vmmcall; mark target; nop; mark again; vmmcall; mark after; nop");

/* -- Intercepted, and not. --------------------------------------------------------------------- */

static enum l2_action take_nmi(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT(NMI))
		return L2_UNEXPECTED;
	l2_window(true);
	return L2_RESUME;
}

/* GIF holds it back until VMRUN. */
static void send_one(struct l2 *v)
{
	if (v->exits == 1)
		nmi_to_self();
}

static void intercept_nmi(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_NMI);
}

CASE_NEEDS("apic=1", nmi, IN_LONG_MODE, RULE_INTERCEPT, "")
{
	l2_setup.before = intercept_nmi;
	l2_setup.on_call = send_one;
	l2_setup.on_exit = take_nmi;
	l2_setup.show_exits = true;
	expect("exit NMI@target, L1 nmi");
	run(call_twice);
}

CASE_NEEDS(
	"apic=1", nmi_not_intercepted, IN_LONG_MODE,
	"APM 2, Global Interrupt Flag: what was held pending is taken when VMRUN sets GIF, by the guest if it is not intercepted",
	CATCHES("kvm-svm-vmcb01-dirty"))
{
	l2_setup.on_call = send_one;
	expect("nmi@target");
	run(call_twice);
}

/* -- Blocking. --------------------------------------------------------------------------------- */

/* At the call, and at the exit from within the handler: that one has to wait for the handler's IRET. */
static void send_two(struct l2 *v)
{
	if (v->exits <= 2)
		nmi_to_self();
}

static void exit_and_wait(void)
{
	exit_to_l1();
	give_it_time();
}

CASE_NEEDS(
	"apic=1", nmi_blocked_across_exit, IN_LONG_MODE,
	"APM 2, Event Injection, and NMI: a physical NMI that L2 took itself blocks further NMIs until IRET, exits or not",
	"")
{
	in_first_nmi(exit_and_wait);
	l2_setup.on_call = send_two;
	expect("nmi@target, nmi@target");
	run(call_twice);
	check_nesting(1);
}

/* -- Injected. --------------------------------------------------------------------------------- */

static void inject_then_take(struct l2 *v)
{
	if (v->exits == 1)
		l2_inject(v, L2_NMI | VECTOR_NMI, 0, 0);
	else
		l2_window(false);
}

/* The handler of the injected NMI sends another; it must not wait for the handler's IRET. */
CASE_NEEDS("apic=1", nmi_does_not_block, CPL0, RULE_INJECTED, CATCHES("bochs-injected-nmi-blocks"))
{
	in_first_nmi(send_another);
	l2_setup.on_call = inject_then_take;
	run(call_twice);
	check_nesting(2);
}

/* L1's own comes at the exit from within the handler of the one that it has injected, whose stack is in use. */
static void inject_then_send_and_take(struct l2 *v)
{
	if (v->exits == 2) {
		gate_set_ist(VECTOR_NMI, 0);
		nmi_to_self();
	}
	inject_then_take(v);
}

/*
 * As in the kernel's svm_nested_soft_inject_test: L1 injects an NMI, whose delivery a fault below L1 interrupts,
 * so that L0 has to inject it once more. It is L2's all the same, and blocks nothing: the handler calls L1, which
 * takes an NMI of its own there. An L0 that thinks it has injected L1's NMI holds this one back until an IRET.
 */
CASE_NEEDS("pam=1 apic=1", soft_inject_nmi_cold_stack, IN_LONG_MODE,
	   "APM 2, Event Injection: an NMI for L2 is delivered to L2, and one for L1 to L1",
	   CATCHES("nsvm-nmi-reinject bochs-injected-nmi-blocks"))
{
	cold_ist_stack(VECTOR_NMI);
	in_first_nmi(exit_to_l1);
	l2_setup.on_call = inject_then_send_and_take;
	expect("nmi@target, L1 nmi");
	run(call_twice);
}

/* -- L1's own, while the injected one has not been delivered. ---------------------------------- */

#define RULE_L1_BLOCKED \
	"APM 2, Nonmaskable Interrupt: L1's NMI masks further ones until L1's IRET, whatever L1 has injected into L2 before"

static uint8_t stack_page[PAGE_BYTES] __attribute__((aligned(4096)));
static unsigned misses;

static void inject_onto_missing_stack(struct l2 *v)
{
	if (v->exits > 1)
		return;
	slat_unmap((uint64_t)stack_page);
	l2_inject(v, L2_NMI | VECTOR_NMI, 0, 0);
}

/* The handler of the first, which is L1's, sends another. */
static enum l2_action take_two(struct l2 *v)
{
	const struct vmcb *vmcb = v->vmcb;

	if (vmcb->exit_code != SVM_EXIT_NPF ||
	    vmcb->exit_info2 - (uint64_t)stack_page >= PAGE_BYTES)
		return L2_UNEXPECTED;
	misses++;
	nmi_to_self();
	l2_window(false);
	slat_map((uint64_t)stack_page);
	l2_inject_again(v, 0);
	return L2_RESUME;
}

CASE_NEEDS("apic=1", l1_nmi_behind_a_miss, IN_LONG_MODE, RULE_L1_BLOCKED,
	   CATCHES("nsvm-nmi-tracking"))
{
	need_of_machine(layer == &layer_svm, "nested paging in %s", layer->name);
	misses = 0;
	use_ist(VECTOR_NMI, (uint64_t)stack_page + PAGE_BYTES);
	in_first_nmi(send_another);
	setup.l1_hook = setup.hook;
	setup.hook = NULL;
	l2_setup.on_call = inject_onto_missing_stack;
	l2_setup.on_exit = take_two;
	expect("L1 nmi, L1 nmi, nmi@target");
	run(call_twice);
	witness(misses > 0, "L1 saw no miss on the stack");
	check_nesting(1);
}
