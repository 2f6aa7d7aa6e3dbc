/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of the local APIC in x2APIC mode: which MSRs there are, which can be read and which written, bit by
 * bit; and what is left of the page.
 *
 * The rule. MSRs 0x800 to 0x8ff belong to the APIC. Those without register are #GP(0), read or written; so is a write
 * of a read-only one, a read of a write-only one (EOI, SELF IPI), a write of a reserved bit, and of anything but 0 to
 * EOI and ESR. Reserved bits read as 0. DFR, APR, RRD and the ICR's upper half are gone: the ICR is one register of 64
 * bits. The page at 0xfee00000 is no APIC any more. SDM 3A, "x2APIC Register Address Space" and "Reserved Bit
 * Checking"; APM 2, "x2APIC Register Address Space".
 *
 * The bugs that taught it. KVM before 6.11 took an ICR with reserved bits and sent it (71bf395a276f), before 5.17 a
 * SELF IPI with bits above the vector (ba5838abb053); COCONUT-SVSM let writes of reserved bits pass (b88fbe1f). No system writes them, so
 * nobody sees it until a guest is told of a feature by such a bit.
 *
 * What a buggy hypervisor shows: (none) in the place of #GP, a smaller mask behind `refused=`, a bit too many behind
 * `writable=`, `changed=` where a refused write has left something.
 *
 * Each bit alone is turned over against a base that raises nothing, as in apic_registers.c.
 */
#include "registers.h"

#include "x86/cpu/bus.h"

#define MODE_NEEDS "x2apic=1"

#define RULE_ADDRESSES \
	"SDM 3A, x2APIC Register Address Space: an MSR of the range without register, or not to be read or written so, is #GP(0)"
#define RULE_BITS \
	"SDM 3A, Reserved Bit Checking: a write of a reserved bit is #GP(0) and changes nothing; reads return 0"
#define RULE_ZERO \
	"SDM 3A, x2APIC Register Address Space: of EOI and ESR, a write of anything but 0 is #GP(0)"
#define RULE_PAGE \
	"SDM 3A, Detecting and Enabling x2APIC Mode: the memory-mapped interface is not available in x2APIC mode"

#define BUGS_ADDRESSES CATCHES("model-x2apic-holes")
#define BUGS CATCHES("model-x2apic-reserved model-apic-bits")

#define MSR(offset) (0x800 + (offset) / 16)

SNIPPET(read_msr, "mark insn; rdmsr; mark after; nop");
SNIPPET(write_msr, "mark insn; wrmsr; mark after; nop");

/* -- Which there are. ---------------------------------------------------------------------------- */

enum access { NONE = 0, READ = 1, WRITE = 2, BOTH = READ | WRITE };

static enum access access_of(unsigned offset)
{
	if (offset >= APIC_ISR && offset < APIC_ESR)
		return READ;
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		if (registers[i].offset == offset)
			return register_is_there(&registers[i]) ? BOTH : NONE;
	switch (offset) {
	case APIC_ID:
	case APIC_VERSION:
	case APIC_PPR:
	case APIC_LDR:
	case APIC_TIMER_CURRENT:
		return READ;
	case APIC_EOI:
	case X2APIC_SELF_IPI:
		return WRITE;
	case APIC_ESR:
	case APIC_ICR:
		return BOTH;
	}
	return NONE;
}

/* What can be written without effect. */
static uint64_t harmless(unsigned offset)
{
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		if (registers[i].offset == offset)
			return registers[i].base;
	return offset == APIC_ICR || offset == X2APIC_SELF_IPI ? 0x31 : 0;
}

/*
 * Not judged: AMD's additional ones, which have bits of their own; and the entry for corrected machine checks where the
 * version does not count it, since its feature bit is elsewhere.
 */
#define EXTENDED_FIRST 0x40
#define EXTENDED_LAST 0x53

static bool is_judged(unsigned n)
{
	bool extended = cpuid(0x80000001, 0).c & 1u << 3;

	if (n == APIC_LVT_CMCI / 16)
		return register_is_there(&registers[REG_LVT_CMCI]);
	return !extended || n < EXTENDED_FIRST || n > EXTENDED_LAST;
}

/* Writes a value unseen by the trace; true if it was #GP(0). */
static bool is_refused(unsigned offset, uint64_t value)
{
	struct regs regs = {.rcx = MSR(offset), .rax = (uint32_t)value, .rdx = value >> 32};
	struct event first;

	if (!probe_snippet(&write_msr, &regs, &first))
		return false;
	check(first.vector == VECTOR_GP && first.error == 0,
	      "a write of %#lx to MSR %#x is exception %u, error code %#x", value, MSR(offset),
	      first.vector, first.error);
	return true;
}

/* 32 MSRs in a reading. */
static const char *const words[] = {"0x800", "0x820", "0x840", "0x860",
				    "0x880", "0x8a0", "0x8c0", "0x8e0"};

static void expect_accesses(enum access wanted)
{
	char buffer[400];
	struct text text;

	text_init(&text, buffer, sizeof(buffer));
	for (unsigned word = 0; word < 8; word++) {
		uint32_t there = 0;

		for (unsigned n = 0; n < 32; n++)
			if (is_judged(32 * word + n) && access_of(16 * (32 * word + n)) & wanted)
				there |= 1u << n;
		text_append(&text, "%s%s=%#x", word ? "; " : "", words[word], there);
	}
	expect("%s", buffer);
}

static void observe_accesses(bool (*is_refused)(unsigned n))
{
	for (unsigned word = 0; word < 8; word++) {
		uint32_t there = 0;

		for (unsigned n = 0; n < 32; n++)
			if (is_judged(32 * word + n) && !is_refused(32 * word + n))
				there |= 1u << n;
		observe(words[word], there);
	}
}

static bool read_is_refused(unsigned n)
{
	struct regs regs = {.rcx = 0x800 + n};
	struct event first;

	if (!probe_snippet(&read_msr, &regs, &first))
		return false;
	check(first.vector == VECTOR_GP && first.error == 0,
	      "a read of MSR %#x is exception %u, error code %#x", 0x800 + n, first.vector,
	      first.error);
	return true;
}

static bool write_is_refused(unsigned n)
{
	return is_refused(16 * n, harmless(16 * n));
}

CASE_NEEDS(MODE_NEEDS, which_can_be_read, CPL0, RULE_ADDRESSES, BUGS_ADDRESSES)
{
	expect_accesses(READ);
	observe_accesses(read_is_refused);
}

CASE_NEEDS(MODE_NEEDS, which_can_be_written, CPL0, RULE_ADDRESSES, CATCHES("tcg-x2apic-holes"))
{
	expect_accesses(WRITE);
	observe_accesses(write_is_refused);
	registers_put_back();
	interrupts_drain();
}

/* The fault itself, of each kind: a hole, one that is not to be read, one that is not to be written. */
CASE_NEEDS(MODE_NEEDS, refused_at_the_instruction, CPL0, RULE_ADDRESSES, BUGS_ADDRESSES)
{
	static const uint16_t reads[] = {0x800, 0x80e, 0x831, 0x8ff, 0x80b, 0x83f};

	expect("#GP(0x0)@insn x6; #GP(0x0)@insn x3");
	for (unsigned i = 0; i < 6; i++) {
		setup.regs.rcx = reads[i];
		run(read_msr);
	}
	for (unsigned i = 0; i < 3; i++) {
		setup.regs.rcx = (uint16_t[]){0x802, 0x80e, 0x8ff}[i];
		run(write_msr);
	}
}

/* -- Bit by bit. --------------------------------------------------------------------------------- */

static struct {
	uint64_t refused, follows, changed, ones;
} seen;

static void turn(unsigned offset, uint64_t base, unsigned bit)
{
	uint64_t was, is, mask = 1ul << bit;

	wrmsr(MSR(offset), base);
	was = rdmsr(MSR(offset));
	if (is_refused(offset, base ^ mask)) {
		seen.refused |= mask;
		seen.changed |= rdmsr(MSR(offset)) ^ was;
		return;
	}
	is = rdmsr(MSR(offset));
	seen.follows |= (was ^ is) & mask;
	seen.ones |= is;
	wrmsr(MSR(offset), base);
}

static void observe_halves(const char *low, const char *high, uint64_t value)
{
	observe(low, value);
	observe(high, value >> 32);
}

/* Of the bits that `open` names the manuals do not say. */
static void try_bits(unsigned offset, uint64_t base, uint64_t writable, uint64_t open)
{
	uint64_t reserved = ~writable & ~open;

	memset(&seen, 0, sizeof(seen));
	expect("writable=%#x; high=%#x; refused=%#x; above=%#x; changed=0x0; ones=0x0",
	       (uint32_t)(writable & ~open), (uint32_t)(writable >> 32), (uint32_t)reserved,
	       (uint32_t)(reserved >> 32));
	for (unsigned bit = 0; bit < 64; bit++)
		turn(offset, base, bit);
	observe_halves("writable", "high", seen.follows & writable & ~open);
	observe_halves("refused", "above", seen.refused & ~open);
	observe("changed", seen.changed & ~open);
	observe("ones", seen.ones & reserved);
}

static void try_register(enum register_name name)
{
	const struct reg *r = &registers[name];

	need_of_machine(register_is_there(r), "%s in its APIC", r->name);
	try_bits(r->offset, r->base, register_writable(r), r->open);
	registers_put_back();
	interrupts_drain();
}

#define REGISTER(name, register)                                      \
	CASE_NEEDS(MODE_NEEDS, bits_of_##name, CPL0, RULE_BITS, BUGS) \
	{                                                             \
		try_register(register);                               \
	}

REGISTER(tpr, REG_TPR)
REGISTER(spurious, REG_SPURIOUS)
REGISTER(lvt_cmci, REG_LVT_CMCI)
REGISTER(lvt_timer, REG_LVT_TIMER)
REGISTER(lvt_thermal, REG_LVT_THERMAL)
REGISTER(lvt_perf, REG_LVT_PERF)
REGISTER(lvt_lint0, REG_LVT_LINT0)
REGISTER(lvt_lint1, REG_LVT_LINT1)
REGISTER(lvt_error, REG_LVT_ERROR)
REGISTER(timer_initial, REG_TIMER_INITIAL)
REGISTER(timer_divide, REG_TIMER_DIVIDE)

/* To nobody, but for the shorthands, which send a fixed one to this CPU. */
#define NOBODY (0x5aul << 32)

CASE_NEEDS(MODE_NEEDS, bits_of_icr, CPL0, RULE_BITS,
	   CATCHES("kvm-x2apic-icr-reserved model-x2apic-reserved"))
{
	/* The upper half is the destination: all of it can be written, and is tried with the lower one at rest. */
	try_bits(APIC_ICR, NOBODY | 0x31,
		 0xffffffff00000000 | 0xfff | ICR_ASSERT | ICR_LEVEL | 0xc0000, ICR_PENDING);
	registers_put_back();
	interrupts_drain();
}

/* What is refused is not sent either: each reserved bit with a vector for this CPU. */
CASE_NEEDS(MODE_NEEDS, refused_icr_is_not_sent, CPL0, RULE_BITS,
	   CATCHES("kvm-x2apic-icr-reserved model-x2apic-reserved"))
{
	static const uint8_t reserved[] = {13, 16, 17, 20, 21, 25, 30, 31};

	expect("refused=0x1 x8; irr=0x0");
	for (unsigned i = 0; i < sizeof(reserved); i++)
		observe("refused",
			is_refused(APIC_ICR, (uint64_t)apic_id() << 32 | 1u << reserved[i] |
						     ICR_ASSERT | 0x31));
	observe("irr", apic_bit(APIC_IRR, 0x31));
	interrupts_drain();
}

static void try_write_only(unsigned offset, uint64_t base, uint64_t allowed)
{
	uint64_t refused = 0;

	expect("refused=%#x; above=%#x", (uint32_t)~allowed, (uint32_t)(~allowed >> 32));
	for (unsigned bit = 0; bit < 64; bit++)
		refused |= (uint64_t)is_refused(offset, base ^ 1ul << bit) << bit;
	observe_halves("refused", "above", refused);
	registers_put_back();
	interrupts_drain();
}

CASE_NEEDS(MODE_NEEDS, bits_of_self_ipi, CPL0, RULE_BITS,
	   CATCHES("kvm-x2apic-self-ipi-reserved model-x2apic-reserved"))
{
	try_write_only(X2APIC_SELF_IPI, 0x31, 0xff);
}

CASE_NEEDS(MODE_NEEDS, bits_of_esr, CPL0, RULE_ZERO, CATCHES("model-x2apic-reserved"))
{
	try_write_only(APIC_ESR, 0, 0);
}

SNIPPET(open, "sti; nop; " WAIT);

/* A refused EOI ends nothing. */
CASE_NEEDS(MODE_NEEDS, bits_of_eoi, CPL0, RULE_ZERO, CATCHES("model-x2apic-reserved"))
{
	uint64_t refused = 0;

	setup.hold_eoi = true;
	expect("intr 0x31@wait; refused=0xffffffff; above=0xffffffff; isr=0x1; isr=0x0");
	interrupt_pending(0x31);
	run_until(open, 1);
	for (unsigned bit = 0; bit < 64; bit++)
		refused |= (uint64_t)is_refused(APIC_EOI, 1ul << bit) << bit;
	observe_halves("refused", "above", refused);
	observe("isr", apic_bit(APIC_ISR, 0x31));
	event_eoi();
	observe("isr", apic_bit(APIC_ISR, 0x31));
	interrupts_drain();
}

/* Read-only: no value of any kind. */
CASE_NEEDS(MODE_NEEDS, read_only, CPL0, RULE_ADDRESSES, CATCHES("tcg-x2apic-holes"))
{
	static const uint16_t offsets[] = {APIC_ID,  APIC_VERSION, APIC_PPR, APIC_LDR,
					   APIC_ISR, APIC_TMR,	   APIC_IRR, APIC_TIMER_CURRENT};

	expect("[0x2-0x3,0xa,0xd,0x10,0x18,0x20,0x39] refused=0x7, changed=0x0");
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint64_t before = rdmsr(MSR(offsets[i]));
		unsigned refused = 0;

		refused |= is_refused(offsets[i], before) << 0;
		refused |= is_refused(offsets[i], 0xffffffff) << 1;
		refused |= is_refused(offsets[i], before ^ 1) << 2;
		subject_begin(offsets[i] / 16);
		observe("refused", refused);
		observe("changed", rdmsr(MSR(offsets[i])) ^ before);
		subject_end();
	}
	registers_put_back();
	interrupts_drain();
}

/* -- The page. ----------------------------------------------------------------------------------- */

#define PAGE 0xfee00000ul

CASE_NEEDS(MODE_NEEDS, page_is_no_apic, CPL0, RULE_PAGE, CATCHES("model-x2apic-page"))
{
	expect("tpr=0x0; irr=0x0; initial=0x0");
	bus_write32(PAGE + APIC_TPR, 0x20);
	bus_write32(PAGE + APIC_ICR, ICR_SELF | ICR_FIXED | ICR_ASSERT | 0x31);
	bus_write32(PAGE + APIC_TIMER_INITIAL, 1);
	observe("tpr", apic_read(APIC_TPR));
	observe("irr", apic_bit(APIC_IRR, 0x31));
	observe("initial", apic_read(APIC_TIMER_INITIAL));
	registers_put_back();
	interrupts_drain();
}
