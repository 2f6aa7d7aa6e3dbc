/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of IPIs when the local APIC is switched off and on, reset by INIT, or has another's id.
 *
 * The rule. An APIC that software has disabled takes no fixed interrupt, keeps what is in IRR, and
 * still takes NMI, INIT and start-up. INIT makes its registers those after reset, pending interrupts
 * gone; the id stays. A start-up IPI means something only to a CPU that waits for it after INIT. Two
 * CPUs that software gave one xAPIC id both get what is sent to it.
 *
 * The bugs that taught it. OpenVMM lost an interrupt that was pending while the APIC was switched off and
 * on (f32f5a767). KVM before 6.3 sent to one of two CPUs with the same id (5b84b0291702).
 *
 * A buggy hypervisor shows `irr=0x0` or no `intr v` after the APIC was off, `irr=0x1` for what was sent
 * meanwhile, `starts=0x1` where a start-up IPI ran a CPU anew.
 *
 * This file is also the guest apic_state_x2apic.
 *
 * https://github.com/microsoft/openvmm/commit/f32f5a767, https://git.kernel.org/torvalds/c/5b84b0291702
 */
#include "icr.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_DISABLED \
	"SDM 3A, Local APIC State After It Has Been Software Disabled: IRR is kept, fixed interrupts are refused, NMIs are taken"
#define RULE_INIT \
	"SDM 3A, Local APIC State After It Receives an INIT Reset: as after reset, but for the id"
#define RULE_SIPI \
	"SDM 3A, MP Initialization: a start-up IPI is ignored by a CPU that does not wait for it"
#define RULE_ID \
	"SDM 3A, Local APIC ID: software may change it; an IPI goes to every CPU with that id"

SNIPPET(open, "sti; nop; " WAIT);

static struct {
	volatile uint32_t ready;
	volatile bool sent, shares_id;
} round;

/* -- The APIC off and on. ---------------------------------------------------------------------- */

/* Another spurious vector than the one under test. */
static void software_enable(bool on, unsigned v)
{
	apic_write(APIC_SPURIOUS, (on ? APIC_SOFTWARE_ENABLE : 0) | (v < 0xe0 ? 0xff : 0x40));
}

CASE_NEEDS(MODE_NEEDS, pending_while_off, CPL0, RULE_DISABLED, CATCHES("openvmm-apic-toggle"))
{
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for_each_vector(v, 0x10, 0xff) {
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

/* -- The LVT of an APIC that is off. ------------------------------------------------------------- */

#define RULE_LVT_OFF \
	"SDM 3A, Local APIC State After It Has Been Software Disabled: the mask bits of all LVT entries are set, and cannot be cleared"

/* Timer, LINT0, LINT1, error; the others come with the version. */
static const uint16_t entries[] = {APIC_LVT_TIMER, APIC_LVT_LINT0, APIC_LVT_LINT1,
				   APIC_LVT_ERROR, APIC_LVT_PERF,  APIC_LVT_THERMAL};

static unsigned entries_there(void)
{
	unsigned last = APIC_VERSION_LAST_LVT(apic_read(APIC_VERSION));

	return last < 5 ? last + 1 : 6;
}

/* Bits of the entries that are masked, and whether their vectors are what was written. */
static void observe_entries(void)
{
	unsigned masked = 0, kept = 0;

	for (unsigned i = 0; i < entries_there(); i++) {
		uint32_t entry = apic_read(entries[i]);

		masked |= !!(entry & APIC_MASKED) << i;
		kept |= ((entry & 0xff) == 0x50 + i) << i;
	}
	observe("masked", masked);
	observe("kept", kept);
}

static void write_entries(uint32_t mask)
{
	for (unsigned i = 0; i < entries_there(); i++)
		apic_write(entries[i], mask | (0x50 + i));
}

CASE_NEEDS(MODE_NEEDS, lvt_while_off, CPL0, RULE_LVT_OFF, CATCHES("model-lvt-off-unmasked"))
{
	unsigned all = (1u << entries_there()) - 1;

	expect("masked=0x0; kept=%#x; masked=%#x; kept=%#x; masked=%#x; kept=%#x; masked=%#x; kept=%#x; masked=0x0; kept=%#x",
	       all, all, all, all, all, all, all, all);
	write_entries(0);
	observe_entries();
	software_enable(false, LATER);
	observe_entries();
	write_entries(0);
	observe_entries();
	software_enable(true, LATER);
	observe_entries();
	write_entries(0);
	observe_entries();
	for (unsigned i = 0; i < entries_there(); i++)
		apic_write(entries[i], APIC_MASKED);
	apic_enable(0);
	interrupts_drain();
}

/* -- INIT and start-up. ------------------------------------------------------------------------ */

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
	uint32_t id;

	/* Its registers are sealed: it starts anew from an AP reset hold only. */
	need_of_machine(!sev_is_es(), "INIT that resets a CPU (SEV-ES)");
	memset((void *)&round, 0, sizeof(round));
	expect("irr=0x0; isr=0x0; tpr=0x0; spurious=0xff");
	cpu_start_work(1, let_all_pend, NULL);
	check(wait_until(round.ready == 1), "CPU 1 did not get ready");
	for (unsigned v = 0x10; v < 0x100; v++)
		apic_icr(percpu[1].apic_id, ICR_FIXED | ICR_ASSERT | v);
	round.sent = true;
	await(round.ready >= 2, "CPU 1 to read its IRR");
	witness(round.ready == 2, "the interrupts are not pending");
	id = percpu[1].apic_id;
	check(cpu_restart(1), "CPU 1 did not answer INIT and SIPI");
	observe("irr", state->irr);
	observe("isr", state->isr);
	observe("tpr", state->tpr);
	observe("spurious", state->spurious);
	check(percpu[1].apic_id == id, "its id was %#x and is %#x", id, percpu[1].apic_id);
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
/* -- One id for two. --------------------------------------------------------------------------- */

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
	round.shares_id = apic_read(APIC_ID) >> 24 == percpu[0].apic_id;
	round.ready = 1;
	if (round.shares_id) {
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
	if (!round.shares_id)
		cpu_wait(1);
	need_of_machine(round.shares_id, "APIC id that can be written");
	expect("[0x10-0x1f] irr=0x1, intr v@wait | cpu1: [0x10-0x1f] irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x20; v++)
		apic_icr(percpu[0].apic_id, ICR_FIXED | ICR_ASSERT | v);
	round.sent = true;
	take_class_1();
	/* By memory: no id is sure to be the other's alone. */
	check(wait_until(!percpu[1].work), "CPU 1 did not come back");
}
#endif
