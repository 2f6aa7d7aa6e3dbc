/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's registers that software can write, one row each, as the manuals have them (SDM 3A, "Local APIC
 * Register Address Map", and the figures of the single registers; APM 2, "APIC Registers"). For apic_registers.c and
 * apic_registers_x2apic.c.
 */
#ifndef X86_REGISTERS_H
#define X86_REGISTERS_H

#include "trapline.h"

struct reg {
	const char *name;
	uint16_t offset;
	uint8_t lvt_number; /* there if the version register counts as many; 0: always */
	uint32_t
		base; /* what is written while single bits are turned over: nothing is raised by it */
	uint32_t writable; /* both values of the bit read back */
	uint32_t open;	   /* bits of which the manuals leave open what a write does */
};

#define APIC_LVT_CMCI 0x2f0

#define LVT_VECTOR 0xff
#define LVT_MODE 0x700
#define LVT_SENDING 0x1000    /* read-only */
#define LVT_LOW_ACTIVE 0x2000 /* LINT0 and LINT1 */
#define LVT_REMOTE_IRR 0x4000 /* read-only; LINT0 and LINT1 */
#define LVT_LEVEL 0x8000      /* LINT0 and LINT1 */
#define LVT_DEADLINE_BIT 0x40000

/* The vector of an entry at rest: legal, for the moment without mask. */
#define LVT_REST 0x31

#define SVR_FOCUS 0x200 /* on some */

#define LVT(name, offset, number, more)                                                          \
	{                                                                                        \
		name, offset, number, APIC_MASKED | LVT_REST, LVT_VECTOR | APIC_MASKED | (more), \
			LVT_SENDING                                                              \
	}

/* Read-only bits are not reserved: what a write of them does is open in x2APIC mode. The row's index is its name. */
enum register_name {
	REG_TPR,
	REG_SPURIOUS,
	REG_LVT_CMCI,
	REG_LVT_TIMER,
	REG_LVT_THERMAL,
	REG_LVT_PERF,
	REG_LVT_LINT0,
	REG_LVT_LINT1,
	REG_LVT_ERROR,
	REG_TIMER_INITIAL,
	REG_TIMER_DIVIDE,
};

static const struct reg registers[] = {
	[REG_TPR] = {"tpr", APIC_TPR, 0, 0, 0xff, 0},
	[REG_SPURIOUS] = {"spurious", APIC_SPURIOUS, 0, APIC_SOFTWARE_ENABLE | 0xff, 0x1ff,
			  SVR_FOCUS},
	[REG_LVT_CMCI] = LVT("cmci", APIC_LVT_CMCI, 6, LVT_MODE),
	[REG_LVT_TIMER] = LVT("timer", APIC_LVT_TIMER, 0, LVT_PERIODIC),
	[REG_LVT_THERMAL] = LVT("thermal", APIC_LVT_THERMAL, 5, LVT_MODE),
	[REG_LVT_PERF] = LVT("perf", APIC_LVT_PERF, 4, LVT_MODE),
	[REG_LVT_LINT0] = {"lint0", APIC_LVT_LINT0, 0, APIC_MASKED | LVT_REST,
			   LVT_VECTOR | LVT_MODE | LVT_LOW_ACTIVE | LVT_LEVEL | APIC_MASKED,
			   LVT_SENDING | LVT_REMOTE_IRR},
	[REG_LVT_LINT1] = {"lint1", APIC_LVT_LINT1, 0, APIC_MASKED | LVT_REST,
			   LVT_VECTOR | LVT_MODE | LVT_LOW_ACTIVE | LVT_LEVEL | APIC_MASKED,
			   LVT_SENDING | LVT_REMOTE_IRR},
	[REG_LVT_ERROR] = LVT("error", APIC_LVT_ERROR, 0, 0),
	[REG_TIMER_INITIAL] = {"initial", APIC_TIMER_INITIAL, 0, 0, 0xffffffff, 0},
	[REG_TIMER_DIVIDE] = {"divide", APIC_TIMER_DIVIDE, 0, 0, 0xb, 0},
};

static inline bool register_is_there(const struct reg *r)
{
	return r->lvt_number <= APIC_VERSION_LAST_LVT(apic_read(APIC_VERSION));
}

#define CPUID_1_C_TSC_DEADLINE (1u << 24)

/* Where a bit is there only on some machines. */
static inline uint32_t register_writable(const struct reg *r)
{
	if (r->offset == APIC_LVT_TIMER && cpuid(1, 0).c & CPUID_1_C_TSC_DEADLINE)
		return r->writable | LVT_DEADLINE_BIT;
	if (r->offset == APIC_SPURIOUS && apic_read(APIC_VERSION) & APIC_VERSION_SUPPRESSES_EOI)
		return r->writable | APIC_SUPPRESS_EOI;
	return r->writable;
}

/* What cases of this kind leave: all as it is after reset, but enabled. An error of a vector below 16 is forgotten. */
static inline void registers_put_back(void)
{
	apic_write(APIC_TIMER_INITIAL, 0);
	for (unsigned i = REG_LVT_CMCI; i <= REG_LVT_ERROR; i++)
		if (register_is_there(&registers[i]))
			apic_write(registers[i].offset, APIC_MASKED);
	apic_enable(0);
	apic_esr_clear();
}

#endif
