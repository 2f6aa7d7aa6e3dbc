/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the delivery of an event costs, in TSC cycles.
 *
 * Rule: none; a slow delivery is legal. But a hypervisor that becomes twice as slow at an IPI has a bug
 * all the same, and one that nobody finds by looking at verdicts. `./run_tests.sh --baseline F` fails if
 * a median has grown by more than a stated tolerance.
 *
 * What is measured. Handlers of a few instructions take the place of the recorder, so that its work is
 * not part of the result:
 *
 *	empty		nothing between two RDTSC: what every result below contains
 *	int3, int_0x30	from before the instruction to behind it: delivery and IRET
 *	page_fault	the same with an error code, for a read of a page that is not mapped
 *	self_ipi	from before the write to the ICR to the handler's first instruction
 *	ipi_running	from before the write to the ICR until this CPU sees that the handler of another,
 *			which spins with interrupts enabled, has run
 *	ipi_halted	the same, and the other CPU sleeps in HLT
 *	nmi		as self_ipi, by an NMI
 *
 * Emulators count something else in their TSC (Bochs: instructions), so results compare with earlier
 * ones of the same machine only.
 */
#define GUEST_LAYERS(do) \
	do               \
	(native, "native")
#include "latency.h"

#include "panic.h"

#define VECTOR_IPI 0x40

#define RULE "SDM 3B, Time-Stamp Counter: cycles from cause to handler, or there and back"

#define MOV_WORD "0x138a" /* mov (%rbx), %dl */
#define TOO_MANY STRING_OF(2 * (WARM_UP + SAMPLES))

/* Set by the handlers: when the first instruction ran, and how often one has. */
volatile uint64_t latency_entered, latency_count;

extern const uint8_t latency_return[], latency_skip[], latency_interrupt[], latency_nmi[];

asm(".pushsection .text\n"
    /* One that does not come behind its instruction comes for ever. */
    "latency_return:\n"
    "	incq	latency_count\n"
    "	cmpq	$" TOO_MANY ", latency_count\n"
    "	ja	latency_runs_away\n"
    "	iretq\n"
    /* Behind the faulting MOV, which is two bytes long; a fault with another address does not count. */
    "latency_skip:\n"
    "	push	%rax\n"
    "	mov	16(%rsp), %rax\n"
    "	cmpw	$" MOV_WORD ", (%rax)\n"
    "	jne	1f\n"
    "	incq	latency_count\n"
    "	addq	$2, 16(%rsp)\n"
    "1:	pop	%rax\n"
    "	add	$8, %rsp\n"
    "	iretq\n"
    ".macro	note_time\n"
    "	push	%rax\n"
    "	push	%rdx\n"
    "	rdtsc\n"
    "	shl	$32, %rdx\n"
    "	or	%rdx, %rax\n"
    "	mov	%rax, latency_entered\n"
    ".endm\n"
    "latency_interrupt:\n"
    "	note_time\n"
    "	mov	$0xfee000b0, %eax\n"
    "	movl	$0, (%rax)\n"
    "	lock incq latency_count\n"
    "	pop	%rdx\n"
    "	pop	%rax\n"
    "	iretq\n"
    "latency_nmi:\n"
    "	note_time\n"
    "	lock incq latency_count\n"
    "	pop	%rdx\n"
    "	pop	%rax\n"
    "	iretq\n"
    ".popsection\n");

void latency_runs_away(void) __attribute__((noreturn, used));
void latency_runs_away(void)
{
	panic("the same instruction raises its event again and again");
}

/* The result, if each event came to its handler exactly once. */
static void report_delivered(const char *name, unsigned taken)
{
	check(latency_count == taken, "%lu of %u events came to the handler", latency_count, taken);
	report(name, taken);
}

CASE(empty, CPL0, RULE, CATCHES("model-tsc-stands"))
{
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < SAMPLES_DUE; i++)
		samples[i] = measure("");
	check(rdtsc() > start, "the TSC stood still");
	report("empty", SAMPLES_DUE);
	/* The last of them, in order. Nothing may cost no cycle: Bochs counts instructions in chunks. */
	check(samples[SAMPLES_DUE - 1] >> 31 == 0, "the TSC went back by %d",
	      -(int)samples[SAMPLES_DUE - 1]);
}

#define SOFTWARE(name, vector, insn)                       \
	CASE(name, CPL0, RULE, CATCHES("model-int-n-rip")) \
	{                                                  \
		latency_count = 0;                         \
		gate_set_handler(vector, latency_return);  \
		for (unsigned i = 0; i < SAMPLES_DUE; i++) \
			samples[i] = measure(insn);        \
		report_delivered(#name, SAMPLES_DUE);      \
	}

SOFTWARE(int3, VECTOR_BP, "int3")
SOFTWARE(int_0x30, 0x30, "int $0x30")

CASE(page_fault, CPL0, RULE, CATCHES("model-fault-as-trap"))
{
	window_map(0, 0);
	latency_count = 0;
	gate_set_handler(VECTOR_PF, latency_skip);
	for (unsigned i = 0; i < SAMPLES_DUE; i++)
		samples[i] = measure(".word " MOV_WORD, "b"(WINDOW));
	report_delivered("page_fault", SAMPLES_DUE);
}

static void to_self(const char *name, uint32_t destination, uint32_t command)
{
	uint64_t end = rdtsc() + BUDGET_TICKS;
	unsigned i;

	latency_count = 0;
	for (i = 0; more(i, end); i++) {
		uint64_t before = rdtsc();

		apic_icr(destination, command);
		if (!wait_until(latency_count == i + 1)) {
			check(false, "%s number %u did not arrive", name, i + 1);
			return;
		}
		samples[i] = latency_entered - before;
	}
	report_delivered(name, i);
}

CASE(self_ipi, CPL0, RULE, CATCHES("model-self-ipi-lost"))
{
	apic_enable(0);
	gate_set_handler(VECTOR_IPI, latency_interrupt);
	asm volatile("sti" : : : "memory");
	to_self("self_ipi", 0, ICR_SELF | ICR_FIXED | VECTOR_IPI);
	asm volatile("cli" : : : "memory");
}

CASE(nmi, CPL0, RULE, CATCHES("model-nmi-lost model-nmi-twice"))
{
	apic_enable(0);
	need_iret_unblocks_nmi();
	gate_set_handler(VECTOR_NMI, latency_nmi);
	to_self("nmi", apic_id(), ICR_NMI);
}

static volatile bool stop;
static volatile uint64_t sent; /* all that were, once `stop` is set */

/* None may hit this CPU later, when the gate is the recorder's again. */
static void take_all(void)
{
	asm volatile("sti" : : : "memory");
	wait_until(latency_count >= sent);
	asm volatile("cli" : : : "memory");
}

static void spin(void *argument)
{
	(void)argument;
	asm volatile("sti" : : : "memory");
	while (!stop)
		wait_relax();
	take_all();
}

static void sleep(void *argument)
{
	(void)argument;
	while (!stop)
		asm volatile("sti; hlt; cli" : : : "memory");
	take_all();
}

/* Long enough that the other CPU is in its loop or asleep again. */
static void settle(void)
{
	for (unsigned i = 0; i < 200; i++)
		cpu_relax();
}

static void to_other(const char *name, void (*loop)(void *argument))
{
	uint32_t other = percpu[1].apic_id;
	uint64_t end = rdtsc() + BUDGET_TICKS;
	bool arrived = true;
	unsigned i;

	apic_enable(0);
	gate_set_handler(VECTOR_IPI, latency_interrupt);
	latency_count = 0;
	stop = false;
	cpu_start_work(1, loop, NULL);
	for (i = 0; arrived && more(i, end); i++) {
		uint64_t before;

		settle();
		before = rdtsc();
		apic_icr(other, ICR_FIXED | VECTOR_IPI);
		arrived = wait_until(latency_count == i + 1);
		samples[i] = rdtsc() - before;
	}
	check(arrived, "%s number %u did not arrive", name, i);
	if (arrived)
		report_delivered(name, i);
	sent = i + 1;
	stop = true;
	apic_icr(other, ICR_FIXED | VECTOR_IPI);
	check(cpu_wait(1), "CPU 1 did not come back within the deadline");
}

CASE_NEEDS("cpus=2", ipi_running, CPL0, RULE, CATCHES("model-ipi-wrong-target"))
{
	to_other("ipi_running", spin);
}

CASE_NEEDS("cpus=2", ipi_halted, CPL0, RULE, CATCHES("model-ipi-wrong-target"))
{
	to_other("ipi_halted", sleep);
}
