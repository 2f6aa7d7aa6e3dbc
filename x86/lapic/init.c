/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INIT and start-up IPIs: whom they reach, in which state of the receiver, and what that is like afterwards.
 *
 * The rule. INIT makes a CPU wait for a start-up IPI, whatever it was doing: in HLT, with interrupts off, in a handler
 * of an NMI or of an interrupt. Registers, control and debug registers and the segments are those after reset; x87 and
 * SSE state, XCR0, the time-stamp counter, most MSRs, CR0.CD and CR0.NW stay as they were, and so do the mode, the
 * base and the id of the local APIC, whose other registers are reset. A CPU that waits takes nothing else: a fixed
 * interrupt is lost (its APIC is off), an NMI does not start it. One start-up IPI starts it, at the page that this
 * names; one that comes to a CPU which does not wait means nothing. An INIT with level trigger and the level
 * "de-assert" means nothing either. SDM 3A, "Processor State After Reset" (the table has a column INIT), "Local
 * APIC State After It Receives an INIT Reset", "MP Initialization"; APM 2, "Processor Initialization State".
 *
 * Why a hypervisor must care. An operating system takes CPUs down and up again like that, and a crash kernel does so
 * with CPUs that are stopped in their NMI handlers. A hypervisor has one function for reset and INIT, and clears too
 * much or too little; it has a state "waits for SIPI" beside "halted", and takes one for the other.
 *
 * What a buggy hypervisor shows: a CPU in `stopped` or `started` that nobody named, or none where one is due; a register's
 * name with another value; `runs=0x1` where something else than a start-up IPI started the CPU.
 *
 * The started CPU runs code of startup.h. This file is also the guest init_x2apic.
 */
#include "startup.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_SHAPES \
	"SDM 3A, Interrupt Command Register: INIT and start-up go to the CPUs that shorthand or destination name, to no other"
#define RULE_DEASSERT "SDM 3A, Interrupt Command Register: INIT level de-assert is ignored"
#define RULE_SIPI \
	"SDM 3A, MP Initialization: a start-up IPI starts a CPU that waits for it, at the page that it names, and is ignored by every other"
#define RULE_RECEIVER \
	"SDM 3A, MP Initialization: INIT ends whatever the CPU was doing, and nothing of it is left"
#define RULE_WAITS \
	"SDM 3A, MP Initialization: a CPU that waits for a start-up IPI is started by nothing else"

#define LATER 0x31
#define V 0x41

static struct {
	volatile unsigned ready;
	volatile bool over;
} round;

/* Counted while a CPU goes on, and when a handler is entered. */
volatile uint32_t init_alive[MAX_CPUS], init_entered;

static void prepare(void)
{
	startup_prepare();
	memset((void *)&round, 0, sizeof(round));
	init_entered = 0;
}

static void spin(void *argument)
{
	unsigned index = this_cpu()->index;

	(void)argument;
	__atomic_add_fetch(&round.ready, 1, __ATOMIC_SEQ_CST);
	while (!round.over) {
		init_alive[index]++;
		wait_relax();
	}
}

/* Whether any of these CPUs counts within a moment. */
static bool any_counts(uint32_t of)
{
	uint32_t before[MAX_CPUS];
	bool one = false;

	for (unsigned i = 1; i < cpus; i++)
		before[i] = init_alive[i];
	startup_moment(({
		for (unsigned i = 1; i < cpus; i++)
			one |= of >> i & 1 && init_alive[i] != before[i];
		!one;
	}));
	return one;
}

/* Those of the CPUs that go on. */
static uint32_t counting(uint32_t of)
{
	uint32_t before, mask = 0;

	for (unsigned i = 1; i < cpus; i++) {
		before = init_alive[i];
		if (of >> i & 1 && wait_until(init_alive[i] != before))
			mask |= 1u << i;
	}
	return mask;
}

/* Those of the CPUs that stop. */
static uint32_t stopping(uint32_t of)
{
	uint32_t mask = 0;

	for (unsigned i = 1; i < cpus; i++)
		if (of >> i & 1 && wait_until(!any_counts(1u << i)))
			mask |= 1u << i;
	return mask;
}

/* -- Whom they reach. ---------------------------------------------------------------------------- */

struct way {
	enum shape init;
	uint32_t command; /* besides INIT */
	enum shape startup;
	uint32_t stopped, started; /* CPUs */
};

#define OTHERS 0xe

static unsigned cpu_by_id(uint32_t id)
{
	for (unsigned i = 0; i < cpus; i++)
		if ((percpu[i].apic_id & 0xff) == id)
			return i;
	return 31;
}

static unsigned number_of(uint32_t of)
{
	unsigned n = 0;

	for (; of; of &= of - 1)
		n++;
	return n;
}

/* Those that start, one after the other; one more than are due would show. */
static uint32_t collect(uint32_t due)
{
	unsigned left = number_of(due);
	uint32_t started = 0;

	while (left ? wait_until(startup_record->done) : !startup_stays(!startup_record->done)) {
		started |= 1u << cpu_by_id(startup_record->initial_id);
		left -= !!left;
		startup_next();
	}
	return started;
}

static void try_way(const struct way *way)
{
	uint32_t all, others, stopped, started;

	prepare();
	all = (1u << cpus) - 1;
	others = all & ~1u;
	expect("stopped=%#x; started=%#x; starts=%#x; go_on=%#x", way->stopped & all,
	       way->started & all, number_of(way->started & all), others & ~way->stopped);
	for (unsigned i = 1; i < cpus; i++)
		cpu_start_work(i, spin, NULL);
	check(wait_until(round.ready == cpus - 1), "%u of %u CPUs got ready", round.ready,
	      cpus - 1);
	witness(counting(others) == others, "the other CPUs do not run");
	send_by(way->init, ICR_INIT | way->command);
	stopped = stopping(others & way->stopped);
	stopped |= others & ~way->stopped & ~counting(others & ~way->stopped);
	observe("stopped", stopped);
	send_startup(way->startup, STARTUP_PAGE);
	started = collect(way->started & all);
	observe("started", started);
	observe("starts", startup_record->starts);
	observe("go_on", counting(others & ~way->stopped));
	round.over = true;
	for (unsigned i = 1; i < cpus; i++)
		if (stopped >> i & 1 || !cpu_wait(i))
			restart(i);
}

#define WAY_OF(name, rule, bugs, ...)                                     \
	CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, rule, CATCHES(bugs)) \
	{                                                                 \
		static const struct way way = __VA_ARGS__;                \
                                                                          \
		try_way(&way);                                            \
	}
#define WAY(name, bugs, ...) WAY_OF(name, RULE_SHAPES, bugs, __VA_ARGS__)

WAY(by_id, "model-init-starts", {BY_ID, ICR_ASSERT, BY_ID, 2, 2})
WAY(by_id_level, "model-init-level", {BY_ID, ICR_ASSERT | ICR_LEVEL, BY_ID, 2, 2})
WAY(by_logical_id, "model-init-by-id-alone bochs-x2apic-ldr",
    {BY_LOGICAL_ID, ICR_ASSERT, BY_ID, 2, 2})
WAY(by_pair, "model-init-by-id-alone bochs-x2apic-ldr", {BY_PAIR, ICR_ASSERT, BY_OTHERS, 6, 6})
WAY(by_others, "model-init-by-id-alone", {BY_OTHERS, ICR_ASSERT, BY_OTHERS, OTHERS, OTHERS})
WAY(by_others_started_by_id, "model-init-by-id-alone model-sipi-to-all",
    {BY_OTHERS, ICR_ASSERT, BY_ID, OTHERS, 2})
WAY(by_id_started_by_others, "model-sipi-restarts", {BY_ID, ICR_ASSERT, BY_OTHERS, 2, 2})
WAY(by_id_started_by_everybody, "model-sipi-restarts", {BY_ID, ICR_ASSERT, BY_EVERYBODY, 2, 2})
#ifdef X2APIC
WAY(by_id_started_by_all_logical, "model-sipi-restarts bochs-init-x2apic xen-x2apic-broadcast",
    {BY_ID, ICR_ASSERT, BY_ALL_LOGICAL, 2, 2})
/* Its logical id is made of its id, which stays. */
WAY(by_id_started_by_logical_id, "bochs-x2apic-ldr bochs-init-x2apic",
    {BY_ID, ICR_ASSERT, BY_LOGICAL_ID, 2, 2})
#else
/* INIT has made its logical id 0. Whether 0xff names it then, no manual says. */
WAY(by_id_started_by_logical_id, "model-init-keeps-apic", {BY_ID, ICR_ASSERT, BY_LOGICAL_ID, 2, 0})
#endif
WAY_OF(deassert, RULE_DEASSERT, "model-init-deassert", {BY_ID, ICR_LEVEL, BY_ID, 0, 0})
WAY_OF(deassert_to_others, RULE_DEASSERT, "model-init-deassert",
       {BY_OTHERS, ICR_LEVEL, BY_OTHERS, 0, 0})

/* -- One, two, and too many. --------------------------------------------------------------------- */

CASE_NEEDS("cpus=2 " MODE_NEEDS, waits, CPL0, RULE_SIPI, CATCHES("model-init-starts"))
{
	prepare();
	expect("runs=0x0; starts=0x1; cs=0x900");
	send_init(BY_ID);
	startup_stays(!startup_record->starts);
	observe("runs", startup_record->starts);
	start_and_wait(STARTUP_PAGE);
	observe("starts", startup_record->starts);
	observe("cs", startup_record->cs);
	restart(1);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, other_page, CPL0, RULE_SIPI, CATCHES("model-sipi-page"))
{
	prepare();
	expect("starts=0x1; cs=0xa00");
	send_init(BY_ID);
	start_and_wait(STARTUP_OTHER_PAGE);
	observe("starts", startup_record->starts);
	observe("cs", startup_record->cs);
	restart(1);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, init_twice, CPL0, RULE_SIPI, CATCHES("model-init-starts"))
{
	prepare();
	expect("starts=0x1");
	send_init(BY_ID);
	send_init(BY_ID);
	start_and_wait(STARTUP_PAGE);
	startup_next();
	startup_stays(startup_record->starts == 1);
	observe("starts", startup_record->starts);
	restart(1);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, startup_twice, CPL0, RULE_SIPI, CATCHES("model-sipi-restarts"))
{
	prepare();
	expect("starts=0x1; cs=0x900");
	send_init(BY_ID);
	start_and_wait(STARTUP_PAGE);
	startup_next();
	send_startup(BY_ID, STARTUP_OTHER_PAGE);
	stays(startup_record->starts == 1);
	observe("starts", startup_record->starts);
	observe("cs", startup_record->cs);
	restart(1);
}

static void sleep_off(void *argument)
{
	(void)argument;
	round.ready = 1;
	for (;;)
		asm volatile("cli; hlt" : : : "memory");
}

/* Parked by the library, in HLT with interrupts on; then with interrupts off. */
CASE_NEEDS("cpus=2 " MODE_NEEDS, startup_halted, CPL0, RULE_SIPI, CATCHES("model-sipi-restarts"))
{
	prepare();
	expect("starts=0x0");
	send_startup(BY_ID, STARTUP_PAGE);
	stays(!startup_record->starts);
	observe("starts", startup_record->starts);
	if (startup_record->starts)
		restart(1);
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, startup_halted_off, CPL0, RULE_SIPI,
	   CATCHES("model-sipi-restarts"))
{
	prepare();
	expect("starts=0x0");
	cpu_start_work(1, sleep_off, NULL);
	await(round.ready, "CPU 1 to get ready");
	startup_moment(true);
	send_startup(BY_ID, STARTUP_PAGE);
	stays(!startup_record->starts);
	observe("starts", startup_record->starts);
	restart(1);
}

/* -- While it waits. ----------------------------------------------------------------------------- */

static void send_while_waiting(uint32_t command)
{
	prepare();
	send_init(BY_ID);
	send_by(BY_ID, ICR_ASSERT | command);
	startup_stays(!startup_record->starts);
	observe("runs", startup_record->starts | startup_record->nmis);
	start_and_wait(STARTUP_PAGE);
	startup_stays(!startup_record->nmis);
	observe("starts", startup_record->starts);
	observe("nmis", startup_record->nmis);
	/* It is to start with what this INIT has left of the APIC. */
	restart(1);
}

#define WAITING(name, command, bugs)                                            \
	CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, RULE_WAITS, CATCHES(bugs)) \
	{                                                                       \
		expect("runs=0x0; starts=0x1; nmis=0x0");                       \
		send_while_waiting(command);                                    \
	}

WAITING(waiting_fixed, ICR_FIXED | V, "model-waiting-wakes")
WAITING(waiting_init, ICR_INIT, "model-init-starts")

CASE_NEEDS("cpus=2 " MODE_NEEDS, waiting_nmi, CPL0, RULE_WAITS, CATCHES("model-waiting-wakes"))
{
	allow("SDM 3C, Guest Non-Register State: an NMI is blocked while a CPU waits for a start-up IPI",
	      "runs=0x0; starts=0x1; nmis=0x1");
	allow("no manual says that it is kept", "runs=0x0; starts=0x1; nmis=0x0");
	send_while_waiting(ICR_NMI);
}

/* -- What it was doing. -------------------------------------------------------------------------- */

/* clang-format off */
asm(".pushsection .text\n"
    "init_stay_in_handler:\n"
    "	lock incl init_entered\n"
    "1:	pause\n"
    "	jmp 1b\n"
    ".popsection\n");
/* clang-format on */
extern const uint8_t init_stay_in_handler[];

static void halt_on(void *argument)
{
	(void)argument;
	round.ready = 1;
	for (;;)
		asm volatile("sti; hlt; cli" : : : "memory");
}

static void spin_on(void *argument)
{
	(void)argument;
	round.ready = 1;
	asm volatile("sti" : : : "memory");
	for (;;)
		wait_relax();
}

static void spin_off(void *argument)
{
	(void)argument;
	round.ready = 1;
	for (;;)
		wait_relax();
}

static void let_handler_begin(uint32_t command, unsigned vector)
{
	gate_set_handler(vector, init_stay_in_handler);
	cpu_start_work(1, spin_on, NULL);
	await(round.ready, "CPU 1 to get ready");
	send_by(BY_ID, ICR_ASSERT | command);
	witness(wait_until(init_entered == 1), "CPU 1 is not in its handler");
}

static void let_work_begin(void (*work)(void *argument))
{
	cpu_start_work(1, work, NULL);
	await(round.ready, "CPU 1 to get ready");
	startup_moment(true);
}

/* EBX: a counter that says that it is in its place. */
SNIPPET(wait_open, "lock incl (%ebx); area wait; sti; nop; " WAIT);

static void take_nmi(void *argument)
{
	(void)argument;
	run_until(wait_open, 2);
}

/* It starts with nothing left, and takes an NMI and an interrupt as any. */
static void judge_receiver(void)
{
	const struct apic_state *state = &percpu[1].apic_at_start;

	expect("starts=0x1; irr=0x0; isr=0x0 | cpu1: nmi@wait, intr 0x31@wait");
	gate_set_handler(VECTOR_NMI, vector_stubs + VECTOR_NMI * VECTOR_STUB_BYTES);
	percpu[1].starts = 0;
	check(cpu_restart(1), "CPU 1 did not answer INIT and SIPI");
	observe("starts", percpu[1].starts);
	observe("irr", state->irr);
	observe("isr", state->isr);
	round.ready = 0;
	setup.regs.rbx = (uint64_t)&round.ready;
	cpu_start_work(1, take_nmi, NULL);
	await(round.ready, "CPU 1 to get ready");
	send_by(BY_ID, ICR_NMI | ICR_ASSERT);
	startup_moment(true);
	send_by(BY_ID, ICR_FIXED | ICR_ASSERT | LATER);
	check(cpu_wait(1), "CPU 1 did not come back");
}

#define RECEIVER(name, bugs) \
	CASE_NEEDS("cpus=2 " MODE_NEEDS, name, CPL0, RULE_RECEIVER, CATCHES(bugs))

RECEIVER(while_running, "")
{
	prepare();
	let_work_begin(spin_on);
	judge_receiver();
}

RECEIVER(while_off, "")
{
	prepare();
	let_work_begin(spin_off);
	judge_receiver();
}

RECEIVER(while_halted, "model-init-stays-halted")
{
	prepare();
	let_work_begin(halt_on);
	judge_receiver();
}

RECEIVER(while_halted_off, "model-init-stays-halted")
{
	prepare();
	let_work_begin(sleep_off);
	judge_receiver();
}

RECEIVER(in_nmi_handler, "model-init-nmi-blocked")
{
	prepare();
	let_handler_begin(ICR_NMI, VECTOR_NMI);
	judge_receiver();
}

RECEIVER(in_interrupt_handler, "model-init-keeps-apic")
{
	prepare();
	let_handler_begin(ICR_FIXED | V, V);
	judge_receiver();
}

/* A second one waits for the end of the first. */
RECEIVER(pending_nmi, "")
{
	prepare();
	allow("SDM 3A, MP Initialization: nothing says that it is lost", "starts=0x1; nmis=0x1");
	allow("SDM 3A, MP Initialization: nothing of before is left", "starts=0x1; nmis=0x0");
	let_handler_begin(ICR_NMI, VECTOR_NMI);
	send_by(BY_ID, ICR_NMI | ICR_ASSERT);
	startup_moment(true);
	send_init(BY_ID);
	start_and_wait(STARTUP_PAGE);
	startup_stays(!startup_record->nmis);
	observe("starts", startup_record->starts);
	observe("nmis", startup_record->nmis);
	restart(1);
}

RECEIVER(pending_interrupt, "model-init-keeps-apic")
{
	prepare();
	let_work_begin(spin_off);
	send_by(BY_ID, ICR_FIXED | ICR_ASSERT | V);
	send_by(BY_ID, ICR_FIXED | ICR_ASSERT | 0xf1);
	judge_receiver();
}
