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
 * L1 acts at the snippet's VMMCALL; L2's RIP is then `target`. Where nothing at `target` fits the event
 * ("no backing instruction"), vectors of 32 and above print as `extint`.
 *
 * https://lore.kernel.org/kvm/cover.1651440202.git.maciej.szmigiero@oracle.com
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/svm/svm.h"

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
#define RULE_NMI "APM 2, Event Injection: an injected NMI does not block delivery of further NMIs"

#define BUGS_SOFT CATCHES("nsvm-next-rip bochs-eventinj-rip")
#define BUGS_ANY ""

SNIPPET(call, "mark call; vmmcall; mark target; nop; mark after; nop; mark far_after; nop");
SNIPPET(call_int3, "mark call; vmmcall; mark target; int3; mark after; nop");
SNIPPET(call_int_0x80, "mark call; vmmcall; mark target; int $0x80; mark after; nop");
SNIPPET(call_into, "mark call; vmmcall; mark target; .byte 0xce; mark after; nop");
SNIPPET(call_ud2, "mark call; vmmcall; mark target; ud2; mark after; nop");

/* What L1 does at the snippet's VMMCALL. */
static struct {
	uint32_t what, error;
	uint64_t next_rip, rflags, int_state, cr2;
} now;

static void inject(struct l2 *v)
{
	v->vmcb->next_rip = now.next_rip;
	v->vmcb->rflags |= now.rflags;
	v->vmcb->int_state |= now.int_state;
	if (now.cr2)
		v->vmcb->cr2 = now.cr2;
	l2_inject(v, now.what, now.error, 0);
}

static void try_inject(const struct snippet *snippet, uint32_t what, uint32_t error)
{
	now.what = what;
	now.error = error;
	l2_setup.on_call = inject;
	run_snippet(snippet);
}

static void reset_now(void)
{
	memset(&now, 0, sizeof(now));
}

static void need_next_rip(void)
{
	reset_now();
	need(svm_has_next_rip(),
	     "the CPU does not report NRIPS: APM 2, Event Injection: software interrupts cannot be injected");
}

/* Injection that returns to a mark by nRIP. */
static void try_soft(const struct snippet *snippet, uint32_t what, const char *next)
{
	now.next_rip = mark_address(snippet, next);
	try_inject(snippet, what, 0);
}

/* -- Interrupts and NMIs. ----------------------------------------------------------------------------------------- */

CASE(interrupt, ALL_NATIVE, RULE_INJECT, BUGS_ANY)
{
	reset_now();
	setup.rflags = X86_EFLAGS_IF;
	setup.shown_flags = X86_EFLAGS_IF;
	expect("[0x20-0xff] extint v@target{IF}");
	for (unsigned v = 32; v < 256; v++) {
		subject_begin(v);
		try_inject(&call, L2_INTR | v, 0);
		subject_end();
	}
}

/* The recorder names vectors below 32 as exceptions; none has an error code. Vector 2 is no NMI. */
CASE(interrupt_low, ALL_NATIVE,
     "APM 2, Event Injection: an external interrupt pushes no error code, whatever its vector", "")
{
	reset_now();
	setup.leave_after = 1;
	expect("#DE@target; #DB[]@target; nmi@target; #BP@target; #OF@target; #BR@target; #UD@target; "
	       "#NM@target; #DF@target; #9@target; #TS@target; #NP@target; #SS@target; #GP@target; "
	       "#PF(no error code,cr2=0x0)@target; #15@target; #MF@target; #AC@target; #MC@target; "
	       "#XM@target; #VE@target; #CP@target; #22@target; #23@target; #24@target; #25@target; "
	       "#26@target; #27@target; #HV@target; #VC@target; #SX@target; #31@target");
	write_cr2(0);
	for (unsigned v = 0; v < 32; v++)
		try_inject(&call, L2_INTR | v, 0);
}

CASE(interrupt_if0, ALL_NATIVE, RULE_INJECT, BUGS_ANY)
{
	reset_now();
	setup.shown_flags = X86_EFLAGS_IF;
	expect("extint 0x50@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

CASE(interrupt_in_shadow, ALL_NATIVE, RULE_INJECT, BUGS_ANY)
{
	reset_now();
	now.int_state = SVM_INTERRUPT_SHADOW;
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x50@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

CASE(nmi, ALL_NATIVE, RULE_INJECT, BUGS_ANY)
{
	reset_now();
	setup.rflags = X86_EFLAGS_IF;
	setup.shown_flags = X86_EFLAGS_IF;
	expect("nmi@target{IF}");
	try_inject(&call, L2_NMI | 2, 0);
}

CASE(nmi_vector_ignored, ALL_NATIVE, "APM 2, Event Injection: for an NMI the vector is ignored", "")
{
	reset_now();
	expect("nmi@target x3");
	try_inject(&call, L2_NMI | 0, 0);
	try_inject(&call, L2_NMI | 0x50, 0);
	try_inject(&call, L2_NMI | 0xff, 0);
}

SNIPPET(call_twice, "mark call; vmmcall; mark target; nop; mark again; vmmcall; mark after; nop");

static unsigned calls;

static void inject_nmi_then_wait(struct l2 *v)
{
	if (calls++ == 0)
		l2_inject(v, L2_NMI | 2, 0, 0);
	else
		l2_window(false);
}

static void inject_nmi_then_take_one(struct l2 *v)
{
	if (calls)
		nmi_to_self();
	inject_nmi_then_wait(v);
}

/* The handler of the injected NMI sends another; it must not wait for the handler's IRET. */
static unsigned nmi_depth, nmi_deepest, nmis_sent;

static enum action nest_nmi(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != 2)
		return BY_RULE;
	if (++nmi_depth > nmi_deepest)
		nmi_deepest = nmi_depth;
	if (nmis_sent++ == 0) {
		nmi_to_self();
		for (volatile int i = 0; i < 1000; i++)
			;
	}
	nmi_depth--;
	return RESUME;
}

CASE_NEEDS("apic=1", nmi_does_not_block, CPL0, RULE_NMI, CATCHES("bochs-injected-nmi-blocks"))
{
	calls = nmi_depth = nmi_deepest = nmis_sent = 0;
	setup.hook = nest_nmi;
	l2_setup.on_call = inject_nmi_then_wait;
	run(call_twice);
	check(nmi_deepest == 2, "a second NMI %s",
	      nmi_deepest ? "did not come while the injected one was handled" : "was never tried");
}

/* -- Exceptions. --------------------------------------------------------------------------------------------------- */

CASE(exception, ALL_NATIVE, RULE_INJECT, BUGS_ANY)
{
	static const uint8_t vectors[] = {0, 1, 6, 7, 16, 18, 19};

	reset_now();
	setup.shown_flags = X86_EFLAGS_IF;
	setup.rflags = X86_EFLAGS_IF;
	expect("#DE@target{IF}; #DB[]@target{IF}; #UD@target{IF}; #NM@target{IF}; #MF@target{IF}; "
	       "#MC@target{IF}; #XM@target{IF}");
	for (unsigned i = 0; i < sizeof(vectors); i++)
		try_inject(&call, L2_EXCEPTION | vectors[i], 0);
}

CASE(exception_with_error_code, ALL_NATIVE, RULE_EV, "")
{
	static const uint8_t vectors[] = {8, 10, 11, 12, 13, 17};

	reset_now();
	expect("#DF(0x0)@target; #TS(0x1234)@target; #NP(0x1234)@target; #SS(0x1234)@target; "
	       "#GP(0x1234)@target; #AC(0x0)@target");
	for (unsigned i = 0; i < sizeof(vectors); i++)
		try_inject(&call, L2_EXCEPTION | L2_EVENT_HAS_ERROR | vectors[i],
			   vectors[i] == 8 || vectors[i] == 17 ? 0 : 0x1234);
}

CASE(page_fault, ALL_NATIVE,
     "APM 2, Event Injection, and VMRUN: #PF is taken with the CR2 that the VMCB holds",
     CATCHES("bochs-vmrun-cr2"))
{
	reset_now();
	now.cr2 = 0x123456789000;
	expect("#PF(0x6,cr2=0x123456789000)@target");
	try_inject(&call, L2_EXCEPTION | L2_EVENT_HAS_ERROR | 14, 6);
}

CASE(no_error_code, ALL_NATIVE, RULE_EV, CATCHES("tcg-eventinj-ev"))
{
	reset_now();
	expect("#GP@target; #SS@target");
	try_inject(&call, L2_EXCEPTION | 13, 0x1234);
	try_inject(&call, L2_EXCEPTION | 12, 0x1234);
}

/* Without it no hypervisor can reflect #VC, and none of its own L2s can be a SEV-ES guest. */
CASE(vc_exception, ALL_NATIVE, RULE_EV, CATCHES("tcg-eventinj-ev"))
{
	reset_now();
	allow("APM 2, #VC: pushes an error code", "#VC(0x72)@target");
	allow("APM 2, Event Injection: invalid where the CPU has no #VC", "exit INVALID");
	try_inject(&call, L2_EXCEPTION | L2_EVENT_HAS_ERROR | 29, 0x72);
}

CASE(bound_compat, COMPAT, RULE_INJECT, BUGS_ANY)
{
	reset_now();
	expect("#BR@target");
	try_inject(&call, L2_EXCEPTION | 5, 0);
}

#define RULE_DB "APM 2, Event Injection: what is injected writes no DR6; the VMCB holds the guest's"

CASE(debug_exception, ALL_NATIVE, RULE_DB, CATCHES("xen-intn-side-effects bochs-vmexit-tf"))
{
	reset_now();
	setup.rflags = X86_EFLAGS_TF;
	setup.shown_flags = X86_EFLAGS_TF;
	expect("#DB[]@target{TF}, #DB[BS]@after{TF}, #DB[BS]@far_after{TF}, #DB[BS]@end{TF}");
	try_inject(&call, L2_EXCEPTION | 1, 0);
}

/* -- Software interrupts and the traps of INT3 and INTO. ------------------------------------------------------ */

CASE(int_n, ALL_NATIVE, RULE_SOFT, BUGS_SOFT)
{
	need_next_rip();
	setup.rflags = X86_EFLAGS_IF;
	setup.shown_flags = X86_EFLAGS_IF;
	setup.leave_after = 1;
	expect("[0x20-0xff] extint v@after{IF}");
	for (unsigned v = 32; v < 256; v++) {
		subject_begin(v);
		try_soft(&call, L2_SOFT_INT | v, "after");
		subject_end();
	}
}

CASE(int_n_low, ALL_NATIVE,
     "APM 2, Event Injection: a software interrupt pushes no error code, whatever its vector",
     CATCHES("nsvm-next-rip bochs-eventinj-rip xen-intn-side-effects"))
{
	need_next_rip();
	setup.leave_after = 1;
	expect("#DE@after; #DB[]@after; nmi@after; #BP@after; #OF@after; #BR@after; #UD@after; "
	       "#NM@after; #DF@after; #9@after; #TS@after; #NP@after; #SS@after; #GP@after; "
	       "#PF(no error code,cr2=0x0)@after; #15@after; #MF@after; #AC@after; #MC@after; "
	       "#XM@after; #VE@after; #CP@after; #22@after; #23@after; #24@after; #25@after; "
	       "#26@after; #27@after; #HV@after; #VC@after; #SX@after; #31@after");
	write_cr2(0);
	for (unsigned v = 0; v < 32; v++)
		try_soft(&call, L2_SOFT_INT | v, "after");
}

CASE(int_n_backed, ALL_NATIVE, RULE_SOFT, BUGS_SOFT)
{
	need_next_rip();
	setup.leave_after = 2;
	expect("int 0x80@after");
	try_soft(&call_int_0x80, L2_SOFT_INT | 0x80, "after");
}

/* nRIP is no instruction length: it may lie anywhere, before RIP as well. */
CASE(int_n_far, ALL_NATIVE, RULE_SOFT, BUGS_SOFT)
{
	need_next_rip();
	setup.leave_after = 1;
	expect("extint 0x80@far_after; extint 0x80@call");
	try_soft(&call, L2_SOFT_INT | 0x80, "far_after");
	try_soft(&call, L2_SOFT_INT | 0x80, "call");
}

CASE(int3, ALL_NATIVE, RULE_SOFT, BUGS_SOFT)
{
	need_next_rip();
	setup.leave_after = 2;
	expect("#BP@after; #BP@after; #BP@far_after");
	try_soft(&call, L2_EXCEPTION | 3, "after");
	try_soft(&call_int3, L2_EXCEPTION | 3, "after");
	try_soft(&call, L2_EXCEPTION | 3, "far_after");
}

CASE(into, COMPAT, RULE_SOFT, BUGS_SOFT)
{
	need_next_rip();
	setup.leave_after = 2;
	setup.rflags = X86_EFLAGS_OF;
	expect("#OF@after; #OF@after");
	try_soft(&call, L2_EXCEPTION | 4, "after");
	try_soft(&call_into, L2_EXCEPTION | 4, "after");
}

/* The kernel's svm_nested_soft_inject_test: a wrong return address runs into UD2. */
CASE(soft_inject_bp_over_ud2, ALL_NATIVE, RULE_SOFT, BUGS_SOFT)
{
	need_next_rip();
	setup.leave_after = 2;
	expect("#BP@after");
	try_soft(&call_ud2, L2_EXCEPTION | 3, "after");
}

/* ... and its delivery faults below L1: the second IDT was never touched. */
CASE_NEEDS("pam=1", soft_inject_bp_cold_idt, ALL_NATIVE, RULE_SOFT,
	   CATCHES("nsvm-next-rip bochs-eventinj-rip kvm-int3-retry"))
{
	need_next_rip();
	setup.leave_after = 2;
	cold_idt();
	expect("#BP@after");
	try_soft(&call_ud2, L2_EXCEPTION | 3, "after");
}

/* ... and L1's own NMI, after L2's injected one was interrupted by a fault and injected once more. */
CASE_NEEDS("pam=1 apic=1", soft_inject_nmi_cold_stack, ALL_NATIVE,
	   "APM 2, Event Injection: an NMI for L2 is delivered to L2, and one for L1 to L1",
	   CATCHES("nsvm-nmi-reinject"))
{
	cold_ist_stack(2);
	calls = 0;
	l2_setup.on_call = inject_nmi_then_take_one;
	expect("nmi@target, L1 nmi");
	run(call_twice);
}

/* -- The gate refuses. ---------------------------------------------------------------------------------------------- */

static void refuse(unsigned vector)
{
	reset_now();
	gate_set_dpl(vector, 0);
}

CASE(int_n_gate_dpl0, USER, RULE_DPL_SOFT, CATCHES("xsa-106 tcg-idt-errcode-64"))
{
	refuse(0x80);
	expect("#GP(0x402)@target");
	try_inject(&call, L2_SOFT_INT | 0x80, 0);
}

CASE(int3_gate_dpl0, USER, RULE_DPL_SOFT, CATCHES("tcg-eventinj-dpl bochs-eventinj-ext xsa-106"))
{
	refuse(3);
	expect("#GP(0x1a)@target");
	now.next_rip = mark_address(&call, "after");
	try_inject(&call, L2_EXCEPTION | 3, 0);
}

CASE(exception_gate_dpl0, USER, RULE_NO_DPL, "")
{
	refuse(6);
	expect("#UD@target");
	try_inject(&call, L2_EXCEPTION | 6, 0);
}

CASE(interrupt_gate_dpl0, USER, RULE_NO_DPL, "")
{
	refuse(0x50);
	expect("extint 0x50@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

/* -- Flags and breakpoints. --------------------------------------------------------------------------------------- */

CASE(rf_is_saved, ALL_NATIVE,
     "APM 2, Event Injection: the frame holds the RFLAGS of the VMCB, RF too", "")
{
	reset_now();
	now.rflags = X86_EFLAGS_RF;
	setup.shown_flags = X86_EFLAGS_RF;
	expect("extint 0x50@target{RF}");
	try_inject(&call, L2_INTR | 0x50, 0);
}

CASE(rf_stays_clear, ALL_NATIVE,
     "APM 2, Event Injection: the frame holds the RFLAGS of the VMCB; an interrupt does not set RF",
     CATCHES("tcg-eventinj-rf"))
{
	reset_now();
	setup.shown_flags = X86_EFLAGS_RF;
	expect("extint 0x50@target; nmi@target");
	try_inject(&call, L2_INTR | 0x50, 0);
	try_inject(&call, L2_NMI | 2, 0);
}

CASE(then_breakpoint, ALL_NATIVE,
     "APM 2, Event Injection: the event comes before the first instruction, and before a breakpoint on it",
     CATCHES("tcg-eventinj-rf"))
{
	reset_now();
	breakpoint_set(0, mark_address(&call, "target"), BREAK_CODE, 1);
	expect("extint 0x50@target, #DB[B0]@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

/* -- What cannot be injected. --------------------------------------------------------------------------------------- */

CASE(invalid_types, ALL_NATIVE, RULE_INVALID, CATCHES("tcg-vmexit-invalid"))
{
	static const uint8_t types[] = {1, 5, 6, 7};

	reset_now();
	expect("exit INVALID x8");
	for (unsigned i = 0; i < sizeof(types); i++) {
		try_inject(&call, types[i] << 8 | 0x50, 0);
		try_inject(&call, types[i] << 8 | 6, 0);
	}
}

CASE(invalid_exceptions, ALL_NATIVE, RULE_INVALID, CATCHES("tcg-vmexit-invalid bochs-eventinj-31"))
{
	reset_now();
	expect("[0x1f-0xff] exit INVALID");
	for (unsigned v = 31; v < 256; v++) {
		subject_begin(v);
		try_inject(&call, L2_EXCEPTION | v, 0);
		subject_end();
	}
}

CASE(invalid_exception_2, ALL_NATIVE, RULE_INVALID, CATCHES("tcg-vmexit-invalid"))
{
	reset_now();
	expect("exit INVALID");
	try_inject(&call, L2_EXCEPTION | 2, 0);
}

CASE(invalid_reserved_exceptions, ALL_NATIVE, RULE_INVALID, CATCHES("eventinj-reserved-vector"))
{
	static const uint8_t vectors[] = {15, 22, 23, 24, 25, 26, 27};

	reset_now();
	setup.leave_after = 1;
	expect("exit INVALID x7");
	for (unsigned i = 0; i < sizeof(vectors); i++)
		try_inject(&call, L2_EXCEPTION | vectors[i], 0);
}

CASE(invalid_bound_in_64_bit_code, CPL0 | CPL3, RULE_INVALID, CATCHES("eventinj-64bit"))
{
	reset_now();
	expect("exit INVALID");
	try_inject(&call, L2_EXCEPTION | 5, 0);
}

/* Nothing of L2 may have changed: what the VMCB held is what it still holds. */
static struct vmcb before_invalid;
static bool save_area_kept;

static void inject_nonsense(struct l2 *v)
{
	l2_inject(v, L2_EXCEPTION | 2, 0, 0);
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

CASE(invalid_then_good, ALL_NATIVE, RULE_INVALID, CATCHES("tcg-vmexit-invalid"))
{
	l2_setup.on_call = inject_nonsense;
	l2_setup.on_exit = compare_and_resume;
	expect("exit INVALID, #UD@target");
	run(call_ud2);
}

CASE(invalid_keeps_save_area, ALL_NATIVE,
     "APM 2, #VMEXIT: writes back the guest's state as loaded by VMRUN, not the host's",
     CATCHES("invalid-exit-overwrites-save-area"))
{
	save_area_kept = false;
	l2_setup.on_call = inject_nonsense;
	l2_setup.on_exit = compare_and_resume;
	run(call);
	check(save_area_kept, "the save area is not what it was before VMRUN");
}
