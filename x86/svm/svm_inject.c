/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1 injects an event into its own L2 through EVENTINJ.
 *
 * The rule (APM 2, "Event Injection"). VMRUN with a valid EVENTINJ makes L2 take that event before its
 * first instruction, whatever IF, the interrupt shadow or an intercept say. An interrupt, an NMI or a
 * fault saves the RIP that the VMCB holds. A software interrupt, and INT3 and INTO injected as
 * exceptions, are traps: the saved RIP is nRIP (offset C8h), whatever instruction stands there or does
 * not, and the gate's DPL is checked as for the instruction. An error code is pushed iff EV is set. An
 * event that cannot be (a reserved type, an exception that does not exist or not in this mode) is
 * VMEXIT_INVALID, and L2 has not run.
 *
 * The bugs that taught it. KVM's nested SVM did not hand vmcb12's next_rip on before 00f08d99dd7d (6.0):
 * what L1 injected returned to wherever the instruction at L2's RIP happened to end, or on CPUs without
 * nRIP to RIP + 0. Its series "SVM: fix soft int reinjection" has a selftest with the scenarios of
 * soft_inject_* below, of which nobody proved that the delivery faulted; these cases do. Bochs
 * ignores nRIP to this day (issue 649), QEMU has no nRIP and says so.
 *
 * A buggy hypervisor shows another return address (@target in the place of @after, or beyond it), an
 * error code too many or too few, an event that did not come, or one that came twice.
 *
 * What VMX can inject as well is in inject.h; what an injected NMI blocks is in svm_nmi.c.
 *
 * https://lore.kernel.org/kvm/cover.1651440202.git.maciej.szmigiero@oracle.com
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_INJECT \
	"APM 2, Event Injection: VMRUN makes the guest take the event, unconditionally, before its first instruction"
#define RULE_SOFT \
	"APM 2, Event Injection, and State Saved on Exit: a software interrupt, INT3 or INTO returns to nRIP, whatever stands there"
#define RULE_EV "APM 2, Event Injection: EV says whether an error code is pushed"
#define RULE_DPL_SOFT \
	"APM 2, Event Injection: INT n, INT3 and INTO check the DPL of the gate, as the instructions do"
#define RULE_NO_DPL \
	"APM 2, Event Injection: an interrupt or a fault does not check the DPL of the gate"
#define RULE_INVALID \
	"APM 2, Event Injection: reserved types, type 3 with a vector that is no exception, and what is impossible in the guest's mode are VMEXIT_INVALID"

#define BUGS_SOFT CATCHES("nsvm-next-rip bochs-eventinj-rip")
#define BUGS_ANY ""
#define BUGS_INT_N_LOW CATCHES("nsvm-next-rip bochs-eventinj-rip xen-intn-side-effects")
#define BUGS_SOFT_COLD CATCHES("nsvm-next-rip bochs-eventinj-rip kvm-int3-retry")
#define BUGS_INT_N_DPL CATCHES("xsa-106 tcg-idt-errcode-64")
#define BUGS_INT3_DPL CATCHES("tcg-eventinj-dpl bochs-eventinj-ext xsa-106")
#define BUGS_CR2 CATCHES("bochs-vmrun-cr2")
#define BUGS_DB CATCHES("xen-intn-side-effects bochs-vmexit-tf")
#define BUGS_RF CATCHES("tcg-eventinj-rf")
#define RULE_DB "APM 2, Event Injection: what is injected writes no DR6; the VMCB holds the guest's"
#define RULE_CR2 "APM 2, Event Injection, and VMRUN: #PF is taken with the CR2 that the VMCB holds"
#define RULE_NO_ERROR \
	"APM 2, Event Injection: an interrupt and a software interrupt push no error code, whatever the vector"
#define RULE_RF \
	"APM 2, Event Injection: the frame holds the RFLAGS of the VMCB, RF too; an interrupt does not set RF"
#define RULE_FIRST \
	"APM 2, Event Injection: the event comes before the first instruction, and before a breakpoint on it"

#define CALL "vmmcall"

#include "../nested/inject.h"

/* -- Interrupts and NMIs. ---------------------------------------------------------------------- */

CASE(interrupt_if0, IN_LONG_MODE, RULE_INJECT, BUGS_ANY)
{
	begin(0, X86_EFLAGS_IF);
	expect("extint 0x50@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

static void inject_in_shadow(struct l2 *v)
{
	l2_set(v, L2_SHADOW, 1);
	inject(v);
}

CASE(interrupt_in_shadow, IN_LONG_MODE, RULE_INJECT, BUGS_ANY)
{
	begin(X86_EFLAGS_IF, 0);
	expect("extint 0x50@target");
	now.what = L2_INTR | 0x50;
	l2_setup.on_call = inject_in_shadow;
	run(call);
}

CASE(nmi_vector_ignored, IN_LONG_MODE, "APM 2, Event Injection: for an NMI the vector is ignored",
     "")
{
	static const uint8_t vectors[] = {0, 0x50, 0xff};

	begin(0, 0);
	expect("nmi@target x3");
	TRY_EACH(L2_NMI, vectors);
}

/* -- Exceptions and software interrupts. ------------------------------------------------------- */

CASE(no_error_code, IN_LONG_MODE, RULE_EV, CATCHES("tcg-eventinj-ev"))
{
	begin(0, 0);
	expect("#GP@target; #SS@target");
	try_inject(&call, L2_EXCEPTION | VECTOR_GP, 0x1234);
	try_inject(&call, L2_EXCEPTION | VECTOR_SS, 0x1234);
}

/* Without it no hypervisor can reflect #VC, and none of its own L2s can be a SEV-ES guest. */
CASE(vc_exception, IN_LONG_MODE, RULE_EV, CATCHES("tcg-eventinj-ev"))
{
	begin(0, 0);
	allow("APM 2, #VC: pushes an error code", "#VC(0x72)@target");
	allow("APM 2, Event Injection: invalid where the CPU has no #VC", "exit INVALID");
	try_inject(&call, L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_VC, 0x72);
}

/* nRIP is no instruction length: it may lie anywhere, before RIP as well. */
CASE(int_n_far, IN_LONG_MODE, RULE_SOFT, BUGS_SOFT)
{
	begin_soft(0, 1);
	expect("extint 0x80@far_after; extint 0x80@call");
	try_soft(&call, L2_SOFT_INT | 0x80, "far_after");
	try_soft(&call, L2_SOFT_INT | 0x80, "call");
}

/* -- What cannot be injected. ------------------------------------------------------------------ */

CASE(invalid_types, IN_LONG_MODE, RULE_INVALID, CATCHES("tcg-vmexit-invalid"))
{
	static const uint8_t types[] = {1, 5, 6, 7};

	begin(0, 0);
	expect("exit INVALID x8");
	for (unsigned i = 0; i < sizeof(types); i++) {
		try_inject(&call, types[i] << 8 | 0x50, 0);
		try_inject(&call, types[i] << 8 | 6, 0);
	}
}

CASE(invalid_exceptions, IN_LONG_MODE, RULE_INVALID,
     CATCHES("tcg-vmexit-invalid bochs-eventinj-31"))
{
	begin(0, 0);
	expect("[0x1f-0xff] exit INVALID");
	try_from(L2_EXCEPTION, 31);
}

CASE(invalid_exception_2, IN_LONG_MODE, RULE_INVALID, CATCHES("tcg-vmexit-invalid"))
{
	begin(0, 0);
	expect("exit INVALID");
	try_inject(&call, L2_EXCEPTION | VECTOR_NMI, 0);
}

CASE(invalid_reserved_exceptions, IN_LONG_MODE, RULE_INVALID, CATCHES("eventinj-reserved-vector"))
{
	static const uint8_t vectors[] = {15, 22, 23, 24, 25, 26, 27};

	begin(0, 0);
	setup.leave_after = 1;
	expect("exit INVALID x7");
	TRY_EACH(L2_EXCEPTION, vectors);
}

CASE(invalid_bound_in_64_bit_code, CPL0 | CPL3, RULE_INVALID, CATCHES("eventinj-64bit"))
{
	begin(0, 0);
	expect("exit INVALID");
	try_inject(&call, L2_EXCEPTION | VECTOR_BR, 0);
}

/* Nothing of L2 may have changed: what the VMCB held is what it still holds. */
static struct vmcb before_invalid;
static bool save_area_kept;

static void inject_nonsense(struct l2 *v)
{
	l2_inject(v, L2_EXCEPTION | VECTOR_NMI, 0, 0);
	before_invalid = *v->vmcb;
}

static bool same_segment(const struct svm_segment *a, const struct svm_segment *b)
{
	return a->selector == b->selector && a->base == b->base;
}

static enum l2_action compare_and_resume(struct l2 *v)
{
	const struct vmcb *a = v->vmcb, *b = &before_invalid;

	l2_show_exit(v);
	save_area_kept = a->rip == b->rip && a->rsp == b->rsp && a->rflags == b->rflags &&
			 a->cr3 == b->cr3 && a->cpl == b->cpl && a->rax == b->rax &&
			 a->idtr.base == b->idtr.base && a->gdtr.base == b->gdtr.base &&
			 same_segment(&a->cs, &b->cs) && same_segment(&a->ss, &b->ss);
	memcpy((uint8_t *)v->vmcb + offsetof(struct vmcb, es),
	       (const uint8_t *)b + offsetof(struct vmcb, es),
	       sizeof(struct vmcb) - offsetof(struct vmcb, es));
	return L2_RESUME;
}

CASE(invalid_then_good, IN_LONG_MODE, RULE_INVALID, CATCHES("tcg-vmexit-invalid"))
{
	l2_setup.on_call = inject_nonsense;
	l2_setup.on_exit = compare_and_resume;
	expect("exit INVALID, #UD@target");
	run(call_ud2);
}

CASE(invalid_keeps_save_area, IN_LONG_MODE,
     "APM 2, #VMEXIT: writes back the guest's state as loaded by VMRUN, not the host's",
     CATCHES("invalid-exit-overwrites-save-area"))
{
	save_area_kept = false;
	l2_setup.on_call = inject_nonsense;
	l2_setup.on_exit = compare_and_resume;
	run(call);
	check(save_area_kept, "the save area is not what it was before VMRUN");
}
