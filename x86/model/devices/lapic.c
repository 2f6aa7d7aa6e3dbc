/* SPDX-License-Identifier: BSD-2-Clause */
#include "lapic.h"

#include "bug.h"
#include "ioapic.h"
#include "ipi.h"
#include "time.h"
#include "vcpu.h"

#include "string.h"
#include "x86/cpu/cpu.h"
#include "x86/devices/apic.h"

#define LVT_COUNT 6
#define LVT_TIMER 0
#define LVT_ERROR 5
#define ICR_VECTOR 0xffu
#define ICR_MODE 0x700u
#define ICR_DEFINED 0xccfffu

#define TOP_BYTE 0xff000000u
#define DFR_MODEL 0xf0000000u
#define SPURIOUS_WRITABLE (0x1ffu | APIC_SUPPRESS_EOI)
#define DIVIDE_WRITABLE 0xbu
#define BASE_RESERVED 0x2fful
#define PHYSICAL_BITS(cpuid) ((cpuid).a & 0xff)

/* SDM 3A, "Local APIC State After Power-Up or Reset". */
static void reset_registers(struct lapic *a)
{
	struct lapic kept = *a;

	memset(a, 0, sizeof(*a));
	a->number = kept.number;
	a->id = kept.id;
	a->base = kept.base;
	a->dfr = 0xffffffff;
	a->spurious = 0xff;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		a->lvt[i] = APIC_MASKED;
}

static uint32_t x2_ldr(const struct lapic *a)
{
	return (a->id >> 4) << 16 | 1u << (a->id & 15);
}

void lapic_reset(struct lapic *a, unsigned number)
{
	a->number = number;
	a->id = number << 24;
	a->base = 0xfee00000 | (number ? 0 : APIC_BASE_BSP) | APIC_BASE_ENABLE;
	reset_registers(a);
}

void lapic_init(struct lapic *a)
{
	reset_registers(a);
	if (lapic_is_x2(a))
		a->ldr = x2_ldr(a);
}

bool lapic_is_x2(const struct lapic *a)
{
	return a->base & APIC_BASE_X2;
}

bool lapic_is_on(const struct lapic *a)
{
	return a->base & APIC_BASE_ENABLE;
}

bool lapic_takes(const struct lapic *a)
{
	return a->spurious & APIC_SOFTWARE_ENABLE;
}

/* SDM 3A, "x2APIC States". */
static bool may_become(const struct lapic *a, bool on, bool x2)
{
	if (x2 && !on)
		return false;
	if (lapic_is_x2(a) && on && !x2)
		return false;
	return lapic_is_on(a) || !x2;
}

bool lapic_write_base(struct lapic *a, uint64_t value)
{
	bool on = value & APIC_BASE_ENABLE, x2 = value & APIC_BASE_X2;
	uint64_t reserved = BASE_RESERVED | ~0ul << PHYSICAL_BITS(cpuid(0x80000008, 0));

	if (value & reserved && !bug(APIC_BASE_RESERVED))
		return false;
	if (!may_become(a, on, x2) && !bug(APIC_BASE_WAYS))
		return false;
	if (lapic_is_on(a) && !on) {
		uint32_t irr[8];

		/* SDM 3A, "Local APIC Status and Location": what it holds is lost. */
		memcpy(irr, a->irr, sizeof(irr));
		reset_registers(a);
		a->id = a->number << 24;
		memcpy(a->irr, irr, sizeof(irr));
	}
	if (x2 && !lapic_is_x2(a)) {
		if (a->tpr && bug(X2APIC_FORGETS))
			a->tpr = 0;
		a->id = a->number;
		a->ldr = x2_ldr(a);
	}
	a->base = value;
	return true;
}

static void put(uint32_t *set, unsigned vector, bool value)
{
	set[vector / 32] &= ~(1u << vector % 32);
	set[vector / 32] |= (uint32_t)value << vector % 32;
}

static int highest(const uint32_t *set)
{
	for (int word = 7; word >= 0; word--)
		if (set[word])
			return word * 32 + 31 - __builtin_clz(set[word]);
	return -1;
}

static int lowest(const uint32_t *set)
{
	for (int word = 0; word < 8; word++)
		if (set[word])
			return word * 32 + __builtin_ctz(set[word]);
	return -1;
}

/* Asked only about vectors below 16. */
static bool delivers_illegal(void)
{
	return bug(TCG_ILLEGAL_VECTOR) || bug(XEN_ILLEGAL_VECTOR) || bug(ILLEGAL_VECTOR);
}

/* SDM 3A, "Task and Processor Priorities". */
uint32_t lapic_priority(const struct lapic *a)
{
	int serving = highest(a->isr);
	uint32_t class = serving < 0 ? 0 : serving & 0xf0;

	return (a->tpr & 0xf0) >= class ? a->tpr : class;
}

int lapic_deliverable(const struct lapic *a)
{
	int vector = highest(a->irr);

	if (vector < 0 || !lapic_takes(a))
		return -1;
	if (vector != lowest(a->irr) && bug(IPI_ORDER))
		vector = lowest(a->irr);
	if (vector < 16 && delivers_illegal())
		return vector;
	if ((vector & 0xf0) > (int)(lapic_priority(a) & 0xf0))
		return vector;
	return vector < 32 && bug(TPR_CLASS_1) ? vector : -1;
}

bool lapic_is_asked(const struct lapic *a)
{
	return highest(a->irr) >= 0;
}

static bool has(const uint32_t *set, unsigned vector)
{
	return set[vector / 32] >> vector % 32 & 1;
}

bool lapic_is_requested(const struct lapic *a, unsigned vector)
{
	return has(a->irr, vector);
}

bool lapic_has(const struct lapic *a, unsigned vector)
{
	return has(a->irr, vector) || has(a->isr, vector);
}

bool lapic_merge(struct lapic *a, unsigned vector)
{
	put(a->irr, vector, false);
	return has(a->isr, vector);
}

void lapic_accept(struct lapic *a, unsigned vector)
{
	put(a->irr, vector, false);
	if (!bug(IPI_NO_ISR))
		put(a->isr, vector, true);
}

static void end_of_interrupt(struct lapic *a)
{
	int serving = highest(a->isr);

	if (serving != lowest(a->isr) && bug(EOI_WRONG_VECTOR))
		serving = lowest(a->isr);
	if (serving < 0)
		return;
	put(a->isr, serving, false);
	if (!has(a->tmr, serving))
		return;
	if (a->spurious & APIC_SUPPRESS_EOI && !bug(EOI_NOT_SUPPRESSED))
		return;
	if (!bug(EOI_NOT_BROADCAST))
		ioapic_end_of_interrupt(serving);
}

void lapic_error(struct vcpu *v, uint32_t bit)
{
	struct lapic *a = &v->apic;
	uint32_t lvt = a->lvt[LVT_ERROR];

	if (bit & (ESR_SEND_ILLEGAL | ESR_RECEIVE_ILLEGAL) && delivers_illegal())
		return;
	if (bug(KVM_ILLEGAL_VECTOR) || bug(ESR_NEVER_SET))
		return;
	a->esr_collected |= bit;
	if (bug(NO_ERROR_INTERRUPT))
		return;
	/* An error about the error interrupt's own vector raises no further one. */
	if (!(lvt & APIC_MASKED) && (lvt & ICR_VECTOR) >= 16)
		lapic_request(v, lvt & ICR_VECTOR);
}

void lapic_request(struct vcpu *v, unsigned vector)
{
	if (!lapic_takes(&v->apic) && !bug(APIC_NEVER_OFF))
		return;
	if (vector < 16 && !delivers_illegal()) {
		if (bug(KVM_ILLEGAL_VECTOR))
			put(v->apic.irr, vector, true);
		lapic_error(v, ESR_RECEIVE_ILLEGAL);
		return;
	}
	put(v->apic.irr, vector, true);
	if (has(v->apic.tmr, vector) && !bug(TMR_WRONG))
		put(v->apic.tmr, vector, false);
}

void lapic_was_level(struct lapic *a, unsigned vector)
{
	if (has(a->irr, vector) && !bug(TMR_WRONG))
		put(a->tmr, vector, true);
}

static bool is_lvt(unsigned offset)
{
	return offset >= APIC_LVT_TIMER && offset <= APIC_LVT_ERROR;
}

static uint32_t *lvt_at(struct lapic *a, unsigned offset)
{
	if (is_lvt(offset))
		return &a->lvt[(offset - APIC_LVT_TIMER) / 16];
	return NULL;
}

void lapic_local_interrupt(struct vcpu *v, unsigned entry)
{
	uint32_t lvt = *lvt_at(&v->apic, entry);
	unsigned vector = lvt & ICR_VECTOR;

	if (lvt & APIC_MASKED && !bug(LVT_MASK_IGNORED))
		return;
	if (vector >= 16 && vector < 32 && bug(SOURCE_CLASS_1))
		return;
	if ((lvt & ICR_MODE) == ICR_NMI)
		v->nmi_pending = true;
	else
		lapic_request(v, vector);
}

static uint32_t divisor(const struct lapic *a)
{
	uint32_t divide = a->timer_divide != a->timer_divide_then && bug(TIMER_DIVIDE_FIXED)
				  ? a->timer_divide_then
				  : a->timer_divide;
	uint32_t code = (divide & 3) | (divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static uint64_t timer_elapsed(const struct lapic *a)
{
	return (time_now() - a->timer_started) / divisor(a);
}

static uint32_t timer_current(const struct lapic *a)
{
	uint64_t elapsed;

	if (!a->timer_started)
		return 0;
	elapsed = timer_elapsed(a);
	return elapsed >= a->timer_initial ? 0 : a->timer_initial - elapsed;
}

bool lapic_tick(struct vcpu *v)
{
	struct lapic *a = &v->apic;

	if (!a->timer_started)
		return false;
	if (timer_elapsed(a) < a->timer_initial)
		return true;
	if (a->lvt[LVT_TIMER] & APIC_MASKED && bug(TIMER_MASKED_PENDS))
		return true;
	a->timer_started = a->lvt[LVT_TIMER] & LVT_PERIODIC || bug(TIMER_AGAIN) ? time_now() : 0;
	if ((a->lvt[LVT_TIMER] ^ a->timer_entry_then) & ICR_VECTOR && bug(TIMER_OLD_VECTOR))
		lapic_request(v, a->timer_entry_then & ICR_VECTOR);
	else
		lapic_local_interrupt(v, APIC_LVT_TIMER);
	return a->timer_started;
}

static void start_timer(struct lapic *a, uint32_t count)
{
	if (a->timer_started && count && bug(TIMER_NOT_RESTARTED))
		return;
	if (a->timer_started && !count && bug(TIMER_KEEPS_RUNNING))
		return;
	a->timer_initial = count;
	a->timer_started = count ? time_now() : 0;
	a->timer_entry_then = a->lvt[LVT_TIMER];
	a->timer_divide_then = a->timer_divide;
}

/* The count goes on from where it is. */
static void change_divider(struct lapic *a, uint32_t value)
{
	uint64_t elapsed = a->timer_started ? timer_elapsed(a) : 0;

	a->timer_divide = value;
	if (a->timer_started)
		a->timer_started = time_now() - elapsed * divisor(a);
}

static bool read_register(struct vcpu *v, unsigned offset, uint32_t *value)
{
	struct lapic *a = &v->apic;
	uint32_t *lvt = lvt_at(a, offset);

	if (offset >= APIC_ISR && offset < APIC_ESR) {
		uint32_t *set = offset < APIC_TMR ? a->isr : offset < APIC_IRR ? a->tmr : a->irr;

		*value = set[offset / 16 % 8];
		return true;
	}
	if (lvt) {
		*value = *lvt;
		return true;
	}
	switch (offset) {
	case APIC_ID:
		*value = a->id;
		return true;
	case APIC_VERSION:
		*value = 0x50014 | APIC_VERSION_SUPPRESSES_EOI;
		return true;
	case APIC_TPR:
		*value = a->tpr && bug(TPR_READS_0) ? 0 : a->tpr;
		return true;
	case APIC_ARBITRATION:
	case APIC_REMOTE_READ:
		*value = 0;
		return !lapic_is_x2(a);
	case APIC_PPR:
		*value = lapic_priority(a);
		return true;
	case APIC_LDR:
		*value = a->ldr;
		return true;
	case APIC_DFR:
		*value = a->dfr;
		return !lapic_is_x2(a) || bug(X2APIC_HOLES);
	case APIC_SPURIOUS:
		*value = a->spurious;
		return true;
	case APIC_ESR:
		*value = a->esr;
		return true;
	case APIC_ICR:
		*value = a->icr_low;
		return true;
	case APIC_ICR_HIGH:
		*value = a->icr_high;
		return !lapic_is_x2(a);
	case APIC_TIMER_INITIAL:
		*value = a->timer_initial;
		return true;
	case APIC_TIMER_CURRENT:
		*value = timer_current(a);
		return true;
	case APIC_TIMER_DIVIDE:
		*value = a->timer_divide;
		return true;
	}
	*value = 0;
	lapic_error(v, ESR_ILLEGAL_REGISTER);
	return !lapic_is_x2(a);
}

static bool is_read_only(unsigned offset)
{
	return offset == APIC_VERSION || offset == APIC_PPR || offset == APIC_ARBITRATION ||
	       offset == APIC_REMOTE_READ || offset == APIC_TIMER_CURRENT ||
	       (offset >= APIC_ISR && offset < APIC_ESR);
}

bool lapic_read(struct vcpu *v, unsigned offset, uint32_t *value)
{
	bool is_there = read_register(v, offset, value);

	if (is_there && is_read_only(offset))
		*value ^= v->apic.scribbled[offset / 16 & 63];
	return is_there;
}

/* What software can write of a register; the rest reads as 0, or is refused in x2APIC mode. */
static uint32_t writable_bits(unsigned offset)
{
	switch (offset) {
	case APIC_ID:
	case APIC_LDR:
	case APIC_ICR_HIGH:
		return TOP_BYTE;
	case APIC_DFR:
		return DFR_MODEL;
	case APIC_TPR:
		return 0xff;
	case APIC_SPURIOUS:
		return SPURIOUS_WRITABLE;
	case APIC_ICR:
		return ICR_DEFINED;
	case APIC_LVT_TIMER:
		return ICR_VECTOR | APIC_MASKED | LVT_PERIODIC;
	case APIC_LVT_ERROR:
		return ICR_VECTOR | APIC_MASKED;
	case APIC_LVT_THERMAL:
	case APIC_LVT_PERF:
		return ICR_VECTOR | ICR_MODE | APIC_MASKED;
	case APIC_LVT_LINT0:
	case APIC_LVT_LINT1:
		return ICR_VECTOR | ICR_MODE | 0xa000 | APIC_MASKED;
	case APIC_TIMER_INITIAL:
		return 0xffffffff;
	case APIC_TIMER_DIVIDE:
		return DIVIDE_WRITABLE;
	case X2APIC_SELF_IPI:
		return ICR_VECTOR;
	}
	return 0;
}

/* Bits that hardware alone writes: a write of them is no error. */
static uint32_t read_only_bits(unsigned offset)
{
	if (offset == APIC_LVT_LINT0 || offset == APIC_LVT_LINT1)
		return 0x5000;
	return is_lvt(offset) || offset == APIC_ICR ? ICR_PENDING : 0;
}

static uint32_t stored(unsigned offset, uint32_t value)
{
	uint32_t mask = writable_bits(offset),
		 highest_bit = mask ? 1u << (31 - __builtin_clz(mask)) : 0;

	if (value & ~mask && bug(APIC_RESERVED))
		return value;
	if (value & highest_bit && bug(APIC_BITS))
		mask &= ~highest_bit;
	return value & mask;
}

/* SDM 3A, "Reserved Bit Checking". */
static bool is_refused(const struct lapic *a, unsigned offset, uint32_t value, uint32_t high)
{
	if (!lapic_is_x2(a) || is_read_only(offset))
		return false;
	return value & ~writable_bits(offset) & ~read_only_bits(offset) ||
	       (high && offset != APIC_ICR);
}

static void write_lvt(struct vcpu *v, unsigned offset, uint32_t *lvt, uint32_t value)
{
	if ((value & ICR_VECTOR) < 16 && (*lvt ^ value) & ICR_VECTOR && bug(LVT_REFUSES_ILLEGAL))
		value = (value & ~ICR_VECTOR) | (*lvt & ICR_VECTOR);
	*lvt = stored(offset, value);
	if (!(v->apic.spurious & APIC_SOFTWARE_ENABLE) && !bug(LVT_OFF_UNMASKED))
		*lvt |= APIC_MASKED;
	/* SDM 3A, "Valid Interrupt Vectors": the mask need not matter; here it does. */
	if ((value & ICR_VECTOR) < 16 && (value & ICR_MODE) == ICR_FIXED && !(value & APIC_MASKED))
		lapic_error(v, ESR_RECEIVE_ILLEGAL);
}

static void write_spurious(struct lapic *a, uint32_t value)
{
	bool toggled = (a->spurious ^ value) & APIC_SOFTWARE_ENABLE;

	a->spurious = stored(APIC_SPURIOUS, value);
	if (toggled && highest(a->irr) >= 0 && bug(OPENVMM_APIC_TOGGLE))
		memset(a->irr, 0, sizeof(a->irr));
	if (value & APIC_SOFTWARE_ENABLE || bug(LVT_OFF_UNMASKED))
		return;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		a->lvt[i] |= APIC_MASKED;
}

bool lapic_write(struct vcpu *v, unsigned offset, uint32_t value, uint32_t high)
{
	struct lapic *a = &v->apic;
	uint32_t *lvt = lvt_at(a, offset);

	if (is_refused(a, offset, value, high) && !bug(X2APIC_RESERVED))
		return false;
	if (is_read_only(offset)) {
		if (!lapic_is_x2(a) && bug(APIC_READ_ONLY))
			a->scribbled[offset / 16 & 63] = value;
		return !lapic_is_x2(a);
	}
	if (lvt) {
		write_lvt(v, offset, lvt, value);
		return true;
	}
	switch (offset) {
	case APIC_ID:
		a->id = stored(offset, value);
		return !lapic_is_x2(a);
	case APIC_TPR:
		a->tpr = stored(offset, value);
		return true;
	case APIC_EOI:
		if (value >= 16 && value < 256 && bug(EOI_BY_VALUE))
			put(a->isr, value, false);
		else
			end_of_interrupt(a);
		return true;
	case APIC_LDR:
		a->ldr = stored(offset, value);
		return !lapic_is_x2(a);
	case APIC_DFR:
		a->dfr = stored(offset, value) | ~DFR_MODEL;
		return !lapic_is_x2(a);
	case APIC_SPURIOUS:
		write_spurious(a, value);
		return true;
	case APIC_ESR:
		a->esr = a->esr_collected;
		if (bug(ESR_ALWAYS_SET))
			a->esr |= ESR_SEND_ILLEGAL | ESR_RECEIVE_ILLEGAL;
		if (value && bug(ESR_TAKES_VALUE))
			a->esr = value;
		a->esr_collected = 0;
		return true;
	case APIC_ICR:
		a->icr_low = stored(offset, value) & ~(uint32_t)ICR_PENDING;
		if (lapic_is_x2(a))
			a->icr_high = high;
		ipi_send(v, value, a->icr_high);
		return true;
	case APIC_ICR_HIGH:
		a->icr_high = stored(offset, value);
		return !lapic_is_x2(a);
	case APIC_TIMER_INITIAL:
		start_timer(a, stored(offset, value));
		return true;
	case APIC_TIMER_DIVIDE:
		change_divider(a, stored(offset, value));
		return true;
	case X2APIC_SELF_IPI:
		if (!lapic_is_x2(a))
			break;
		ipi_send(v, ICR_SELF | (value & ICR_VECTOR), 0);
		return true;
	}
	lapic_error(v, ESR_ILLEGAL_REGISTER);
	return !lapic_is_x2(a);
}
