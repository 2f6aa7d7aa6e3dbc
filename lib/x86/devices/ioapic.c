/* SPDX-License-Identifier: BSD-2-Clause */
#include "ioapic.h"

#include "x86/cpu/cpu.h"

#define IOAPIC_PAGE 0xfec00000ul
#define INDEX 0x00
#define DATA 0x10
#define EOI 0x40
#define VERSION 1
#define VERSION_WITH_EOI 0x20
#define REDIRECTION(pin) (0x10 + 2 * (pin))

#define PORT 0x3f8
#define PORT_IER (PORT + 1)
#define PORT_MCR (PORT + 4)
#define IER_NOTHING_TO_SEND 2
#define MCR_LINE_OUT 8 /* OUT2 lets the line through */

static volatile uint32_t *reg(unsigned offset)
{
	return (volatile uint32_t *)(IOAPIC_PAGE + offset);
}

static uint32_t ioapic_read(unsigned index)
{
	*reg(INDEX) = index;
	return *reg(DATA);
}

static void ioapic_write(unsigned index, uint32_t value)
{
	*reg(INDEX) = index;
	*reg(DATA) = value;
}

bool ioapic_present(void)
{
	uint32_t version = ioapic_read(VERSION);

	return version != 0 && version != 0xffffffff && (version >> 16 & 0xff) >= LINE_PIN;
}

void ioapic_route(unsigned pin, uint32_t low, uint8_t destination)
{
	ioapic_mask(pin);
	ioapic_set_destination(pin, destination);
	ioapic_set_low(pin, low);
}

void ioapic_set_low(unsigned pin, uint32_t low)
{
	ioapic_write(REDIRECTION(pin), low);
}

void ioapic_set_destination(unsigned pin, uint8_t destination)
{
	ioapic_write(REDIRECTION(pin) + 1, (uint32_t)destination << 24);
}

void ioapic_mask(unsigned pin)
{
	ioapic_write(REDIRECTION(pin), IOAPIC_MASKED);
}

bool ioapic_remote_irr(unsigned pin)
{
	return ioapic_read(REDIRECTION(pin)) & IOAPIC_REMOTE_IRR;
}

#define SETTLE_TICKS (1ul << 20)
#define SETTLE_LOOKS 1000

void ioapic_settle(unsigned pin)
{
	uint64_t end = rdtsc() + SETTLE_TICKS, looks = 0;

	while (ioapic_read(REDIRECTION(pin)) & IOAPIC_SENDING && rdtsc() < end &&
	       looks++ < SETTLE_LOOKS)
		cpu_relax();
}

bool ioapic_has_eoi(void)
{
	return (ioapic_read(VERSION) & 0xff) >= VERSION_WITH_EOI;
}

void ioapic_eoi(uint8_t vector)
{
	*reg(EOI) = vector;
}

void line_raise(void)
{
	outb(PORT_MCR, inb(PORT_MCR) | MCR_LINE_OUT);
	outb(PORT_IER, IER_NOTHING_TO_SEND);
}

void line_lower(void)
{
	outb(PORT_IER, 0);
}
