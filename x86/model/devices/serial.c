/* SPDX-License-Identifier: BSD-2-Clause */
#include "serial.h"

#include "ioapic.h"

#include "x86/cpu/cpu.h"

#define PORT_IER 0x3f9
#define PORT_LCR 0x3fb
#define PORT_MCR 0x3fc
#define IER_NOTHING_TO_SEND 2
#define LCR_DIVISOR 0x80 /* PORT_IER is half of the divisor */
#define MCR_LINE_OUT 8
#define PIN 4

static uint8_t ier;

bool serial_has_port(unsigned port)
{
	return port == PORT_IER || port == PORT_MCR;
}

static bool is_divisor(unsigned port)
{
	return port == PORT_IER && inb(PORT_LCR) & LCR_DIVISOR;
}

uint8_t serial_read(unsigned port)
{
	return port == PORT_MCR || is_divisor(port) ? inb(port) : ier;
}

/* The transmitter is taken for empty whenever this is asked. */
void serial_write(unsigned port, uint8_t value)
{
	if (port == PORT_MCR || is_divisor(port))
		outb(port, value);
	else
		ier = value;
	ioapic_set_line(PIN, ier & IER_NOTHING_TO_SEND && inb(PORT_MCR) & MCR_LINE_OUT);
}
