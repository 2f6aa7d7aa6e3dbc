/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where else an interrupt comes from: the APIC's timer and counters, an I/O APIC, a message (MSI).
 *
 * The rule. Whatever the source, vectors from 16 are delivered as interrupts, without error code, and
 * vectors below are not delivered but reported (illegal.c). An edge sets IRR and clears TMR, once for
 * each edge. A level sets both; the I/O APIC's remote IRR keeps it from sending again until the EOI of a
 * vector with TMR set is told to it, and if the line is still up it sends once more.
 *
 * The bugs that taught it. Each source has a way of its own into the hypervisor, and each forgets
 * something of its own: vectors 16 to 31 because they "are exceptions", the check for vectors below 16
 * because it sits in the code for the ICR, TMR because nobody looks at it.
 *
 * A buggy hypervisor shows `intr v@wait` where `intr v[level]@wait` is due or the other way round,
 * `rirr=0x1` after EOI (the line is dead from then on), one delivery where the line stayed up.
 *
 * The line is that of the first serial port, which has nothing to send and says so if it is asked
 * (lib/x86/ioapic.h). The message comes from QEMU's device "edu" where there is one; address and data are
 * written by hand. Deliveries are waited for in IRR, with IF clear, until a deadline.
 */
#include "trapline.h"
#include "x86/ioapic.h"
#include "x86/pci.h"

#define RULE_TIMER "SDM 3A, APIC Timer: the timer's interrupt has the vector of its LVT entry"
#define RULE_COUNTER \
	"SDM 3B, Generating an Interrupt on Overflow: the interrupt has the vector of the LVT entry for performance counters"
#define RULE_EDGE \
	"82093AA, Redirection Table: an edge-triggered interrupt is sent once for each edge; SDM 3A, Interrupt Acceptance: TMR is clear"
#define RULE_LEVEL \
	"82093AA, Redirection Table: remote IRR is set from acceptance to EOI; SDM 3A, Interrupt Acceptance: TMR is set"
#define RULE_MSI \
	"SDM 3A, Message Signalled Interrupts: vector and trigger mode are those of the message"
#define RULE_ILLEGAL \
	"SDM 3A, Valid Interrupt Vectors: a vector below 16 is not delivered and sets bit 6 of the ESR"

#define BUGS CATCHES("model-source-class-1 model-ipi-error-code")
#define BUGS_ILLEGAL \
	CATCHES("tcg-illegal-vector kvm-illegal-vector model-illegal-vector model-esr-never-set")

#define LATER 0x31

SNIPPET(open, "sti; nop; " WAIT);

static void let_sti(void)
{
	setup.rflags = X86_EFLAGS_IOPL;
}

/* Another spurious vector than the one under test. */
static void begin(unsigned v)
{
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | (v < 0xe0 ? APIC_SPURIOUS_VECTOR : 0x40));
	subject_begin(v);
}

static void end(void)
{
	subject_end();
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | APIC_SPURIOUS_VECTOR);
}

#define PATIENT_TICKS (1ul << 32)
#define PATIENT_LOOKS (1ul << 22)

/* Waits for the vector in IRR, for a shorter time once that was in vain. */
static bool comes(unsigned v)
{
	static bool in_vain;
	unsigned hurry = in_vain ? 12 : 0;
	uint64_t deadline = rdtsc() + (PATIENT_TICKS >> hurry), looks = PATIENT_LOOKS >> hurry;

	while (!apic_bit(APIC_IRR, v))
		if (rdtsc() > deadline || !looks--) {
			in_vain = true;
			return false;
		}
	return true;
}

/* What came, if anything did; nothing is waited for in vain twice. */
static void take(unsigned v)
{
	bool came = comes(v);

	observe("irr", came);
	if (came)
		run_until(open, 1);
}

/* -- The timer. ----------------------------------------------------------------------------------- */

CASE_NEEDS("apic=1", timer, ALL_NATIVE, RULE_TIMER, BUGS)
{
	let_sti();
	expect("[0x10-0x1f] irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x20; v++) {
		begin(v);
		timer_start(v, 1000);
		take(v);
		end();
	}
	timer_stop();
}

#define CPUID_1_C_TSC_DEADLINE (1u << 24)
#define LVT_TSC_DEADLINE (2u << 17)
#define MSR_TSC_DEADLINE 0x6e0

CASE_NEEDS("apic=1", timer_tsc_deadline, ALL_NATIVE, RULE_TIMER, BUGS)
{
	need(cpuid(1, 0).c & CPUID_1_C_TSC_DEADLINE, "no TSC-deadline timer");
	let_sti();
	expect("[0x10-0x1f] irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x20; v++) {
		begin(v);
		apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | v);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
		take(v);
		end();
	}
	timer_stop();
}

/* -- A counter that runs over. -------------------------------------------------------------------- */

#define MSR_PMC0 0xc1
#define MSR_EVTSEL0 0x186
#define MSR_GLOBAL_STATUS 0x38e
#define MSR_GLOBAL_CTRL 0x38f
#define MSR_GLOBAL_OVF_CTRL 0x390
#define INSTRUCTIONS_RETIRED 0x4300c0 /* at every CPL, counting */
#define EVTSEL_INTERRUPT (1u << 20)

static void count_from(uint32_t start)
{
	wrmsr(MSR_GLOBAL_CTRL, 0);
	wrmsr(MSR_EVTSEL0, INSTRUCTIONS_RETIRED | EVTSEL_INTERRUPT);
	wrmsr(MSR_PMC0, start);
	wrmsr(MSR_GLOBAL_CTRL, 1);
}

static void stop_counting(void)
{
	wrmsr(MSR_GLOBAL_CTRL, 0);
	wrmsr(MSR_EVTSEL0, 0);
	wrmsr(MSR_GLOBAL_OVF_CTRL, 1);
}

/* Bochs shows counters that stand still. */
static bool counter_counts(void)
{
	bool moved;

	count_from(0);
	for (volatile int i = 0; i < 1000; i++)
		;
	moved = rdmsr(MSR_PMC0) != 0;
	stop_counting();
	return moved;
}

CASE_NEEDS("apic=1", counter, ALL_NATIVE, RULE_COUNTER, BUGS)
{
	need((apic_read(APIC_VERSION) >> 16 & 0xff) >= 4, "no LVT entry for performance counters");
	need(cpuid(0, 0).a >= 10 && (cpuid(10, 0).a & 0xff) >= 2 && (cpuid(10, 0).a >> 8 & 0xff),
	     "no architectural performance counters of version 2");
	need(counter_counts(), "the performance counter does not count");
	let_sti();
	expect("[0x10-0x1f] irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x20; v++) {
		begin(v);
		apic_write(APIC_LVT_PERF, v);
		count_from(-100);
		take(v);
		stop_counting();
		end();
	}
	apic_write(APIC_LVT_PERF, APIC_MASKED);
}

/* -- An I/O APIC. --------------------------------------------------------------------------------- */

static void observe_remote_irr(void)
{
	observe("rirr", ioapic_remote_irr(LINE_PIN));
}

/* The line is wired: vector 0x31 arrives this way. */
static void prepare_line(void)
{
	bool wired;

	let_sti();
	need(ioapic_present(), "no I/O APIC");
	line_lower();
	ioapic_route(LINE_PIN, LATER, apic_id());
	line_raise();
	wired = comes(LATER);
	line_lower();
	ioapic_mask(LINE_PIN);
	interrupts_drain();
	need(wired, "no witness: the serial port's line does not reach pin %u", LINE_PIN);
}

CASE_NEEDS("apic=1", ioapic_edge, ALL_NATIVE, RULE_EDGE,
	   CATCHES("model-source-class-1 model-tmr-wrong"))
{
	prepare_line();
	expect("[0x10-0xff] irr=0x1, intr v@wait, rirr=0x0");
	for (unsigned v = 0x10; v < 0x100; v++) {
		begin(v);
		ioapic_route(LINE_PIN, v, apic_id());
		line_raise();
		take(v);
		observe_remote_irr();
		line_lower();
		end();
	}
	ioapic_mask(LINE_PIN);
}

/* The line goes down before EOI: that is all. */
CASE_NEEDS(
	"apic=1", ioapic_level, ALL_NATIVE, RULE_LEVEL,
	CATCHES("bochs-no-remote-irr model-source-class-1 model-tmr-wrong model-eoi-not-broadcast"))
{
	prepare_line();
	setup.hold_eoi = true;
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, rirr=0x1, rirr=0x0");
	for (unsigned v = 0x10; v < 0x100; v++) {
		begin(v);
		ioapic_route(LINE_PIN, IOAPIC_LEVEL | v, apic_id());
		line_raise();
		take(v);
		observe_remote_irr();
		line_lower();
		event_eoi();
		observe_remote_irr();
		if (apic_bit(APIC_IRR, v))
			observe("irr", 1);
		end();
		ioapic_mask(LINE_PIN);
	}
}

/* The line is up still: EOI brings the next one. */
CASE_NEEDS(
	"apic=1", ioapic_level_again, ALL_NATIVE, RULE_LEVEL,
	CATCHES("bochs-no-remote-irr model-source-class-1 model-tmr-wrong model-eoi-not-broadcast"))
{
	prepare_line();
	setup.hold_eoi = true;
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, irr=0x1, intr v[level]@wait, rirr=0x0");
	for (unsigned v = 0x10; v < 0x100; v++) {
		begin(v);
		ioapic_route(LINE_PIN, IOAPIC_LEVEL | v, apic_id());
		line_raise();
		take(v);
		event_eoi();
		take(v);
		line_lower();
		event_eoi();
		observe_remote_irr();
		end();
		ioapic_mask(LINE_PIN);
	}
}

/* TMR belongs to the last interrupt of the vector: a level, then an IPI. */
CASE_NEEDS("apic=1", ioapic_level_then_ipi, CPL0, RULE_LEVEL, CATCHES("model-tmr-wrong"))
{
	prepare_line();
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait, irr=0x1, intr v@wait");
	for (unsigned v = 0x10; v < 0x100; v++) {
		begin(v);
		setup.hold_eoi = true;
		ioapic_route(LINE_PIN, IOAPIC_LEVEL | v, apic_id());
		line_raise();
		take(v);
		line_lower();
		event_eoi();
		apic_icr(0, ICR_FIXED | ICR_ASSERT | ICR_SELF | v);
		take(v);
		event_eoi();
		end();
		ioapic_mask(LINE_PIN);
	}
}

/* Sends by itself, then something legal; errors are gathered until they show. */
static void try_illegal(void (*send)(unsigned v))
{
	setup.watch_low_vectors = true;
	apic_esr_clear();
	expect("[0x0-0xf] intr 0x31@wait, esr=0x40");
	for (unsigned v = 0; v < 16; v++) {
		begin(v);
		send(v);
		apic_icr(0, ICR_FIXED | ICR_ASSERT | ICR_SELF | LATER);
		run_until(open, 1);
		observe("esr", apic_esr());
		if (apic_bit(APIC_IRR, v))
			observe("irr", 1);
		end();
	}
}

static void edge_on_line(unsigned v)
{
	ioapic_route(LINE_PIN, v, apic_id());
	line_raise();
	line_lower();
	ioapic_mask(LINE_PIN);
}

CASE_NEEDS("apic=1", ioapic_illegal, CPL0, RULE_ILLEGAL, BUGS_ILLEGAL)
{
	prepare_line();
	try_illegal(edge_on_line);
}

/* -- A message. ----------------------------------------------------------------------------------- */

#define EDU_ID 0x11e81234
#define EDU_BAR 0xd0000000ul
#define EDU_RAISE 0x60
#define EDU_ACKNOWLEDGE 0x64
#define PCI_COMMAND 0x04
#define COMMAND_MEMORY_AND_MASTER 6
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define CAPABILITY_MSI 5
#define MSI_ENABLE (1u << 16)
#define MSI_64_BIT (1u << 23)
#define MSI_ADDRESS 0xfee00000
#define MSI_LEVEL (3u << 14) /* level-triggered, asserted */

static unsigned edu, capability;

static void prepare_edu(void)
{
	edu = pci_find(EDU_ID);
	need(edu, "no device that sends messages (QEMU's edu)");
	capability = pci_read32(edu, PCI_CAPABILITIES) & 0xff;
	while (capability && (pci_read32(edu, capability) & 0xff) != CAPABILITY_MSI)
		capability = pci_read32(edu, capability) >> 8 & 0xff;
	need(capability, "edu has no MSI capability");
	let_sti();
	pci_write32(edu, PCI_BAR0, EDU_BAR);
	pci_write32(edu, PCI_COMMAND, COMMAND_MEMORY_AND_MASTER);
}

static void send_message(unsigned data)
{
	uint32_t control = pci_read32(edu, capability);
	unsigned data_at = control & MSI_64_BIT ? 12 : 8;

	pci_write32(edu, capability + 4, MSI_ADDRESS | apic_id() << 12);
	if (control & MSI_64_BIT)
		pci_write32(edu, capability + 8, 0);
	pci_write32(edu, capability + data_at, data);
	pci_write32(edu, capability, control | MSI_ENABLE);
	*(volatile uint32_t *)(EDU_BAR + EDU_RAISE) = 1;
	*(volatile uint32_t *)(EDU_BAR + EDU_ACKNOWLEDGE) = 1;
}

static void try_messages(uint32_t mode)
{
	for (unsigned v = 0x10; v < 0x100; v++) {
		begin(v);
		send_message(mode | v);
		take(v);
		end();
	}
}

CASE_NEEDS("apic=1", msi, ALL_NATIVE, RULE_MSI, CATCHES("model-source-class-1 model-tmr-wrong"))
{
	prepare_edu();
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	try_messages(0);
}

CASE_NEEDS("apic=1", msi_level, ALL_NATIVE, RULE_MSI,
	   CATCHES("model-source-class-1 model-tmr-wrong"))
{
	prepare_edu();
	expect("[0x10-0xff] irr=0x1, intr v[level]@wait");
	try_messages(MSI_LEVEL);
}

CASE_NEEDS("apic=1", msi_illegal, CPL0, RULE_ILLEGAL, BUGS_ILLEGAL)
{
	prepare_edu();
	try_illegal(send_message);
}
