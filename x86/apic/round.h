/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A round: CPU 0 sends every vector from 16 to 255 to some CPUs, by whatever means, and each CPU takes what
 * it got.
 *
 * The receivers keep IF clear while CPU 0 sends; then each takes what it has, highest first, one run for
 * each vector. A later IPI, 0x31, to every CPU by itself then shows that a CPU which got nothing could
 * have.
 */
#ifndef X86_ROUND_H
#define X86_ROUND_H

#include "self.h"

#define GRACE_TICKS (args.deadline / 384)

/* Sends `command`, its low byte the vector, to `destination`: both in the form that the means takes. */
typedef void send_vector(uint32_t destination, uint32_t command);

static struct {
	uint32_t targets; /* CPUs that must get every vector */
	volatile bool sent, later_sent;
	volatile unsigned ready, done;
} round;

static unsigned cpus;

#define ALL_CPUS ((1u << cpus) - 1)

#define LEGAL_VECTORS(word) ((word) ? 0xffffffff : 0xffff0000)

/* What was sent, as words of IRR. */
static uint32_t sent_vectors(unsigned word)
{
	return vectors_due(word) & LEGAL_VECTORS(word);
}

static bool everything_pending(void)
{
	for (unsigned word = 0; word < 8; word++)
		if (~apic_read(APIC_IRR + 16 * word) & sent_vectors(word))
			return false;
	return true;
}

/* What was sent to this CPU: where it is a target, a vector that did not come is a run without events. */
static void take_pending(bool is_target)
{
	struct wait grace = wait_begin(GRACE_TICKS, 32, SETTLE_LOOKS);

	/* A message may be on its way still. */
	while (is_target && !everything_pending() && wait_goes_on(&grace))
		;
	for (unsigned word = 8; word--;) {
		/* A vector below 16 that a machine has once taken stays there for ever. */
		uint32_t pending = apic_read(APIC_IRR + 16 * word) & LEGAL_VECTORS(word);
		uint32_t left = pending | (is_target ? sent_vectors(word) : 0);

		while (left) {
			unsigned v = 32 * word + 31 - __builtin_clz(left);
			uint32_t bit = 1u << v % 32;

			begin(v);
			if (pending & bit)
				run_until(held, 1);
			/* A trace would not tell it from those that were. */
			if (!(sent_vectors(word) & bit))
				observe("unsent", 1);
			end();
			left &= ~bit;
		}
	}
	apic_keep_spurious_off(FIRST);
}

static void count(volatile unsigned *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static void receive(void *argument)
{
	(void)argument;
	count(&round.ready);
	await(round.sent, "CPU 0 to send");
	take_pending(round.targets >> this_cpu()->index & 1);
	count(&round.done);
	await(round.later_sent, "all CPUs to take what was sent to them");
	await(apic_bit(APIC_IRR, LATER), "the later IPI");
	run_until(held, 1);
	take_pending(false);
	/* What came too late must not hit this CPU while it is parked. */
	if (this_recording()->in_vain)
		interrupts_drain();
}

static void expect_round(const char *event)
{
	char buffer[400];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	for (unsigned i = 0; i < cpus; i++) {
		if (i)
			text_append(&text, " | cpu%u: ", i);
		if (round.targets >> i & 1)
			text_append(&text, "[0x10-0xff] %s@wait; ", event);
		text_append(&text, "intr 0x31@wait");
	}
	expect("%s", buffer);
}

/* Starts the CPUs that take part: four, or what the machine has. Those that start now follow CPU 0's mode. */
static void use_cpus(void)
{
	cpus = cpus_present() < 4 ? cpus_present() : 4;
	need(cpus_start(cpus), "CPU %u did not answer INIT and SIPI", cpus_started());
}

/*
 * `targets` (a bit for each CPU) must get `event` ("intr v") for every vector that `send` is given with
 * `destination` and `command`; all others must not.
 */
static void try_round_by(send_vector *send, const char *event, uint32_t targets,
			 uint32_t destination, uint32_t command)
{
	memset(&round, 0, sizeof(round));
	round.targets = targets & ALL_CPUS;
	grant_iopl();
	setup.leave_after = 1;
	expect_round(event);
	for (unsigned i = 1; i < cpus; i++)
		cpu_start_work(i, receive, NULL);
	await(round.ready == cpus - 1, "the other CPUs to get ready");
	for_each_vector(v, FIRST, LAST)
		send(destination, command | v);
	round.sent = true;
	take_pending(round.targets & 1);
	count(&round.done);
	await(round.done == cpus, "the other CPUs to take what was sent");
	for (unsigned i = 0; i < cpus; i++)
		send_fixed(percpu[i].apic_id, LATER);
	round.later_sent = true;
	run_until(held, 1);
	take_pending(false);
	for (unsigned i = 1; i < cpus; i++)
		check(cpu_wait(i), "CPU %u did not finish its round", i);
}

#define ROUND_IN(name, environments, needs, rule, bugs)             \
	static void round_##name(void);                             \
	CASE_NEEDS("cpus=2 " needs, name, environments, rule, bugs) \
	{                                                           \
		use_cpus();                                         \
		round_##name();                                     \
	}                                                           \
	static void round_##name(void)

#endif
