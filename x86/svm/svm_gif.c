/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The global interrupt flag, which #VMEXIT clears and VMRUN sets.
 *
 * The rule (APM 2, "Global Interrupt Flag"). While GIF is 0, from an exit to STGI, no interrupt and no NMI
 * comes; they are held pending and taken when GIF is 1. Breakpoints are discarded meanwhile, TF works.
 * VMEXIT_INVALID is an exit like others.
 *
 * The bugs that taught it. Xen left GIF set after VMEXIT_INVALID, so that an interrupt could hit L1 where it
 * cannot. KVM says of breakpoints at GIF=0 that it does not discard them, QEMU and Bochs do not either.
 *
 * VMX has no such flag: there an NMI can hit L1 between an exit and the next entry. A buggy hypervisor shows
 * an `L1 nmi`, `L1 intr` or `L1 #DB` too many or too early.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_GIF "APM 2, Global Interrupt Flag: interrupts and NMIs are held pending while GIF is 0"
#define RULE_GIF_DB \
	"APM 2, Global Interrupt Flag: with GIF=0 breakpoints are ignored and discarded, EFLAGS.TF works"

#define PENDING_VECTOR 0x31

SNIPPET(call, "mark call; vmmcall; mark target; nop");

static unsigned events_of(const struct l2 *v)
{
	return recording_of(v->cpu)->run.group->events;
}

static unsigned with_gif_clear;

/* After an exit GIF is 0: nothing may come before STGI, and all of it then. */
static void pend_at_gif0(struct l2 *v)
{
	interrupt_pending(PENDING_VECTOR);
	nmi_to_self();
	asm volatile("sti; nop; nop");
	give_it_time();
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
	give_it_time();
	with_gif_clear = events_of(v);
	l2_window(false);
	return L2_END;
}

static void inject_nonsense(struct l2 *v)
{
	l2_inject(v, L2_EXCEPTION | VECTOR_NMI, 0, 0);
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

static void run_into_breakpoint(void)
{
	write_dr0((uint64_t)gif_target);
	write_dr7(DR7_CLEAR | 2);
	gif_target();
	write_dr7(DR7_CLEAR);
}

static void break_at_gif0(struct l2 *v)
{
	if (v->exits > 1)
		return;
	run_into_breakpoint();
	l2_window(false);
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
	run_into_breakpoint();
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
