/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vectors 0 to 15 in the local APIC: never delivered, always reported.
 *
 * The rule. Vectors below 16 are illegal for a fixed interrupt. Who sends one by the ICR (or SELF IPI)
 * sets bit 5 of its ESR, "send illegal vector". Who receives one, from another CPU, from itself or from
 * its own LVT, sets bit 6, "receive illegal vector", delivers nothing and sets no IRR bit. Errors are
 * gathered out of sight: a write to the ESR lets a read see those since the last write. Each error
 * raises the LVT's error interrupt, once until the next write to the ESR, if that is not masked.
 *
 * The bugs that taught it. QEMU delivers vectors 1 to 15 through the IDT as if they were exceptions,
 * without error code; Xen did before 4.5 (5f32d186a8). KVM latches them in IRR, where they stay for ever,
 * and its ESR is always 0. XSA-462 (CVE-2024-45817): Xen raised the error interrupt for an error that the
 * error interrupt's own illegal vector had caused, while it held the lock: the host's CPU deadlocked.
 * So a guest that survives the last cases here has learned something about its host.
 *
 * A buggy hypervisor shows `intr v@wait` behind `intr 0x31@wait`, `esr=0x0`, or an IRR bit left behind.
 *
 * Each vector under test is sent, then 0x31: that it arrives shows that the illegal one had its chance.
 * `esr` is read after a write, as the manual wants it.
 *
 * https://xenbits.xen.org/xsa/advisory-462.html. This file is also the guest illegal_x2apic.
 */
#include "trapline.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_SELF \
	"SDM 3A, Error Handling: a self-IPI with a vector below 16 sets bits 5 and 6 of the ESR and no IRR bit"
#define RULE_OTHER \
	"SDM 3A, Error Handling: an illegal vector sets bit 5 of the sender's ESR and bit 6 of the receiver's"
#define RULE_ESR \
	"SDM 3A, Error Handling: a write to the ESR shows the errors since the last write and forgets the older ones"
#define RULE_LVT \
	"SDM 3A, Valid Interrupt Vectors: an LVT interrupt with a vector below 16 is not delivered and sets bit 6 of the ESR"
#define RULE_ERROR \
	"SDM 3A, Error Handling: an error raises the LVT error interrupt, once until the ESR is written"

#define BUGS_ILLEGAL \
	CATCHES("tcg-illegal-vector kvm-illegal-vector xen-illegal-vector xen-receive-illegal xen-esr-sticky model-illegal-vector model-esr-never-set bochs-no-send-illegal")

#define LATER 0x31
#define ERROR_VECTOR 0x32

SNIPPET(open, "sti; nop; " WAIT);

static void send(uint32_t destination, uint32_t command)
{
	apic_icr(destination, ICR_FIXED | ICR_ASSERT | command);
}

static void prepare(void)
{
	setup.watch_low_vectors = true;
	apic_esr_clear();
}

/* The later interrupt, and what else comes. */
static void take(void)
{
	send(0, ICR_SELF | LATER);
	run_until(open, 1);
}

/* Shown only if it is set: a machine that sets it may never take it back. */
static void observe_irr(unsigned v)
{
	if (apic_bit(APIC_IRR, v))
		observe("irr", 1);
}

static void by_id(unsigned v)
{
	send(apic_id(), v);
}

static void by_shorthand(unsigned v)
{
	send(0, ICR_SELF | v);
}

static void send_each(void (*send_illegal)(unsigned v))
{
	for_each_vector(v, 0, 15) {
		subject_begin(v);
		send_illegal(v);
		take();
		observe("esr", apic_esr());
		observe_irr(v);
		subject_end();
	}
}

static void try_self(void (*send_illegal)(unsigned v))
{
	prepare();
	expect("[0x0-0xf] intr 0x31@wait, esr=0x60");
	send_each(send_illegal);
}

CASE_NEEDS(MODE_NEEDS, self_by_id, CPL0, RULE_SELF, BUGS_ILLEGAL)
{
	try_self(by_id);
}

CASE_NEEDS(MODE_NEEDS, self_by_shorthand, CPL0, RULE_SELF, BUGS_ILLEGAL)
{
	try_self(by_shorthand);
}

#ifdef X2APIC
static void by_self_ipi(unsigned v)
{
	apic_write(X2APIC_SELF_IPI, v);
}

CASE_NEEDS(MODE_NEEDS, self_by_self_ipi, CPL0, RULE_SELF, BUGS_ILLEGAL)
{
	try_self(by_self_ipi);
}
#endif

/* What the legal vectors do to the ESR: nothing. Without it "0x60" could be there always. */
CASE_NEEDS(MODE_NEEDS, legal_vectors, CPL0, RULE_ESR, CATCHES("model-esr-always-set"))
{
	prepare();
	expect("[0x10-0xff] intr v@wait, esr=0x0");
	for_each_vector(v, 16, 255) {
		apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | (v == 0xff ? 0x40 : 0xff));
		subject_begin(v);
		send(0, ICR_SELF | v);
		run_until(open, 1);
		observe("esr", apic_esr());
		subject_end();
	}
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | APIC_SPURIOUS_VECTOR);
}

/* Read; write, read; read; write, read; and two errors before one write. */
CASE_NEEDS(MODE_NEEDS, esr_protocol, CPL0, RULE_ESR, BUGS_ILLEGAL)
{
	prepare();
	expect("esr=0x0; sent=0x3; esr=0x0; esr=0x60 x2; esr=0x0; sent=0x3; sent=0x4; esr=0x60; esr=0x0");
	observe("esr", apic_read(APIC_ESR));
	send(0, ICR_SELF | 3);
	observe("sent", 3);
	observe("esr", apic_read(APIC_ESR));
	observe("esr", apic_esr());
	observe("esr", apic_read(APIC_ESR));
	observe("esr", apic_esr());
	send(0, ICR_SELF | 3);
	observe("sent", 3);
	send(0, ICR_SELF | 4);
	observe("sent", 4);
	observe("esr", apic_esr());
	observe("esr", apic_esr());
	/* Where they are delivered after all, not to the next case. */
	interrupts_drain();
}

/* -- To another CPU. --------------------------------------------------------------------------- */

static struct {
	volatile unsigned vector; /* the one that was sent, plus one; 0: not yet */
	volatile unsigned seen;
} channel;

static void receive_all(void *argument)
{
	(void)argument;
	apic_esr_clear();
	for_each_vector(v, 0, 15) {
		channel.seen = v + 1;
		await(channel.vector == v + 1, "CPU 0 to send");
		await(apic_bit(APIC_IRR, LATER), "the later IPI");
		subject_begin(v);
		run_until(open, 1);
		observe("esr", apic_esr());
		observe_irr(v);
		subject_end();
	}
}

CASE_NEEDS("cpus=2 " MODE_NEEDS, other, CPL0, RULE_OTHER, BUGS_ILLEGAL)
{
	prepare();
	memset(&channel, 0, sizeof(channel));
	expect("[0x0-0xf] esr=0x20 | cpu1: [0x0-0xf] intr 0x31@wait, esr=0x40");
	cpu_start_work(1, receive_all, NULL);
	for_each_vector(v, 0, 15) {
		await(channel.seen == v + 1, "CPU 1 to get ready");
		subject_begin(v);
		send(percpu[1].apic_id, v);
		observe("esr", apic_esr());
		subject_end();
		send(percpu[1].apic_id, LATER);
		channel.vector = v + 1;
	}
	check(cpu_wait(1), "CPU 1 did not finish");
}

static void receive_together(void *argument)
{
	(void)argument;
	apic_esr_clear();
	__atomic_add_fetch(&channel.seen, 1, __ATOMIC_SEQ_CST);
	await(apic_bit(APIC_IRR, LATER), "the later IPI");
	run_until(open, 1);
	observe("esr", apic_esr());
}

/* All of them at once, to three CPUs. */
CASE_NEEDS("cpus=4 " MODE_NEEDS, others, CPL0, RULE_OTHER, BUGS_ILLEGAL)
{
	prepare();
	memset(&channel, 0, sizeof(channel));
	expect("esr=0x20 | cpu1: intr 0x31@wait; esr=0x40 | cpu2: intr 0x31@wait; esr=0x40 | "
	       "cpu3: intr 0x31@wait; esr=0x40");
	for (unsigned i = 1; i < 4; i++)
		cpu_start_work(i, receive_together, NULL);
	await(channel.seen == 3, "the other CPUs to get ready");
	for_each_vector(v, 0, 15)
		send(0, ICR_OTHERS | v);
	observe("esr", apic_esr());
	send(0, ICR_OTHERS | LATER);
	for (unsigned i = 1; i < 4; i++)
		check(cpu_wait(i), "CPU %u did not finish", i);
}

/* -- From the LVT. ----------------------------------------------------------------------------- */

/*
 * One shot of the timer. It may take effect some time after its count has reached 0; that shows in IRR
 * or in the ESR, which is returned.
 */
static uint32_t shoot_timer(unsigned v)
{
	static bool in_vain;
	struct wait wait;
	uint32_t esr = 0;

	apic_write(APIC_LVT_TIMER, v);
	apic_write(APIC_TIMER_INITIAL, 1000);
	witness(wait_until(apic_read(APIC_TIMER_CURRENT) == 0), "the APIC timer did not run out");
	wait = wait_begin_again(DEADLINE_TICKS / 2, in_vain);
	while (!apic_bit(APIC_IRR, v) && !(esr |= apic_esr()) && wait_goes_on(&wait))
		;
	in_vain |= !esr && !apic_bit(APIC_IRR, v);
	return esr;
}

CASE_NEEDS(MODE_NEEDS, timer, CPL0, RULE_LVT, BUGS_ILLEGAL)
{
	prepare();
	expect("[0x0-0xf] intr 0x31@wait, esr=0x40");
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	for_each_vector(v, 0, 15) {
		uint32_t esr;

		subject_begin(v);
		esr = shoot_timer(v);
		take();
		observe("esr", esr | apic_esr());
		observe_irr(v);
		subject_end();
	}
	apic_write(APIC_LVT_TIMER, APIC_MASKED);
}

/* Every illegal vector to itself, with that entry for the error interrupt. */
static void try_error_interrupt(uint32_t lvt_error, const char *trace)
{
	prepare();
	expect("%s", trace);
	apic_write(APIC_LVT_ERROR, lvt_error);
	send_each(by_shorthand);
	apic_write(APIC_LVT_ERROR, APIC_MASKED);
}

CASE_NEEDS(
	MODE_NEEDS, error_interrupt, CPL0, RULE_ERROR,
	CATCHES("tcg-illegal-vector kvm-illegal-vector model-esr-never-set model-no-error-interrupt bochs-no-error-interrupt"))
{
	try_error_interrupt(ERROR_VECTOR, "[0x0-0xf] intr 0x32@wait, intr 0x31@wait, esr=0x60");
}

CASE_NEEDS(MODE_NEEDS, error_interrupt_masked, CPL0, RULE_ERROR, BUGS_ILLEGAL)
{
	try_error_interrupt(APIC_MASKED | ERROR_VECTOR, "[0x0-0xf] intr 0x31@wait, esr=0x60");
}

/* An error while an error is told: the error interrupt's own vector is illegal. */
CASE_NEEDS(MODE_NEEDS, error_interrupt_illegal, CPL0, RULE_ERROR,
	   CATCHES("xsa-462 kvm-illegal-vector tcg-illegal-vector model-esr-never-set"))
{
	prepare();
	expect("[0x0-0xf] intr 0x31@wait, esr=0x60");
	for_each_vector(v, 0, 15) {
		subject_begin(v);
		apic_write(APIC_LVT_ERROR, v);
		send(0, ICR_SELF | v);
		take();
		observe("esr", apic_esr());
		observe_irr(v);
		subject_end();
		apic_write(APIC_LVT_ERROR, APIC_MASKED);
		/* Writing an illegal vector to an LVT entry may count as an error of its own. */
		apic_esr_clear();
	}
}
