/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IA32_APIC_BASE: the modes of the local APIC, the ways between them, the bits that there are not.
 *
 * The rule. EN (bit 11) and EXTD (bit 10) make three modes: disabled, xAPIC, x2APIC; EXTD alone is none. From x2APIC
 * one gets to disabled only, from disabled to xAPIC only; every other way is #GP(0) and changes nothing, as is a bit
 * that is reserved, or above the physical address, and EXTD where CPUID shows no x2APIC. While the APIC is disabled
 * CPUID does not show one, and its MSRs are #GP(0); so they are in xAPIC mode. On the way to x2APIC mode the APIC
 * keeps TPR, IRR and the LVT, and gets the logical id that its id gives. SDM 3A, "x2APIC States", "Local APIC Status
 * and Location"; APM 2, "x2APIC Mode".
 *
 * Why a hypervisor must care. It keeps the mode in several places (the MSR, which exits it takes, the map from ids to
 * CPUs) and changes them one by one. QEMU never enabled an APIC again that had been disabled; a forbidden
 * way that is taken leaves an APIC that is in one mode to the guest and in another to those who send to it.
 *
 * What a buggy hypervisor shows: `refused=0x0`, another `mode=` (0 disabled, 2 xAPIC, 3 x2APIC, as bits 11 and 10), `cpuid=0x1`.
 *
 * One CPU, which is back in xAPIC mode behind each case.
 */
#include "trapline.h"

#define RULE_WAYS "SDM 3A, x2APIC States: the ways between the modes; every other is #GP(0)"
#define RULE_RESERVED \
	"SDM 3A, Local APIC Status and Location; APM 2, APIC Base Address Register: a reserved bit that is written is #GP(0)"
#define RULE_OFF \
	"SDM 3A, Enabling or Disabling the Local APIC: CPUID shows none while it is disabled; x2APIC MSRs are there in x2APIC mode alone"
#define RULE_KEPT \
	"SDM 3A, x2APIC Transitions From xAPIC Mode: registers keep their values, but for the logical id, DFR and the ICR's upper half"
#define RULE_AGAIN \
	"SDM 3A, Enabling or Disabling the Local APIC: what it held may be lost, and is then as after reset"

#define BUGS_FORBIDDEN CATCHES("model-apic-base-ways")

SNIPPET(write_msr, "mark insn; wrmsr; mark after; nop");
SNIPPET(read_msr, "mark insn; rdmsr; mark after; nop");

enum mode_bits {
	DISABLED = 0,
	NOTHING = APIC_BASE_X2,
	XAPIC = APIC_BASE_ENABLE,
	X2 = APIC_BASE_ENABLE | APIC_BASE_X2
};

#define MODE_BITS (APIC_BASE_ENABLE | APIC_BASE_X2)

static bool has_x2apic(void)
{
	return cpuid(1, 0).c >> 21 & 1;
}

/* True if it was #GP(0). */
static bool is_refused(uint32_t msr, uint64_t value)
{
	struct regs regs = {.rcx = msr, .rax = (uint32_t)value, .rdx = value >> 32};
	struct event first;

	if (!probe_snippet(&write_msr, &regs, &first))
		return false;
	check(first.vector == VECTOR_GP && first.error == 0,
	      "a write of %#lx to MSR %#x is exception %u, error code %#x", value, msr,
	      first.vector, first.error);
	return true;
}

static bool msr_is_there(uint32_t msr)
{
	struct regs regs = {.rcx = msr};

	return !probe_snippet(&read_msr, &regs, NULL);
}

static uint32_t mode(void)
{
	return rdmsr(MSR_APIC_BASE) & MODE_BITS;
}

static void put_base(uint64_t base)
{
	is_refused(MSR_APIC_BASE, base);
}

static bool write_mode(enum mode_bits to)
{
	return is_refused(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & ~(uint64_t)MODE_BITS) | to);
}

static void go_to(enum mode_bits to)
{
	if (mode() == to)
		return;
	if (mode() == X2 || to == DISABLED)
		write_mode(DISABLED);
	if (to != DISABLED)
		write_mode(XAPIC);
	if (to == X2)
		write_mode(X2);
}

static bool is_gone;

/* Without an APIC that comes back there is nothing more to try. */
static void need_apic(void)
{
	need_of_machine(!is_gone, "local APIC that can be enabled again");
}

static void go_back(void)
{
	go_to(XAPIC);
	is_gone = mode() != XAPIC;
	if (is_gone) {
		apic_is_gone();
		return;
	}
	apic_enable(0);
	/* What it holds may be lost or not. */
	interrupts_drain();
}

static void try_way(enum mode_bits from, enum mode_bits to, bool legal)
{
	need_apic();
	if (from == X2 || to == X2)
		need_of_machine(has_x2apic(), "x2APIC");
	expect("mode=%#x; refused=%#x; mode=%#x", from >> 10, !legal, (legal ? to : from) >> 10);
	go_to(from);
	observe("mode", mode() >> 10);
	observe("refused", write_mode(to));
	observe("mode", mode() >> 10);
	go_back();
}

#define WAY_OF(name, from, to, legal, bugs)               \
	CASE_NEEDS("apic=1", name, CPL0, RULE_WAYS, bugs) \
	{                                                 \
		try_way(from, to, legal);                 \
	}
#define WAY(name, from, to) WAY_OF(name, from, to, true, "")
#define FORBIDDEN(name, from, to) WAY_OF(name, from, to, false, BUGS_FORBIDDEN)

WAY(xapic_to_xapic, XAPIC, XAPIC)

/* -- Bits that there are not. -------------------------------------------------------------------- */

static void try_reserved(enum mode_bits in)
{
	unsigned width = cpuid(0x80000008, 0).a & 0xff;
	uint64_t reserved = 0x2ff | ~((1ul << width) - 1), refused = 0, before;

	if (!has_x2apic())
		reserved |= APIC_BASE_X2;
	expect("refused=%#x; above=%#x", (uint32_t)reserved, (uint32_t)(reserved >> 32));
	go_to(in);
	before = rdmsr(MSR_APIC_BASE);
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(reserved >> bit & 1))
			continue;
		if (!is_refused(MSR_APIC_BASE, before | 1ul << bit))
			put_base(before);
		else if (rdmsr(MSR_APIC_BASE) == before)
			refused |= 1ul << bit;
	}
	observe("refused", refused);
	observe("above", refused >> 32);
	go_back();
}

CASE_NEEDS("apic=1", reserved_in_xapic, CPL0, RULE_RESERVED,
	   CATCHES("model-apic-base-reserved tcg-apic-base"))
{
	try_reserved(XAPIC);
}

/* -- What is there in which mode. ---------------------------------------------------------------- */

/* A bit for CPUID, one for each of three MSRs: id, TPR and a hole. */
static unsigned what_is_there(void)
{
	return (cpuid(1, 0).d >> 9 & 1) | msr_is_there(0x802) << 1 | msr_is_there(0x808) << 2 |
	       msr_is_there(0x8ff) << 3;
}

static void try_there(enum mode_bits in, unsigned there)
{
	need_apic();
	if (in != DISABLED)
		need_of_machine(has_x2apic(), "x2APIC");
	expect("mode=%#x; there=%#x", in >> 10, there);
	go_to(in);
	observe("mode", mode() >> 10);
	observe("there", what_is_there());
	go_back();
}

CASE_NEEDS("apic=1", there_in_xapic, CPL0, RULE_OFF, CATCHES("model-x2apic-in-xapic"))
{
	try_there(XAPIC, 1);
}

/* Every MSR of the range, read and written. */
CASE_NEEDS("apic=1", no_msr_in_xapic, CPL0, RULE_OFF, CATCHES("model-x2apic-in-xapic"))
{
	/* Without x2APIC they are MSRs as any that there are not. */
	need_of_machine(has_x2apic(), "x2APIC");
	expect("[0x0-0xff] read=0x0, written=0x0");
	for (unsigned n = 0; n < 0x100; n++) {
		bool read = msr_is_there(0x800 + n), written = !is_refused(0x800 + n, 0);

		subject_begin(n);
		observe("read", read);
		observe("written", written);
		subject_end();
	}
}

/* -- Off, and on again; from here on each case does that. ---------------------------------------- */

CASE_NEEDS("apic=1", enabled_again, CPL0, RULE_WAYS,
	   CATCHES("tcg-apic-off-for-good bochs-apic-off-for-good"))
{
	expect("mode=0x2; mode=0x0; mode=0x2");
	observe("mode", mode() >> 10);
	write_mode(DISABLED);
	observe("mode", mode() >> 10);
	write_mode(XAPIC);
	observe("mode", mode() >> 10);
	go_back();
}

WAY(disabled_to_disabled, DISABLED, DISABLED)
WAY(disabled_to_xapic, DISABLED, XAPIC)
FORBIDDEN(disabled_to_x2apic, DISABLED, X2)
FORBIDDEN(disabled_to_nothing, DISABLED, NOTHING)
FORBIDDEN(xapic_to_nothing, XAPIC, NOTHING)
WAY(xapic_to_disabled, XAPIC, DISABLED)
WAY(xapic_to_x2apic, XAPIC, X2)
WAY(x2apic_to_disabled, X2, DISABLED)
FORBIDDEN(x2apic_to_xapic, X2, XAPIC)
WAY(x2apic_to_x2apic, X2, X2)
FORBIDDEN(x2apic_to_nothing, X2, NOTHING)

CASE_NEEDS("apic=1", reserved_in_x2apic, CPL0, RULE_RESERVED,
	   CATCHES("model-apic-base-reserved xen-apic-base-x2"))
{
	need_apic();
	need_of_machine(has_x2apic(), "x2APIC");
	try_reserved(X2);
}

CASE_NEEDS("apic=1", there_in_disabled, CPL0, RULE_OFF,
	   CATCHES("model-apic-off-shown tcg-apic-off-for-good"))
{
	try_there(DISABLED, 0);
}

CASE_NEEDS("apic=1", there_in_x2apic, CPL0, RULE_OFF, "")
{
	try_there(X2, 7);
}

/* -- What it keeps. ------------------------------------------------------------------------------ */

#define LVT_SET (APIC_MASKED | 0x45)
#define MSR(offset) (0x800 + (offset) / 16)

static void give_it_values(void)
{
	apic_enable(0);
	apic_write(APIC_TPR, 0x70);
	apic_icr(0, ICR_SELF | ICR_FIXED | ICR_ASSERT | 0x31);
	witness(apic_bit(APIC_IRR, 0x31), "the interrupt is not pending");
	apic_write(APIC_LVT_ERROR, LVT_SET);
}

CASE_NEEDS("apic=1", kept_in_x2apic, CPL0, RULE_KEPT, CATCHES("model-x2apic-forgets"))
{
	uint64_t id;

	need_apic();
	need_of_machine(has_x2apic(), "x2APIC");
	expect("tpr=0x70; irr=0x1; lvt=0x10045; spurious=0x1ff; ldr=0x1");
	give_it_values();
	go_to(X2);
	id = rdmsr(MSR(APIC_ID));
	observe("tpr", rdmsr(MSR(APIC_TPR)));
	observe("irr", rdmsr(MSR(APIC_IRR + 0x10)) >> (0x31 - 32) & 1);
	observe("lvt", rdmsr(MSR(APIC_LVT_ERROR)));
	observe("spurious", rdmsr(MSR(APIC_SPURIOUS)));
	observe("ldr", rdmsr(MSR(APIC_LDR)) == ((id >> 4) << 16 | 1u << (id & 15)));
	go_back();
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_ERROR, APIC_MASKED);
	interrupts_drain();
}

/* The id is that of power-up again, and it works. */
static void try_again(enum mode_bits by)
{
	uint32_t id;

	need_apic();
	id = apic_id();
	expect("id=%#x; works=0x1", id);
	give_it_values();
	go_to(by);
	go_to(DISABLED);
	go_to(XAPIC);
	observe("id", apic_id());
	apic_enable(0);
	apic_write(APIC_LVT_ERROR, APIC_MASKED);
	apic_icr(0, ICR_SELF | ICR_FIXED | ICR_ASSERT | 0x42);
	observe("works", apic_bit(APIC_IRR, 0x42));
	interrupts_drain();
}

CASE_NEEDS("apic=1", off_and_on, CPL0, RULE_AGAIN, "")
{
	try_again(XAPIC);
}

CASE_NEEDS("apic=1", x2apic_off_and_on, CPL0, RULE_AGAIN, "")
{
	need_apic();
	need_of_machine(has_x2apic(), "x2APIC");
	try_again(X2);
}

static bool either(uint32_t value, uint32_t one, uint32_t other)
{
	return value == one || value == other;
}

CASE_NEEDS("apic=1", registers_after_off, CPL0, RULE_AGAIN, "")
{
	need_apic();
	expect("tpr=0x1; lvt=0x1; spurious=0x1; isr=0x0");
	give_it_values();
	go_to(DISABLED);
	go_to(XAPIC);
	observe("tpr", either(apic_read(APIC_TPR), 0x70, 0));
	observe("lvt", either(apic_read(APIC_LVT_ERROR), LVT_SET, APIC_MASKED));
	observe("spurious", either(apic_read(APIC_SPURIOUS) & 0x1ff, 0x1ff, 0xff));
	observe("isr", apic_read(APIC_ISR + 0x10));
	apic_enable(0);
	apic_write(APIC_LVT_ERROR, APIC_MASKED);
	interrupts_drain();
}
