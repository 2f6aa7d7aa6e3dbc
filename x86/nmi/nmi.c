/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMI: once, not inside its own handler, not behind MOV SS.
 *
 * The rule. An NMI is delivered whatever IF says. From then on further ones are held back until the
 * next IRET, any IRET, also one of another handler in between and also one that faults; of those held
 * back one is kept. MOV SS and POP SS hold NMI back for one instruction, so that SS and RSP can change
 * together; STI may or may not. An NMI goes before a maskable interrupt.
 *
 * Why a hypervisor must care. It keeps the blocking in software or in its virtual NMI, has to see the
 * IRET that ends it, and has to deliver again what it has injected and what a fault on the way to the
 * handler took back. KVM lost L1's NMI behind one that it had injected into L2 (before 6.0). QEMU's
 * emulation takes an NMI behind MOV SS, seen in 7.2. Linux's NMI entry code is long because an INT3 or
 * #DB in the handler lets the next one in; a hypervisor that "protects" the guest from that, or that
 * lets an NMI in earlier, breaks it either way.
 *
 * What a buggy hypervisor shows here: no NMI, two for one, one inside the handler of another, or one at
 * `shadow`.
 *
 * The CPU sends the NMI to itself by its APIC's command register or has another CPU send it, and waits in
 * a LOOP instruction that branches to itself, so that it does not matter how long the NMI takes.
 */
#include "trapline.h"

#include "x86/devices/ioapic.h"
#include "x86/devices/pic.h"

#include "panic.h"

#define PENDING 0x31

#define APIC_ICR_ADDRESS 0xfee00300ul

#define RULE_NMI "SDM 3A, Nonmaskable Interrupt (NMI): delivered through vector 2, whatever IF says"
#define RULE_BLOCKED \
	"SDM 3A, Handling Multiple NMIs: an NMI blocks further ones until the next IRET; one of them is kept"
#define RULE_ANY_IRET \
	"SDM 3A, Handling Multiple NMIs: the next IRET unblocks NMIs, also that of another handler inside"
#define RULE_FAULTING_IRET \
	"SDM 3A, Handling Multiple NMIs: IRET unblocks NMIs even if it faults, before the fault is delivered"
#define RULE_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: MOV SS and POP SS hold NMI back until the next instruction is done"
#define RULE_STI \
	"SDM 2B, STI-Set Interrupt Flag: whether NMI is held back too is up to the CPU; it comes once"
#define RULE_PRIORITY \
	"SDM 3A, Priority Among Concurrent Events: NMI comes before maskable interrupts"

/* ECX counts down so that an NMI that never comes ends the wait. */
#define WAIT_HERE "mark wait; 1: loop 1b; mark late; nop"
#define WAIT_LOOPS 20000000
#define WAIT_LOOPS_MORE 2000
#define SEND "mark insn\n" TEXT_mmio_write "\n"

/* What the case's handler does besides. */
static event_hook *handler;

/* An NMI that came ends the wait soon: there is still time for one that must not come. */
static enum action end_wait(const struct event *event, struct trap_frame *frame)
{
	const struct run *run = &this_recording()->run;

	if (event->rip - run->base < (uint64_t)(run->code->end - run->code->start) &&
	    frame->regs.rcx > WAIT_LOOPS_MORE)
		frame->regs.rcx = frame->regs.rbp = WAIT_LOOPS_MORE;
	return handler ? handler(event, frame) : BY_RULE;
}

static void prepare_self_nmi(void)
{
	handler = NULL;
	setup.hook = end_wait;
	apic_enable(0);
	need(!apic_is_x2(), "the snippets know the xAPIC's page only");
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	setup.regs.rcx = WAIT_LOOPS;
	setup.regs.rsi = stack_selector();
	grant_iopl();
}

/* -- Delivered, with everything that delivery touches warm or cold. ---------------------------- */

SNIPPET(nmi, SEND WAIT_HERE);

#define NMI_ROW(name, needs, environments, make_cold)                                              \
	CASE_NEEDS(needs, name, environments, RULE_NMI, CATCHES("model-nmi-lost model-nmi-twice")) \
	{                                                                                          \
		prepare_self_nmi();                                                                \
		make_cold;                                                                         \
		setup.leave_after = 0;                                                             \
		expect("nmi@wait");                                                                \
		run(nmi);                                                                          \
	}

NMI_ROW(warm, "", IN_EVERY_RING, (void)0)
NMI_ROW(cold_stack_ist, "", ALL_NATIVE, cold_ist_stack(VECTOR_NMI))
NMI_ROW(cold_stack_rsp0, "", OUTER_RINGS, cold_rsp0_stack())
NMI_ROW(cold_idt, "pam=1", ALL_NATIVE, cold_idt())
NMI_ROW(cold_tss, "pam=1", WITH_EVENT_STACK | RINGS, cold_tss(VECTOR_NMI))
NMI_ROW(cold_handler, "pam=1", ALL_NATIVE, cold_handler(VECTOR_NMI))
NMI_ROW(cold_page_table, "pam=1", ALL_NATIVE, cold_page_table(VECTOR_NMI))
NMI_ROW(interrupts_on, "", ALL_NATIVE, setup.rflags |= X86_EFLAGS_IF)

/* -- Blocked from entry to IRET. --------------------------------------------------------------- */

static unsigned nmis, sends;

/* The first NMI's handler sends more and sees that none comes. */
static enum action send_more(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != VECTOR_NMI || nmis++)
		return BY_RULE;
	for (unsigned i = 0; i < sends; i++)
		nmi_to_self();
	give_it_time();
	return BY_RULE;
}

static void try_blocked(unsigned count, const char *trace)
{
	prepare_self_nmi();
	nmis = 0;
	sends = count;
	handler = send_more;
	expect("%s", trace);
	run(nmi);
}

CASE(blocked_until_iret, ALL_NATIVE | RINGS, RULE_BLOCKED,
     CATCHES("xen-nmi-waits-for-if model-nmi-unblocked-early model-nmi-lost"))
{
	try_blocked(1, "nmi@wait, nmi@wait");
}

CASE(one_is_kept, ALL_NATIVE, RULE_BLOCKED, CATCHES("model-nmi-unblocked-early"))
{
	try_blocked(5, "nmi@wait, nmi@wait");
}

/* Behind the second NMI's IRET nothing is blocked any more. */
SNIPPET(nmi_again, SEND "mark wait; 1: loop 1b; mark between; mov %edx, %ecx\n" TEXT_mmio_write
			"\nmark again; 1: loop 1b; mark late; nop");

CASE(unblocked_by_iret, ALL_NATIVE, RULE_BLOCKED, CATCHES("model-nmi-stays-blocked"))
{
	prepare_self_nmi();
	setup.regs.rcx = 2000;
	setup.regs.rdx = WAIT_LOOPS;
	expect("nmi@wait, nmi@again");
	run(nmi_again);
}

/* -- An IRET inside the handler. --------------------------------------------------------------- */

static volatile uint32_t watched;

extern const uint8_t inside_int3[], inside_int3_after[], inside_store[], inside_store_after[];
asm(".pushsection .text\n"
    "inside_int3: int3\n"
    "inside_int3_after: nop; nop; ret\n"
    "inside_store: movl $1, watched\n"
    "inside_store_after: nop; nop; ret\n"
    ".popsection\n");

static const uint8_t *inside;

static enum action nest(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != VECTOR_NMI || nmis++)
		return BY_RULE;
	nmi_to_self();
	give_it_time();
	((void (*)(void))(uint64_t)inside)();
	return BY_RULE;
}

static void try_nested(const uint8_t *function, const uint8_t *after, const char *trace)
{
	prepare_self_nmi();
	nmis = 0;
	inside = function;
	handler = nest;
	notation_name("inside", (uint64_t)after, 1);
	expect("%s", trace);
	run(nmi);
}

CASE(nested_int3, IN_LONG_MODE, RULE_ANY_IRET, CATCHES("model-nmi-stays-blocked"))
{
	need_iret_unblocks_nmi();
	try_nested(inside_int3, inside_int3_after, "nmi@wait, #BP@inside, nmi@inside");
}

CASE(nested_db, IN_LONG_MODE, RULE_ANY_IRET, CATCHES("model-nmi-stays-blocked"))
{
	need_iret_unblocks_nmi();
	breakpoint_set(0, (uint64_t)&watched, BREAK_WRITE, 4);
	try_nested(inside_store, inside_store_after, "nmi@wait, #DB[B0]@inside, nmi@inside");
}

/* -- An IRET that faults. ---------------------------------------------------------------------- */

#define BAD_SELECTOR 0x7ff8

static struct iret_frame good;

static enum action spoil_iret(const struct event *event, struct trap_frame *frame)
{
	if (event->vector == VECTOR_GP) {
		frame->iret = good;
		return RESUME;
	}
	if (event->vector != VECTOR_NMI || nmis++)
		return BY_RULE;
	nmi_to_self();
	give_it_time();
	good = frame->iret;
	frame->iret.cs = BAD_SELECTOR;
	return RESUME;
}

CASE(faulting_iret, IN_LONG_MODE, RULE_FAULTING_IRET,
     CATCHES("kvm-svm-nmi-faulting-iret kvm-nvmx-nmi-faulting-iret model-nmi-stays-blocked"))
{
	need_iret_unblocks_nmi();
	prepare_self_nmi();
	nmis = 0;
	handler = spoil_iret;
	notation_name("iret", (uint64_t)event_iret, 1);
	allow(RULE_FAULTING_IRET, "nmi@wait, nmi@handler[0xd], #GP(0x7ff8)@iret");
	if (!cpu_is_intel())
		allow("APM 2, Nonmaskable Interrupt: masked until IRET; that one which faults counts is not said",
		      "nmi@wait, #GP(0x7ff8)@iret, nmi@wait");
	run(nmi);
}

/* -- NMI and a maskable interrupt. ------------------------------------------------------------- */

static enum action make_both_pending(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != VECTOR_NMI || nmis++)
		return BY_RULE;
	interrupt_pending(PENDING);
	nmi_to_self();
	give_it_time();
	frame->iret.rflags |= X86_EFLAGS_IF;
	return RESUME;
}

CASE(before_interrupt, ALL_NATIVE | RINGS, RULE_PRIORITY,
     CATCHES("model-nmi-lost model-nmi-after-intr"))
{
	prepare_self_nmi();
	nmis = 0;
	handler = make_both_pending;
	setup.shown_flags = X86_EFLAGS_IF;
	expect("nmi@wait, nmi@wait{IF}, intr 0x31@wait{IF}");
	run(nmi);
}

/* The 8259's, by LINT0: it goes past the local APIC's priorities, and a hypervisor has a way of its own for it. */
#define LVT_EXTINT 0x700u
#define PIC_VECTOR 0x24
#define PIC_COMMAND 0x20
#define PIC_EOI 0x20

static enum action make_extint_pending(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != VECTOR_NMI || nmis++)
		return BY_RULE;
	pic_open(LINE_PIN);
	line_raise();
	nmi_to_self();
	give_it_time();
	frame->iret.rflags |= X86_EFLAGS_IF;
	return RESUME;
}

CASE_NEEDS("apic=1", before_extint, ALL_NATIVE, RULE_PRIORITY, CATCHES("vbox-866"))
{
	uint32_t before;

	need_pic();
	need_native("an L1 that takes the 8259's interrupt would have to acknowledge it there");
	prepare_self_nmi();
	before = apic_read(APIC_LVT_LINT0);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	line_lower();
	nmis = 0;
	handler = make_extint_pending;
	setup.shown_flags = X86_EFLAGS_IF;
	expect("nmi@wait, nmi@wait{IF}, extint %#x@wait{IF}", PIC_VECTOR);
	run(nmi);
	line_lower();
	outb(PIC_COMMAND, PIC_EOI);
	pic_close();
	apic_write(APIC_LVT_LINT0, before);
}

/* -- Shadows. ---------------------------------------------------------------------------------- */

#define AT_ONCE "SDM 3A, Nonmaskable Interrupt (NMI): it came at once"
#define WAS_LATE "SDM 3A, Issuing Interprocessor Interrupts: how long it takes is not said"

SNIPPET(movss, SEND "mark sent; mov %esi, %ss; mark shadow; nop; mark after; nop\n" WAIT_HERE);
SNIPPET_BOTH(popss, "nop",
	     "push %esi\n" SEND
	     "mark sent; .byte 0x17; mark shadow; nop; mark after; nop\n" WAIT_HERE);
SNIPPET(movss_cpuid,
	SEND "mark sent; mov %esi, %ss; mark shadow; cpuid; mark after; mov %ebp, %ecx\n" WAIT_HERE);
SNIPPET(sti, SEND "mark sent; sti; mark shadow; nop; mark after; nop\n" WAIT_HERE);

static void try_shadow(const struct snippet *snippet)
{
	prepare_self_nmi();
	setup.regs.rbp = WAIT_LOOPS;
	allow(AT_ONCE, "nmi@sent");
	allow(RULE_MOVSS, "nmi@after");
	allow(WAS_LATE, "nmi@wait");
	run_snippet(snippet);
}

CASE(movss_shadow, ALL_NATIVE | RINGS, RULE_MOVSS, CATCHES("tcg-nmi-movss"))
{
	try_shadow(&movss);
}

CASE(movss_shadow_cpuid, ALL_NATIVE, RULE_MOVSS, CATCHES("tcg-nmi-movss model-nmi-lost"))
{
	try_shadow(&movss_cpuid);
}

CASE(popss_shadow, IN_32, RULE_MOVSS, CATCHES("tcg-nmi-movss"))
{
	try_shadow(&popss);
}

CASE(sti_shadow, ALL_NATIVE | RINGS, RULE_STI, CATCHES("model-nmi-lost model-nmi-twice"))
{
	prepare_self_nmi();
	allow(AT_ONCE, "nmi@sent");
	allow("SDM 3A, Nonmaskable Interrupt (NMI): STI need not hold it back", "nmi@shadow");
	allow("SDM 2B, STI-Set Interrupt Flag: NMI may be held back as interrupts are",
	      "nmi@after");
	allow(WAS_LATE, "nmi@wait");
	run(sti);
}

/* -- Another CPU sends. ------------------------------------------------------------------------ */

/* The snippet asks by a store, so that no NMI comes while C runs. */
static struct {
	volatile uint32_t asked, answered, stop;
	unsigned delay;
} mail;

static void send_when_asked(void *argument)
{
	(void)argument;
	for (;;) {
		/* CPU 0 waits without an end. */
		if (!wait_until(mail.asked || mail.stop))
			panic("the NMI sent to CPU 0 did not come: it neither asks again nor goes on");
		if (mail.stop)
			return;
		for (unsigned i = 0; i < mail.delay; i++)
			cpu_relax();
		mail.asked = 0;
		mail.answered++;
		apic_icr(percpu[0].apic_id, ICR_NMI | ICR_ASSERT);
	}
}

#define ASK "movl $1, (%rdi)\n"
#define ASK32 "movl $1, (%edi)\n"
#define MOVSS_LOOP                                                                   \
	"1: mark top; mov %esi, %ss; mark shadow; nop; mark next; nop; mark third\n" \
	"dec %ecx; mark fourth; jnz 1b"
#define POPSS_LOOP                                                                      \
	"1: mark top; push %esi; mark next; .byte 0x17; mark shadow; nop; mark third\n" \
	"dec %ecx; mark fourth; jnz 1b"

SNIPPET_BOTH(ask_movss, ASK MOVSS_LOOP, ASK32 MOVSS_LOOP);
SNIPPET_BOTH(ask_popss, "nop", ASK32 POPSS_LOOP);
SNIPPET_BOTH(ask_hlt, ASK "mark before; hlt; mark after; nop",
	     ASK32 "mark before; hlt; mark after; nop");

static void prepare_mail(void)
{
	mail.asked = mail.answered = mail.stop = 0;
	percpu[0].apic_id = apic_id();
	setup.regs.rdi = (uint64_t)&mail.asked;
	setup.regs.rsi = stack_selector();
	setup.regs.rcx = 2000000000;
	setup.leave_after = 1;
	cpu_start_work(1, send_when_asked, NULL);
}

static void finish_mail(unsigned runs)
{
	mail.stop = 1;
	check(cpu_wait(1), "CPU 1 did not come back within the deadline");
	check(mail.answered == runs, "CPU 1 sent %u NMIs for %u runs", mail.answered, runs);
}

#define RUNS 300

/* Ends with the first run that shows the NMI at `shadow`; where none does, the last one stands for all. */
static void try_random(const struct snippet *snippet)
{
	uint64_t shadow = mark_address(snippet, "shadow");
	const struct trace *trace = this_recording()->trace;
	unsigned runs = 0;

	prepare_mail();
	allow(RULE_MOVSS, "nmi@top");
	allow(RULE_MOVSS, "nmi@next");
	allow(RULE_MOVSS, "nmi@third");
	allow(RULE_MOVSS, "nmi@fourth");
	do {
		trace_reset(this_recording()->trace);
		mail.delay = runs % 37;
		run_snippet(snippet);
	} while (++runs < repetitions_due(RUNS) && trace->events_used == 1 &&
		 trace->events[0].rip != shadow);
	finish_mail(runs);
}

CASE_NEEDS("cpus=2", movss_from_other_cpu, ALL_NATIVE, RULE_MOVSS, CATCHES("tcg-nmi-movss"))
{
	try_random(&ask_movss);
}

CASE_NEEDS("cpus=2", popss_from_other_cpu, IN_32, RULE_MOVSS, CATCHES("tcg-nmi-movss"))
{
	try_random(&ask_popss);
}

/* IF is clear. An NMI that comes before HLT is none that woke it: the next run gives it more time. */
CASE_NEEDS("cpus=2", wakes_hlt, RING0,
	   "SDM 2A, HLT-Halt: an NMI ends it, and its return address is the instruction after HLT",
	   CATCHES("model-nmi-lost"))
{
	unsigned runs = 0;

	prepare_mail();
	expect("nmi@after");
	for (mail.delay = 1000; mail.delay < 100000000; mail.delay *= 2) {
		const struct trace *trace = this_recording()->trace;

		trace_reset(this_recording()->trace);
		run(ask_hlt);
		runs++;
		if (trace->events[0].rip != mark_address(&ask_hlt, "before"))
			break;
	}
	finish_mail(runs);
}
