/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPIs that are no fixed interrupts: NMI, INIT, start-up; and the local APIC switched off and on.
 *
 * The rule. An NMI needs neither IF nor a TPR, and its IPI's vector field means nothing. While one is
 * handled, until the next IRET, further ones wait; one is kept, the rest are lost. INT 2 goes through the
 * same gate and is no NMI: it blocks none and is not blocked, but its IRET, as any other, ends the
 * blocking. An APIC that software has disabled takes no fixed interrupt, keeps what is in IRR, and
 * still takes NMI, INIT and start-up. INIT makes its registers those after reset, pending interrupts
 * gone; the id stays. A start-up IPI means something only to a CPU that waits for it after INIT. Two
 * CPUs that software gave one xAPIC id both get what is sent to it.
 *
 * The bugs that taught it. OpenVMM lost an interrupt that was pending while the APIC was switched off and
 * on (f32f5a767). KVM before 6.3 sent to one of two CPUs with the same id (5b84b0291702). Several NMIs
 * at a time are the classic of lost and doubled events: exactly one stays pending.
 *
 * A buggy hypervisor shows `nmi@inside` (blocking forgotten), a third `nmi` (not collapsed), none where
 * INT 2 came before (INT 2 taken for an NMI), `irr=0x0` after the APIC was off.
 *
 * This file is also the guest ipi_nmi_x2apic.
 *
 * https://github.com/microsoft/openvmm/commit/f32f5a767, https://git.kernel.org/torvalds/c/5b84b0291702
 */
#include "trapline.h"

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
#define RULE_DISABLED \
	"SDM 3A, Local APIC State After It Has Been Software Disabled: IRR is kept, fixed interrupts are refused, NMIs are taken"
#define RULE_INIT \
	"SDM 3A, Local APIC State After It Receives an INIT Reset: as after reset, but for the id"
#define RULE_SIPI \
	"SDM 3A, MP Initialization: a start-up IPI is ignored by a CPU that does not wait for it"
#define RULE_ID \
	"SDM 3A, Local APIC ID: software may change it; an IPI goes to every CPU with that id"

#define LATER 0x31
/*
 * EBX: the command. EBP: in xAPIC mode the ICR, whose other half is written before; in x2APIC mode the
 * destination. Only CPL 0 may write the x2APIC's ICR.
 */
#ifdef X2APIC
#define SENDERS CPL0
#define SEND                                                                               \
	"mark send; .byte 0x51; mov $0x830, %ecx; mov %ebx, %eax; mov %ebp, %edx; wrmsr; " \
	"area wait; .byte 0x59; "
#else
#define SENDERS ALL_NATIVE
#define ICR_ADDRESS 0xfee00300
#define SEND "mark send; mov %ebx, (%ebp); area wait; "
#endif

SNIPPET(nmi_to_itself, SEND WAIT);

/* The snippet sends when it is in its place. */
static void prepare(uint32_t destination, uint32_t command)
{
	setup.regs.rbx = command | ICR_ASSERT;
#ifdef X2APIC
	setup.regs.rbp = destination;
#else
	apic_write(APIC_ICR_HIGH, destination << 24);
	setup.regs.rbp = ICR_ADDRESS;
#endif
}

CASE_NEEDS(MODE_NEEDS, self, SENDERS, RULE_NMI, CATCHES("model-nmi-masked model-nmi-vector"))
{
	apic_write(APIC_TPR, 0xff);
	expect("[0x0-0xff] nmi@wait");
	for (unsigned v = 0; v < 256; v++) {
		prepare(apic_id(), ICR_NMI | v);
		subject_begin(v);
		run_until(nmi_to_itself, 1);
		subject_end();
	}
	apic_write(APIC_TPR, 0);
}

/* -- Blocking. ------------------------------------------------------------------------------------ */

/* From a hook: on with the snippet at a mark, still in the handler as far as the CPU knows. CPL 0 only. */
static void __attribute__((noreturn))
go_on_without_iret(const struct trap_frame *frame, uint64_t rip)
{
	const struct regs *r = &frame->regs;
	register uint64_t target asm("r8") = rip;

	asm volatile("mov %0, %%rsp; mov %1, %%rbp; jmp *%2"
		     :
		     : "a"(frame->iret.rsp), "d"(r->rbp), "r"(target), "b"(r->rbx), "c"(r->rcx),
		       "S"(r->rsi), "D"(r->rdi)
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
	   CATCHES("model-nmi-unblocked-early"))
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

/* -- INT 2. --------------------------------------------------------------------------------------- */

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

/* -- To other CPUs. ------------------------------------------------------------------------------- */

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

/* -- The APIC off and on. ------------------------------------------------------------------------- */

/* Another spurious vector than the one under test. */
static void software_enable(bool on, unsigned v)
{
	apic_write(APIC_SPURIOUS, (on ? APIC_SOFTWARE_ENABLE : 0) | (v < 0xe0 ? 0xff : 0x40));
}

CASE_NEEDS(MODE_NEEDS, pending_while_off, CPL0, RULE_DISABLED, CATCHES("openvmm-apic-toggle"))
{
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x100; v++) {
		subject_begin(v);
		apic_icr(0, ICR_FIXED | ICR_ASSERT | ICR_SELF | v);
		software_enable(false, v);
		software_enable(true, v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(open, 1);
		subject_end();
	}
	apic_enable(0);
}

CASE_NEEDS(MODE_NEEDS, nmi_while_off, SENDERS, RULE_DISABLED, CATCHES("model-nmi-masked"))
{
	software_enable(false, LATER);
	prepare(apic_id(), ICR_NMI);
	expect("nmi@wait");
	run_until(nmi_to_itself, 1);
	apic_enable(0);
}

/* What a disabled APIC is sent by another CPU is not there later on. */
static void stay_disabled(void *argument)
{
	uint32_t irr;

	(void)argument;
	software_enable(false, LATER);
	round.ready = 1;
	await(round.sent, "CPU 0 to send");
	irr = apic_read(APIC_IRR);
	apic_enable(this_cpu()->index);
	for (unsigned v = 0x1f; v >= 0x10; v--) {
		subject_begin(v);
		observe("irr", irr >> v & 1);
		if (apic_bit(APIC_IRR, v))
			run_until(open, 1);
		subject_end();
	}
	round.ready = 2;
	await(apic_bit(APIC_IRR, LATER), "the later IPI");
	run_until(open, 1);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, refused_while_off, CPL0, RULE_DISABLED,
	   CATCHES("tcg-irr-while-off model-apic-never-off"))
{
	memset((void *)&round, 0, sizeof(round));
	setup.leave_after = 1;
	expect("(none) | cpu1: [0x10-0x1f] irr=0x0; intr 0x31@wait");
	cpu_start_work(1, stay_disabled, NULL);
	check(wait_until(round.ready == 1), "CPU 1 did not get ready");
	for (unsigned v = 0x10; v < 0x20; v++)
		apic_icr(percpu[1].apic_id, ICR_FIXED | ICR_ASSERT | v);
	round.sent = true;
	check(wait_until(round.ready == 2), "CPU 1 did not enable its APIC");
	apic_icr(percpu[1].apic_id, ICR_FIXED | ICR_ASSERT | LATER);
	check(cpu_wait(1), "CPU 1 did not come back");
}

/* -- INIT and start-up. --------------------------------------------------------------------------- */

static void let_all_pend(void *argument)
{
	(void)argument;
	apic_write(APIC_TPR, 0x20);
	round.ready = 1;
	await(round.sent, "CPU 0 to send");
	round.ready = apic_read(APIC_IRR + 0x70) == 0xffffffff ? 2 : 3;
	/* INIT comes here; where it does not, cpu_restart says so. */
	wait_until(false);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, init_forgets, CPL0, RULE_INIT, CATCHES("model-init-keeps-apic"))
{
	const struct apic_state *state = &percpu[1].apic_at_start;

	need(!sev_is_es(),
	     "under SEV-ES no INIT resets a CPU, whose registers are sealed: it starts "
	     "anew from an AP reset hold only");
	memset((void *)&round, 0, sizeof(round));
	expect("irr=0x0; isr=0x0; tpr=0x0; spurious=0xff");
	cpu_start_work(1, let_all_pend, NULL);
	check(wait_until(round.ready == 1), "CPU 1 did not get ready");
	for (unsigned v = 0x10; v < 0x100; v++)
		apic_icr(percpu[1].apic_id, ICR_FIXED | ICR_ASSERT | v);
	round.sent = true;
	await(round.ready >= 2, "CPU 1 to read its IRR");
	witness(round.ready == 2, "the interrupts are not pending");
	check(cpu_restart(1), "CPU 1 did not answer INIT and SIPI");
	observe("irr", state->irr);
	observe("isr", state->isr);
	observe("tpr", state->tpr);
	observe("spurious", state->spurious);
	check(percpu[1].apic_id == 1, "its id is %#x", percpu[1].apic_id);
}

static void just_answer(void *argument)
{
	*(volatile bool *)argument = true;
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, start_up_is_ignored, CPL0, RULE_SIPI,
	   CATCHES("model-sipi-restarts"))
{
	unsigned before = percpu[1].starts;
	volatile bool answered = false;

	expect("starts=0x0; answers=0x1");
	apic_icr(percpu[1].apic_id, ICR_STARTUP | ICR_ASSERT | AP_START_PAGE >> 12);
	cpu_start_work(1, just_answer, (void *)&answered);
	cpu_wait(1);
	observe("starts", percpu[1].starts - before);
	observe("answers", answered);
}

#ifndef X2APIC /* whose ids cannot be changed */
/* -- One id for two. ------------------------------------------------------------------------------ */

static void take_class_1(void)
{
	for (unsigned v = 0x1f; v >= 0x10; v--) {
		subject_begin(v);
		observe("irr", apic_bit(APIC_IRR, v));
		if (apic_bit(APIC_IRR, v))
			run_until(open, 1);
		subject_end();
	}
}

static void take_id_of_cpu_0(void *argument)
{
	uint32_t mine = apic_read(APIC_ID);

	(void)argument;
	apic_write(APIC_ID, percpu[0].apic_id << 24);
	round.targets = apic_read(APIC_ID) >> 24 == percpu[0].apic_id;
	round.ready = 1;
	if (round.targets) {
		await(round.sent, "CPU 0 to send");
		take_class_1();
	}
	apic_write(APIC_ID, mine);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, one_id_for_two, CPL0, RULE_ID,
	   CATCHES("kvm-aliased-apic-id tcg-aliased-apic-id"))
{
	memset((void *)&round, 0, sizeof(round));
	setup.leave_after = 1;
	cpu_start_work(1, take_id_of_cpu_0, NULL);
	check(wait_until(round.ready), "CPU 1 did not get ready");
	if (!round.targets)
		cpu_wait(1);
	need(round.targets, "the APIC id cannot be written");
	expect("[0x10-0x1f] irr=0x1, intr v@wait | cpu1: [0x10-0x1f] irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x20; v++)
		apic_icr(percpu[0].apic_id, ICR_FIXED | ICR_ASSERT | v);
	round.sent = true;
	take_class_1();
	/* By memory: no id is sure to be the other's alone. */
	check(wait_until(!percpu[1].work), "CPU 1 did not come back");
}
#endif
