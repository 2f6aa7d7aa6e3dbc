/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of the local APIC in xAPIC mode, bit by bit: which can be written, which only read, and what a write
 * of the others leaves alone.
 *
 * The rule. Each register of the APIC's page has bits that read back as they were written, bits that hardware alone
 * writes (delivery status, remote IRR), and reserved ones, which read as 0 whatever was written. Version, APR, PPR,
 * RRD, ISR, TMR, IRR and the current count are read-only: a write changes nothing, nor does it raise anything. EOI
 * ends the highest vector in service whatever is written. A write of ESR puts the errors there and no value. An
 * access to an address without register is an error, bit 7 of ESR. SDM 3A, "Local APIC"; APM 2, "Local APIC".
 *
 * Why a hypervisor must care. It has the page in memory, and a table of what may be written to it; hardware helps
 * (AVIC, APICv) by carrying out some writes and not others. A row that is missing shows only where a guest writes what
 * guests seldom write; then a bit of IRR appears, a version changes, a timer gets a mode that there is not.
 *
 * What a buggy hypervisor shows: another mask behind `writable=`, bits behind `reserved=` or `changed=`, `isr=` of the
 * wrong vectors, `esr=0x0`.
 *
 * Each bit alone is turned over against a base that raises nothing, read, and turned back. `writable` are the defined
 * bits that follow; `reserved` are the others that do or that read as 1. Masked LVT entries raise nothing, and the
 * ICR is sent to nobody.
 */
#include "registers.h"

#define RULE_BITS \
	"SDM 3A and APM 2, Local APIC: the register's figure; reserved bits read as 0 whatever is written"
#define RULE_READ_ONLY "SDM 3A, Local APIC Register Address Map: read-only; a write changes nothing"
#define RULE_EOI \
	"SDM 3A, Signaling Interrupt Servicing Completion: EOI ends the highest vector in service; APM 2: whatever value is written"
#define RULE_ESR \
	"SDM 3A, Error Handling: a write of any value puts the errors since the last one into ESR"
#define RULE_ABSENT \
	"SDM 3A, Error Handling, and APM 2, Error Status Register: an access to an address without register sets bit 7 of ESR"

#define BUGS CATCHES("model-apic-bits model-apic-reserved")
#define BUGS_NO_RESERVED CATCHES("model-apic-bits")
#define BUGS_READ_ONLY CATCHES("model-apic-read-only")

/* -- What can be written. ------------------------------------------------------------------------ */

static uint32_t turned(unsigned offset, uint32_t base, unsigned bit)
{
	uint32_t was, is;

	apic_write(offset, base);
	was = apic_read(offset);
	apic_write(offset, base ^ 1u << bit);
	is = apic_read(offset);
	apic_write(offset, base);
	return (was ^ is) & 1u << bit;
}

/* `open` bits are not judged, `ones` are reserved bits that read as 1. */
static void try_bits(unsigned offset, uint32_t base, uint32_t writable, uint32_t open,
		     uint32_t ones)
{
	uint32_t follows = 0, one = 0;

	expect("writable=%#x; reserved=0x0", writable & ~open);
	for (unsigned bit = 0; bit < 32; bit++) {
		follows |= turned(offset, base, bit);
		apic_write(offset, base | 1u << bit);
		one |= apic_read(offset);
		apic_write(offset, base);
	}
	observe("writable", follows & writable & ~open);
	observe("reserved", ((follows | one) & ~(writable | ones) & ~open));
}

static void try_register(enum register_name name)
{
	const struct reg *r = &registers[name];
	uint32_t writable = register_writable(r);

	need_of_machine(register_is_there(r), "%s in its APIC", r->name);
	try_bits(r->offset, r->base, writable, r->open, 0);
	registers_put_back();
	interrupts_drain();
}

#define REGISTER_OF(name, register, bugs)                           \
	CASE_NEEDS("apic=1", bits_of_##name, CPL0, RULE_BITS, bugs) \
	{                                                           \
		try_register(register);                             \
	}
#define REGISTER(name, register) REGISTER_OF(name, register, BUGS)

REGISTER(tpr, REG_TPR)
REGISTER(spurious, REG_SPURIOUS)
REGISTER(lvt_cmci, REG_LVT_CMCI)
REGISTER(lvt_timer, REG_LVT_TIMER)
REGISTER(lvt_thermal, REG_LVT_THERMAL)
REGISTER(lvt_perf, REG_LVT_PERF)
REGISTER(lvt_lint0, REG_LVT_LINT0)
REGISTER(lvt_lint1, REG_LVT_LINT1)
REGISTER(lvt_error, REG_LVT_ERROR)
REGISTER_OF(timer_initial, REG_TIMER_INITIAL, BUGS_NO_RESERVED)
REGISTER(timer_divide, REG_TIMER_DIVIDE)

#define ID_BITS 0xff000000

/* Some CPUs let software write all of it, some none. */
CASE_NEEDS("apic=1", bits_of_id, CPL0, RULE_BITS, BUGS)
{
	uint32_t before = apic_read(APIC_ID);

	try_bits(APIC_ID, before, ID_BITS, 0, before);
	allow("SDM 3A, Local APIC ID: on some processors software cannot change it",
	      "writable=0x0; reserved=0x0");
	apic_write(APIC_ID, before);
}

CASE_NEEDS("apic=1", bits_of_ldr, CPL0, RULE_BITS, BUGS)
{
	try_bits(APIC_LDR, 0, 0xff000000, 0, 0);
	apic_enable(0);
}

/* The lower bits are ones, always. */
CASE_NEEDS("apic=1", bits_of_dfr, CPL0, RULE_BITS, BUGS_NO_RESERVED)
{
	try_bits(APIC_DFR, 0xffffffff, 0xf0000000, 0, 0x0fffffff);
	apic_enable(0);
	check(apic_read(APIC_DFR) == 0xffffffff, "the DFR is %#x", apic_read(APIC_DFR));
}

#define NOBODY 0x5au
#define ICR_DEFINED (0xfff | ICR_ASSERT | ICR_LEVEL | 0xc0000)
#define ICR_RESERVED (~(uint32_t)(ICR_DEFINED | ICR_PENDING))

CASE_NEEDS("apic=1", bits_of_icr_high, CPL0, RULE_BITS, BUGS)
{
	try_bits(APIC_ICR_HIGH, 0, 0xff000000, 0, 0);
	apic_write(APIC_ICR_HIGH, 0);
}

/*
 * To nobody, but for the shorthands, which send a fixed one to this CPU. Hardware that carries the write out for a
 * hypervisor keeps the reserved bits (they lie in memory): not judged.
 */
CASE_NEEDS("apic=1", bits_of_icr, CPL0, RULE_BITS, BUGS_NO_RESERVED)
{
	apic_write(APIC_ICR_HIGH, NOBODY << 24);
	try_bits(APIC_ICR, 0x31, ICR_DEFINED, ICR_RESERVED | ICR_PENDING, 0);
	apic_write(APIC_ICR_HIGH, 0);
	registers_put_back();
	interrupts_drain();
}

/* -- What cannot. -------------------------------------------------------------------------------- */

/* All ones, none, and what is not there now. */
static uint32_t change_by_writes(unsigned offset)
{
	uint32_t before = apic_read(offset), change = 0;
	uint32_t written[] = {0xffffffff, 0, ~before, 0x01010101};

	for (unsigned i = 0; i < 4; i++) {
		apic_write(offset, written[i]);
		change |= apic_read(offset) ^ before;
	}
	return change;
}

#define READ_ONLY(name, offset)                                                         \
	CASE_NEEDS("apic=1", name##_is_read_only, CPL0, RULE_READ_ONLY, BUGS_READ_ONLY) \
	{                                                                               \
		expect("changed=0x0");                                                  \
		observe("changed", change_by_writes(offset));                           \
		apic_esr_clear();                                                       \
	}

READ_ONLY(version, APIC_VERSION)
READ_ONLY(ppr, APIC_PPR)
READ_ONLY(apr, APIC_ARBITRATION)
READ_ONLY(rrd, APIC_REMOTE_READ)
READ_ONLY(timer_current, APIC_TIMER_CURRENT)

/* Of the words that hold vectors one has a bit of each kind set. */
static void try_words(unsigned reg)
{
	expect("[0x0-0x7] changed=0x0");
	for (unsigned word = 0; word < 8; word++) {
		subject_begin(word);
		observe("changed", change_by_writes(reg + 16 * word));
		subject_end();
	}
}

CASE_NEEDS("apic=1", irr_is_read_only, CPL0, RULE_READ_ONLY, BUGS_READ_ONLY)
{
	interrupt_pending(0x31);
	try_words(APIC_IRR);
	interrupts_drain();
}

SNIPPET(open, "sti; nop; " WAIT);

static void put_in_service(unsigned v)
{
	apic_icr(0, ICR_SELF | ICR_FIXED | ICR_ASSERT | v);
	run_until(open, 1);
}

#define IN_SERVICE(low, high)                                                \
	do {                                                                 \
		setup.hold_eoi = true;                                       \
		apic_enable(0);                                              \
		put_in_service(low);                                         \
		put_in_service(high);                                        \
		witness(apic_bit(APIC_ISR, low) && apic_bit(APIC_ISR, high), \
			"the vectors are not in service");                   \
	} while (0)

CASE_NEEDS("apic=1", isr_is_read_only, CPL0, RULE_READ_ONLY, BUGS_READ_ONLY)
{
	expect("intr 0x31@wait; intr 0x41@wait; [0x0-0x7] changed=0x0");
	IN_SERVICE(0x31, 0x41);
	for (unsigned word = 0; word < 8; word++) {
		subject_begin(word);
		observe("changed", change_by_writes(APIC_ISR + 16 * word));
		subject_end();
	}
	event_eoi();
	event_eoi();
}

CASE_NEEDS("apic=1", tmr_is_read_only, CPL0, RULE_READ_ONLY, BUGS_READ_ONLY)
{
	try_words(APIC_TMR);
}

/* -- What is written for its effect. ------------------------------------------------------------- */

static unsigned in_service(void)
{
	return apic_bit(APIC_ISR, 0x31) | apic_bit(APIC_ISR, 0x41) << 1;
}

/* A value that names a vector names nothing. */
CASE_NEEDS("apic=1", eoi_of_any_value, CPL0, RULE_EOI, CATCHES("model-eoi-by-value"))
{
	expect("intr 0x31@wait; intr 0x41@wait; isr=0x3; isr=0x1; isr=0x0 x2");
	IN_SERVICE(0x31, 0x41);
	observe("isr", in_service());
	apic_write(APIC_EOI, 0x31);
	observe("isr", in_service());
	apic_write(APIC_EOI, 0xffffffff);
	observe("isr", in_service());
	/* Nothing is in service, and nothing comes of it. */
	apic_write(APIC_EOI, 0x41);
	observe("isr", in_service());
	interrupts_drain();
}

CASE_NEEDS("apic=1", esr_takes_no_value, CPL0, RULE_ESR,
	   CATCHES("model-esr-takes-value tcg-esr-sticky"))
{
	/* An error that the first writes are to take away. */
	apic_read(0x10);
	apic_esr_clear();
	expect("esr=0x0 x34");
	for (unsigned bit = 0; bit < 32; bit++) {
		apic_write(APIC_ESR, 1u << bit);
		observe("esr", apic_read(APIC_ESR));
	}
	apic_write(APIC_ESR, 0xffffffff);
	observe("esr", apic_read(APIC_ESR));
	apic_write(APIC_ESR, 0);
	observe("esr", apic_read(APIC_ESR));
}

/* -- Where nothing is. --------------------------------------------------------------------------- */

static const uint16_t absent[] = {0x00,	 0x10,	0x40,  0x50,  0x60,  0x70,
				  0x290, 0x2e0, 0x3a0, 0x3b0, 0x3c0, 0x3d0};

#define NUMBER_ABSENT (sizeof(absent) / sizeof(absent[0]))

CASE_NEEDS("apic=1", read_where_nothing_is, CPL0, RULE_ABSENT, CATCHES("model-esr-never-set"))
{
	apic_esr_clear();
	expect("esr=0x80 x%u", (unsigned)NUMBER_ABSENT);
	for (unsigned i = 0; i < NUMBER_ABSENT; i++) {
		apic_read(absent[i]);
		observe("esr", apic_esr());
	}
}

/* Not at 0, which is a case of its own. */
CASE_NEEDS("apic=1", write_where_nothing_is, CPL0, RULE_ABSENT, CATCHES("model-esr-never-set"))
{
	apic_esr_clear();
	expect("esr=0x80 x%u", (unsigned)NUMBER_ABSENT - 1);
	for (unsigned i = 1; i < NUMBER_ABSENT; i++) {
		apic_write(absent[i], 0);
		observe("esr", apic_esr());
	}
}

/* Messages of devices have this address, and the data of an interrupt; this CPU's own write is none. */
CASE_NEEDS("apic=1", write_at_0_is_no_message, CPL0, RULE_ABSENT, CATCHES("tcg-apic-page-message"))
{
	expect("irr=0x0");
	apic_write(0, 0x31);
	observe("irr", apic_bit(APIC_IRR, 0x31));
	apic_esr_clear();
	interrupts_drain();
}
