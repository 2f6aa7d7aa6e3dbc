/* SPDX-License-Identifier: BSD-2-Clause */
#include "psp.h"

#include "base/log.h"
#include "base/options.h"
#include "firmware.h"
#include "memory/identity.h"

#include "string.h"

#define DEVFN (4u << 3) /* bus 0, device 4: QEMU's Q35 has nothing there */
#define BAR 2
#define BAR_AT (0x10 + 4 * BAR)
#define BAR_BYTES 0x100000u
#define BASE \
	0xfd000000u /* in the window that Q35's host bridge decodes, with nothing of QEMU's in it */
#define PAGE 4096ul

/* Capability: message-signalled interrupts, 64-bit addresses. PCI Local Bus Specification 3.0, 6.8.1. */
#define MSI 0x50
#define MSI_CONTROL (MSI + 2)
#define MSI_ADDRESS (MSI + 4)
#define MSI_DATA (MSI + 12)

/* In the BAR: the layout that ccp knows as that of 1022:14CA. */
#define R_FEATURE 0x109fc
#define R_INTERRUPT_ENABLE 0x10690
#define R_INTERRUPT_STATUS 0x10694 /* write 1 to clear */
#define R_COMMAND 0x10980
#define R_BUFFER_LOW 0x109e0
#define R_BUFFER_HIGH 0x109e4

#define FEATURE_SEV 1u
#define COMMAND_DONE (1u << 1) /* of the two interrupt registers */
#define WANTS_INTERRUPT 1u
#define RESPONSE (1u << 31)

static uint8_t config[256] = {
	0x22,	       0x10, 0xca, 0x14, /* 1022:14CA: no CCP engine comes with it */
	0x02,	       0x00, 0x10, 0x00, /* memory on; has capabilities */
	0x00,	       0x00, 0x80, 0x10, /* class 10 80: encryption controller */
	[0x2c] = 0x22, 0x10, 0xca, 0x14, [0x34] = MSI, [MSI] = 0x05, 0x00, 0x80, 0x00,
};
static uint32_t address, bar = BASE;
static uint32_t interrupt_enable, interrupt_status, response, buffer_low, buffer_high;

void psp_init(void)
{
	for (uint64_t at = BASE; at < BASE + BAR_BYTES; at += PAGE)
		identity_unmap(at);
}

/* -- Configuration space. ------------------------------------------------------------------------ */

static void write_bar(uint32_t value, unsigned byte)
{
	static uint32_t written;

	written = (written & ~(0xffu << 8 * byte)) | value << 8 * byte;
	if (byte != 3)
		return;
	/* Sized by all ones; otherwise Linux leaves it where it finds it. */
	bar = written & ~(BAR_BYTES - 1);
	if (bar && bar != BASE && bar != ~(BAR_BYTES - 1))
		stop("L1 moves the Secure Processor's registers to %#x; the monitor has them at %#x alone",
		     bar, BASE);
}

static void config_write(unsigned reg, uint8_t value)
{
	if (reg >= BAR_AT && reg < BAR_AT + 4) {
		write_bar(value, reg - BAR_AT);
		return;
	}
	switch (reg) {
	case 0x04: /* command */
	case 0x05:
	case 0x3c: /* interrupt line */
	case MSI_ADDRESS ... MSI_DATA + 1:
		config[reg] = value;
		break;
	case MSI_CONTROL:
		config[reg] = 0x80 | (value & 1);
		break;
	}
}

static uint8_t config_read(unsigned reg)
{
	return reg >= BAR_AT && reg < BAR_AT + 4 ? bar >> 8 * (reg - BAR_AT) : config[reg];
}

bool psp_config(uint16_t port, bool in, unsigned bytes, uint32_t *value)
{
	unsigned reg;

	if (port == 0xcf8 && bytes == 4 && !in)
		address = *value;
	if (port < 0xcfc || (address & 0x80ffff00) != (0x80000000u | DEVFN << 8))
		return false;
	reg = (address & 0xfc) + (port - 0xcfc);
	if (in)
		*value = 0;
	for (unsigned i = 0; i < bytes; i++, reg++)
		if (in)
			*value |= (uint32_t)config_read(reg & 0xff) << 8 * i;
		else
			config_write(reg & 0xff, *value >> 8 * i);
	return true;
}

/* -- Registers. ---------------------------------------------------------------------------------- */

bool psp_claims(uint64_t at)
{
	return features.sev && at >= BASE && at < BASE + BAR_BYTES;
}

/* As any device writes its message. QEMU takes the local APIC's page for the target, as on the bus. */
static void interrupt(void)
{
	uint32_t at, data = 0;

	memcpy(&at, config + MSI_ADDRESS, 4);
	memcpy(&data, config + MSI_DATA, 2);
	if (config[MSI_CONTROL] & 1 && at >> 20 == 0xfee)
		*(volatile uint32_t *)(uint64_t)at = data;
	else
		say("l0: the Secure Processor has no interrupt to send\n");
}

uint32_t psp_read(uint64_t at)
{
	switch (at - BASE) {
	case R_FEATURE:
		return FEATURE_SEV;
	case R_INTERRUPT_ENABLE:
		return interrupt_enable;
	case R_INTERRUPT_STATUS:
		return interrupt_status;
	case R_COMMAND:
		return response;
	case R_BUFFER_LOW:
		return buffer_low;
	case R_BUFFER_HIGH:
		return buffer_high;
	}
	return 0;
}

static void command(uint32_t value)
{
	unsigned id = value >> 16 & 0x3ff;
	unsigned error = firmware_command(id, (uint64_t)buffer_high << 32 | buffer_low);

	if (tracing || error)
		say("l0: SEV command %#x: error %#x\n", id, error);
	response = RESPONSE | id << 16 | error;
	if (!(value & WANTS_INTERRUPT))
		return;
	interrupt_status |= COMMAND_DONE;
	if (interrupt_enable & COMMAND_DONE)
		interrupt();
}

void psp_write(uint64_t at, uint32_t value)
{
	switch (at - BASE) {
	case R_INTERRUPT_ENABLE:
		interrupt_enable = value;
		break;
	case R_INTERRUPT_STATUS:
		interrupt_status &= ~value;
		break;
	case R_BUFFER_LOW:
		buffer_low = value;
		break;
	case R_BUFFER_HIGH:
		buffer_high = value;
		break;
	case R_COMMAND:
		command(value);
		break;
	}
}
