/* SPDX-License-Identifier: BSD-2-Clause */
#include "ports.h"

#include "message.h"

#include <string.h>

#define COM1_IRQ 4
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR };
#define IER_NOTHING_TO_SEND 0x02
#define IIR_NOTHING_TO_SEND 0x02
#define IIR_NONE 0x01
#define LCR_DIVISOR 0x80
#define MCR_LINE_OUT 0x08
#define LSR_EMPTY_AND_IDLE 0x60
#define MSR_SOMEBODY_THERE 0xb0
#define BRIDGE_REGISTERS 256
#define PAM_FIRST 0x59
#define PAM_LAST 0x5f

static const struct board *board;
static char output[1024];
static size_t output_used;
static uint8_t uart[COM1_PORTS];
static bool sent, line; /* "nothing to send" waits to be read; IRQ 4 as the hypervisor knows it */
static uint32_t pci_address;
/* Intel 440FX: vendor, device, and class "host bridge". */
static const uint8_t bridge_at_reset[BRIDGE_REGISTERS] = {0x86, 0x80, 0x37, 0x12, [0x0b] = 0x06};
static uint8_t bridge[BRIDGE_REGISTERS];

void ports_start(const struct board *of)
{
	board = of;
	output_used = 0;
	memset(uart, 0, sizeof(uart));
	sent = line = false;
	pci_address = 0;
	memcpy(bridge, bridge_at_reset, sizeof(bridge));
}

/* -- COM1. ------------------------------------------------------------------------------------- */

void com1_flush(void)
{
	if (output_used)
		message('D', output, output_used);
	output_used = 0;
}

static void uart_line(void)
{
	bool raised =
		sent && (uart[UART_IER] & IER_NOTHING_TO_SEND) && (uart[UART_MCR] & MCR_LINE_OUT);

	if (raised != line)
		board->set_line(COM1_IRQ, raised);
	line = raised;
}

void com1_send(uint8_t byte)
{
	if (uart[UART_LCR] & LCR_DIVISOR)
		return;
	output[output_used++] = byte;
	if (byte == '\n' || output_used == sizeof(output))
		com1_flush();
	sent = true;
	uart_line();
}

static void uart_write(unsigned reg, uint8_t value)
{
	if (reg == UART_DATA) {
		com1_send(value);
		return;
	}
	if (reg == UART_IER && uart[UART_LCR] & LCR_DIVISOR)
		return;
	/* Whoever begins to ask for it is told at once: there is never anything to send. */
	if (reg == UART_IER && value & ~uart[UART_IER] & IER_NOTHING_TO_SEND)
		sent = true;
	uart[reg] = value;
	if (reg == UART_IER && board->com1_is_watched)
		board->com1_is_watched(value);
	uart_line();
}

static uint8_t uart_read(unsigned reg)
{
	switch (reg) {
	case UART_DATA:
		return 0;
	case UART_IIR:
		if (!line)
			return IIR_NONE;
		sent = false;
		uart_line();
		return IIR_NOTHING_TO_SEND;
	case UART_LSR:
		return LSR_EMPTY_AND_IDLE;
	case UART_MSR:
		return MSR_SOMEBODY_THERE;
	default:
		return uart[reg];
	}
}

/* -- The host bridge. -------------------------------------------------------------------------- */

/*
 * A change of a PAM register makes QEMU rebuild memory slots, and a slot that goes makes KVM drop all
 * that it had mapped. That is what guests use the register for.
 */
void bridge_write(unsigned reg, uint8_t value)
{
	if (reg < 0x40 || reg >= BRIDGE_REGISTERS || bridge[reg] == value)
		return;
	bridge[reg] = value;
	if (reg >= PAM_FIRST && reg <= PAM_LAST)
		board->forget_all();
}

uint8_t bridge_read(unsigned reg)
{
	return reg < BRIDGE_REGISTERS ? bridge[reg] : 0xff;
}

/* The bridge's register behind a data port, -1 for any other device: it is all that there is. */
static int bridge_register(unsigned port)
{
	if ((pci_address & 0x80ffff00) != 0x80000000)
		return -1;
	return (pci_address & 0xfc) + (port - PCI_DATA_PORT);
}

/* -- All of them. ------------------------------------------------------------------------------ */

void port_write(unsigned port, const uint8_t *data, unsigned size)
{
	if (port == EXIT_PORT)
		board->over(*data);
	if (port == PCI_ADDRESS_PORT && size == 4)
		memcpy(&pci_address, data, 4);
	if (port == COLD_PORT && size == 4) {
		uint32_t number;

		memcpy(&number, data, 4);
		board->forget_page(number);
	}
	for (unsigned i = 0; i < size; i++) {
		if (port == WORDS_PORT)
			com1_send(data[i]);
		else if (port + i - COM1_PORT < COM1_PORTS)
			uart_write(port + i - COM1_PORT, data[i]);
		else if (port + i - PCI_DATA_PORT < 4 && bridge_register(port + i) >= 0)
			bridge_write(bridge_register(port + i), data[i]);
	}
}

void port_read(unsigned port, uint8_t *data, unsigned size)
{
	memset(data, 0xff, size);
	if (port == PCI_ADDRESS_PORT && size == 4)
		memcpy(data, &pci_address, 4);
	for (unsigned i = 0; i < size; i++) {
		if (port + i - COM1_PORT < COM1_PORTS)
			data[i] = uart_read(port + i - COM1_PORT);
		else if (port + i - PCI_DATA_PORT < 4 && bridge_register(port + i) >= 0)
			data[i] = bridge_read(bridge_register(port + i));
	}
}
