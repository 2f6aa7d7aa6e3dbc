/* SPDX-License-Identifier: BSD-2-Clause */
#include "ioapic.h"

#include "bug.h"
#include "ipi.h"
#include "lapic.h"
#include "smp.h"

#include "x86/devices/ioapic.h"

#define SELECT 0x00
#define WINDOW 0x10
#define EOI 0x40
#define REG_ID 0x00
#define REG_VERSION 0x01
#define REG_TABLE 0x10
#define PINS 24
#define VERSION ((PINS - 1) << 16 | 0x20)
#define ENTRY_VECTOR 0xffu
#define READ_ONLY (IOAPIC_SENDING | IOAPIC_REMOTE_IRR)

static uint8_t selected;
static uint32_t id, lines, edges_behind_mask;
/* What is stored is inverted in the mask bit, so that a zeroed table is a masked one. */
static struct {
	uint32_t low, high;
	uint32_t high_then; /* when the lower half was written, for a bug */
} table[PINS];

static bool in_table(unsigned reg)
{
	return reg >= REG_TABLE && reg < REG_TABLE + 2 * PINS;
}

static bool is_masked(unsigned pin)
{
	return !(table[pin].low & IOAPIC_MASKED);
}

static bool is_level(unsigned pin)
{
	return table[pin].low & IOAPIC_LEVEL;
}

/* Remote IRR belongs to levels, and only to those that somebody took. */
static void send(unsigned pin)
{
	uint32_t high = table[pin].high;

	if (high != table[pin].high_then && bug(IOAPIC_OLD_DESTINATION))
		high = table[pin].high_then;
	if (ipi_message(table[pin].low, high >> 24) && is_level(pin))
		table[pin].low |= IOAPIC_REMOTE_IRR;
}

static void send_level(unsigned pin)
{
	if (!(lines >> pin & 1) || !is_level(pin) || table[pin].low & IOAPIC_REMOTE_IRR)
		return;
	if (!is_masked(pin) || bug(IOAPIC_MASK_IGNORED))
		send(pin);
}

static bool is_requested(unsigned pin)
{
	for (unsigned i = 0; i < smp_count(); i++)
		if (lapic_is_requested(&smp_vcpu(i)->apic, table[pin].low & ENTRY_VECTOR))
			return true;
	return false;
}

/* A bug: what a local APIC has accepted goes with its cause. */
static void take_back(unsigned pin)
{
	unsigned vector = table[pin].low & ENTRY_VECTOR;

	for (unsigned i = 0; i < smp_count(); i++)
		if (lapic_is_requested(&smp_vcpu(i)->apic, vector) && bug(IOAPIC_TAKES_BACK))
			lapic_merge(&smp_vcpu(i)->apic, vector);
}

void ioapic_set_line(unsigned pin, bool up)
{
	bool rises = up && !(lines >> pin & 1);

	lines &= ~(1u << pin);
	lines |= (uint32_t)up << pin;
	if (rises && !is_level(pin) && !is_masked(pin))
		send(pin);
	if (rises && !is_level(pin) && is_masked(pin) && bug(IOAPIC_EDGE_KEPT))
		edges_behind_mask |= 1u << pin;
	if (!up && is_level(pin))
		take_back(pin);
	send_level(pin);
}

void ioapic_end_of_interrupt(uint8_t vector)
{
	for (unsigned pin = 0; pin < PINS; pin++) {
		if ((table[pin].low & ENTRY_VECTOR) != vector ||
		    !(table[pin].low & IOAPIC_REMOTE_IRR))
			continue;
		table[pin].low &= ~IOAPIC_REMOTE_IRR;
		send_level(pin);
	}
}

static uint32_t read_entry(unsigned reg)
{
	unsigned pin = (reg - REG_TABLE) / 2;

	return reg % 2 ? table[pin].high : table[pin].low ^ IOAPIC_MASKED;
}

static void write_entry(unsigned reg, uint32_t value)
{
	unsigned pin = (reg - REG_TABLE) / 2;
	uint32_t remote_irr = value & IOAPIC_LEVEL ? table[pin].low & IOAPIC_REMOTE_IRR : 0;

	if (reg % 2) {
		table[pin].high = value;
		if (!is_masked(pin) && is_requested(pin) && bug(IOAPIC_MOVES_PENDING))
			send(pin);
		return;
	}
	if (value & IOAPIC_MASKED && !is_masked(pin))
		take_back(pin);
	table[pin].low = ((value & ~READ_ONLY) ^ IOAPIC_MASKED) | remote_irr;
	table[pin].high_then = table[pin].high;
	if (!is_masked(pin) && edges_behind_mask >> pin & 1) {
		edges_behind_mask &= ~(1u << pin);
		send(pin);
	}
	send_level(pin);
}

uint32_t ioapic_read(unsigned offset)
{
	if (offset == SELECT)
		return selected;
	if (offset != WINDOW)
		return 0;
	if (in_table(selected))
		return read_entry(selected);
	return selected == REG_ID ? id : selected == REG_VERSION ? VERSION : 0;
}

void ioapic_write(unsigned offset, uint32_t value)
{
	if (offset == SELECT)
		selected = value;
	if (offset == EOI)
		ioapic_end_of_interrupt(value);
	if (offset != WINDOW)
		return;
	if (in_table(selected))
		write_entry(selected, value);
	if (selected == REG_ID)
		id = value & 0x0f000000;
}
