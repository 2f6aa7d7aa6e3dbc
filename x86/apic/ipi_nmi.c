/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs by IPI: when they are delivered, what blocks them, and which CPUs they reach.
 *
 * The rule. An NMI needs neither IF nor a TPR, and its IPI's vector field means nothing. While one is
 * handled, until the next IRET, further ones wait; one is kept, the rest are lost. INT 2 goes through the
 * same gate and is no NMI: it blocks none and is not blocked, but its IRET, as any other, ends the
 * blocking.
 *
 * Why a hypervisor must care. Several NMIs at a time are the classic of lost and doubled events: exactly
 * one stays pending.
 *
 * A buggy hypervisor shows `nmi@inside` (blocking forgotten), a third `nmi` (not collapsed), none where
 * INT 2 came before (INT 2 taken for an NMI).
 *
 * This file is also the guest ipi_nmi_x2apic.
 */
#include "icr.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_NMI \
	"SDM 3A, Nonmaskable Interrupt (NMI): delivered whatever IF and TPR say; the IPI's vector is ignored"
#define RULE_BLOCKING \
	"SDM 3A, Handling Multiple NMIs: after an NMI further ones wait until the next IRET; one of them is kept"
#define RULE_INT_2 \
	"SDM 3A, Handling Multiple NMIs and INT n: INT 2 is no NMI; it blocks none and is not blocked"
#define RULE_IPI "SDM 3A, Interrupt Command Register: NMI to the CPUs that the destination names"

CASE_NEEDS(MODE_NEEDS, self, SENDERS, RULE_NMI, CATCHES("model-nmi-masked model-nmi-vector"))
{
	apic_write(APIC_TPR, 0xff);
	expect("[0x0-0xff] nmi@wait");
	for_each_vector(v, 0, 255) {
		prepare(apic_id(), ICR_NMI | v);
		subject_begin(v);
		run_until(nmi_to_itself, 1);
		subject_end();
	}
	apic_write(APIC_TPR, 0);
}

/* -- Blocking. --------------------------------------------------------------------------------- */

/* From a hook: on with the snippet at a mark, still in the handler as far as the CPU knows. CPL 0 only. */
static void __attribute__((noreturn))
go_on_without_iret(const struct trap_frame *frame, uint64_t rip)
{
	uint64_t *stack = (uint64_t *)frame->iret.rsp;

	*--stack = rip;
	/* In the order of struct regs. */
	asm volatile("mov %0, %%rsp\n"
		     "mov 8(%1), %%rbx; mov 16(%1), %%rcx; mov 24(%1), %%rdx; mov 32(%1), %%rsi\n"
		     "mov 48(%1), %%rbp; mov 56(%1), %%r8; mov 64(%1), %%r9; mov 72(%1), %%r10\n"
		     "mov 80(%1), %%r11; mov 88(%1), %%r12; mov 96(%1), %%r13\n"
		     "mov 104(%1), %%r14; mov 112(%1), %%r15; mov (%1), %%rax; mov 40(%1), %1\n"
		     "ret"
		     :
		     : "a"(stack), "D"(&frame->regs)
		     : "memory");
	__builtin_unreachable();
}

#define IRET_TO_NEXT                                                 \
	"mov %rsp, %rax; push $0x18; push %rax; pushf; push $0x10; " \
	"lea 1f(%rip), %rax; push %rax; iretq; area outside; 1: "

SNIPPET_BOTH(nmi_then_iret,
	     SEND WAIT "; area inside; mov $64, %ecx; 2: loop 2b; " IRET_TO_NEXT
		       "mov $64, %ecx; 2: loop 2b; mark behind; nop",
	     "nop");

/* How often the hook was called in this case. */
static unsigned calls;

static enum action nmi_in_nmi(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	if (calls++)
		return BY_RULE;
	nmi_to_self();
	go_on_without_iret(frame, mark_address(&nmi_then_iret, "inside"));
}

CASE_NEEDS(MODE_NEEDS, blocked_until_iret, CPL0, RULE_BLOCKING,
	   CATCHES("xen-nmi-waits-for-if model-nmi-unblocked-early"))
{
	need_iret_unblocks_nmi();
	calls = 0;
	setup.hook = nmi_in_nmi;
	prepare(apic_id(), ICR_NMI);
	expect("nmi@wait, nmi@outside");
	run_until(nmi_then_iret, 2);
}

static enum action three_nmis_in_nmi(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	(void)frame;
	if (!calls++)
		for (int i = 0; i < 3; i++)
			nmi_to_self();
	return BY_RULE;
}

CASE_NEEDS(MODE_NEEDS, collapse, SENDERS, RULE_BLOCKING,
	   CATCHES("model-nmi-not-collapsed model-nmi-unblocked-early"))
{
	calls = 0;
	setup.hook = three_nmis_in_nmi;
	prepare(apic_id(), ICR_NMI);
	expect("nmi@wait x2");
	run_until(nmi_to_itself, 2);
	/* What is left would come now. */
	calls = 1;
	setup.regs.rbx = ICR_FIXED | ICR_ASSERT | ICR_SELF | LATER;
	setup.rflags = X86_EFLAGS_IF | X86_EFLAGS_IOPL;
	expect("nmi@wait, nmi@wait; intr 0x31@wait");
	run_until(nmi_to_itself, 1);
}

/* -- INT 2. ------------------------------------------------------------------------------------ */

SNIPPET(int_2_then_nmi, "mark insn; int $2; mark after_int; nop; " SEND WAIT);

static enum action leave_int_2_without_iret(const struct event *event, struct trap_frame *frame)
{
	if (event->origin == FROM_INT_N)
		go_on_without_iret(frame, frame->iret.rip);
	return BY_RULE;
}

CASE_NEEDS(MODE_NEEDS, int_2_blocks_nothing, CPL0, RULE_INT_2, CATCHES("model-int-2-as-nmi"))
{
	setup.hook = leave_int_2_without_iret;
	prepare(apic_id(), ICR_NMI);
	expect("int 0x2@after_int, nmi@wait");
	run_until(int_2_then_nmi, 1);
}

SNIPPET(nmi_then_int_2,
	SEND WAIT "; area inside; mov $64, %ecx; 2: loop 2b; int $2; mark after_int; nop; "
		  "area outside; mov $64, %ecx; 2: loop 2b; mark behind; nop");

static enum action int_2_in_nmi(const struct event *event, struct trap_frame *frame)
{
	/* Not back to where an NMI would look like INT 2. */
	if (event->origin == FROM_INT_N)
		frame->iret.rip = mark_address(&nmi_then_int_2, "outside");
	if (event->origin == FROM_INT_N || calls++)
		return BY_RULE;
	nmi_to_self();
	go_on_without_iret(frame, mark_address(&nmi_then_int_2, "inside"));
}

/* The IRET of INT 2's handler ends the blocking, as any IRET does. */
CASE_NEEDS(MODE_NEEDS, int_2_is_not_blocked, CPL0, RULE_INT_2,
	   CATCHES("model-int-2-as-nmi model-nmi-unblocked-early"))
{
	need_iret_unblocks_nmi();
	calls = 0;
	setup.hook = int_2_in_nmi;
	prepare(apic_id(), ICR_NMI);
	expect("nmi@wait, int 0x2@after_int, nmi@outside");
	run_until(nmi_then_int_2, 2);
}

/* -- To other CPUs. ---------------------------------------------------------------------------- */

/* EBX: a counter of CPUs that are in their place. */
SNIPPET(wait_for_nmi, "lock incl (%ebx); area wait; sti; nop; " WAIT);
SNIPPET(open, "sti; nop; " WAIT);
SNIPPET(send_and_wait, SEND "sti; nop; " WAIT);

static struct {
	volatile uint32_t ready;
	uint32_t targets;
	volatile bool sent;
} round;
static unsigned cpus;

static void be_ready(void *argument)
{
	unsigned due = round.targets >> this_cpu()->index & 1 ? 2 : 1;

	(void)argument;
	if (run_until(wait_for_nmi, due) == due)
		return;
	/* What comes too late must not hit this CPU while it is parked. */
	await(round.sent, "CPU 0 to send the later IPI");
	if (apic_bit(APIC_IRR, LATER))
		run_until(open, 1);
	interrupts_drain();
}

static void try_round(uint32_t targets, uint32_t destination, uint32_t command)
{
	char buffer[200];
	struct text text;

	targets &= (1u << cpus) - 1;
	memset((void *)&round, 0, sizeof(round));
	round.targets = targets;
	setup.regs.rbx = (uint64_t)&round.ready;
	for (unsigned i = 1; i < cpus; i++)
		cpu_start_work(i, be_ready, NULL);
	check(wait_until(round.ready == cpus - 1), "%u of %u CPUs got ready", round.ready,
	      cpus - 1);
	apic_icr(apic_id(), ICR_FIXED | ICR_ASSERT | LATER);
	prepare(destination, command);
	run_until(send_and_wait, targets & 1 ? 2 : 1);
	for (unsigned i = 1; i < cpus; i++)
		apic_icr(percpu[i].apic_id, ICR_FIXED | ICR_ASSERT | LATER);
	round.sent = true;
	for (unsigned i = 1; i < cpus; i++)
		check(cpu_wait(i), "CPU %u did not come back", i);
	text_init(&text, buffer, sizeof(buffer));
	for (unsigned i = 0; i < cpus; i++) {
		if (i)
			text_append(&text, " | cpu%u: ", i);
		text_append(&text,
			    targets >> i & 1 ? "nmi@wait, intr 0x31@wait" : "intr 0x31@wait");
	}
	expect("%s", buffer);
}

static void use_cpus(void)
{
	cpus = cpus_present() < 4 ? cpus_present() : 4;
	need(cpus_start(cpus), "CPU %u did not answer INIT and SIPI", cpus_started());
}

#define ROUND(name, targets, destination, command, bugs)                      \
	CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, RULE_IPI, CATCHES(bugs)) \
	{                                                                     \
		use_cpus();                                                   \
		try_round(targets, destination, command);                     \
	}

/* Somebody who is named; somebody who is not. */
#define NAMED "model-nmi-lost"
#define NOT_NAMED "model-nmi-wrong-target"

ROUND(other, 1 << 1, percpu[1].apic_id, ICR_NMI, NAMED " " NOT_NAMED)
ROUND(others, ~1u, 0, ICR_NMI | ICR_OTHERS, NAMED " " NOT_NAMED)
ROUND(all_by_id, ~0u, apic_everybody(), ICR_NMI, NAMED)
ROUND(other_by_logical_id, 2, apic_logical_id(1), ICR_NMI | ICR_LOGICAL,
      NAMED " " NOT_NAMED " bochs-x2apic-ldr")
ROUND(pair_by_logical_id, 3, apic_logical_id(0) | apic_logical_id(1), ICR_NMI | ICR_LOGICAL,
      NAMED " bochs-x2apic-ldr")
ROUND(all_by_logical_id, ~0u, apic_everybody(), ICR_NMI | ICR_LOGICAL, NAMED)
ROUND(nobody_by_id, 0, 0x5a, ICR_NMI, NOT_NAMED)
ROUND(nobody_by_logical_id, 0, apic_logical_id(0) << 7, ICR_NMI | ICR_LOGICAL, NOT_NAMED)

/* CPU 1 is in its NMI handler while CPU 0 sends three more. */
static enum action wait_in_handler(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	(void)frame;
	if (this_cpu()->index == 1 && !calls++) {
		round.ready++;
		await(round.sent, "CPU 0 to send more NMIs");
	}
	return BY_RULE;
}

static void take_two(void *argument)
{
	(void)argument;
	run_until(wait_for_nmi, 3);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, collapse_from_other, CPL0, RULE_BLOCKING,
	   CATCHES("model-nmi-not-collapsed model-nmi-lost"))
{
	calls = 0;
	memset((void *)&round, 0, sizeof(round));
	setup.hook = wait_in_handler;
	setup.regs.rbx = (uint64_t)&round.ready;
	expect("(none) | cpu1: nmi@wait, nmi@wait, intr 0x31@wait");
	cpu_start_work(1, take_two, NULL);
	check(wait_until(round.ready == 1), "CPU 1 did not get ready");
	apic_icr(percpu[1].apic_id, ICR_NMI | ICR_ASSERT);
	check(wait_until(round.ready == 2), "CPU 1 did not get the first NMI");
	for (int i = 0; i < 3; i++)
		apic_icr(percpu[1].apic_id, ICR_NMI | ICR_ASSERT);
	apic_icr(percpu[1].apic_id, ICR_FIXED | ICR_ASSERT | LATER);
	round.sent = true;
	check(cpu_wait(1), "CPU 1 did not come back");
}
