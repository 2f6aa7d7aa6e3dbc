/* SPDX-License-Identifier: BSD-2-Clause */
#include "psp.h"

#include "base/log.h"
#include "base/options.h"
#include "firmware.h"
#include "foreign.h"
#include "memory/identity.h"
#include "pci.h"

#define DEVFN (4u << 3) /* bus 0, device 4: QEMU's Q35 has nothing there */
#define BAR_AT (0x10 + 4 * 2)
#define BAR_BYTES 0x100000u
#define BASE \
	0xfd000000u /* in the window that Q35's host bridge decodes, with nothing of QEMU's in it */
#define PAGE 4096ul

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

static struct pci_function function = {
	.devfn = DEVFN,
	.bar = BAR_AT,
	.bar_base = BASE,
	.bar_bytes = BAR_BYTES,
	.config =
		{
			0x22,
			0x10,
			0xca,
			0x14, /* 1022:14CA: no CCP engine comes with it */
			0x02,
			0x00,
			0x10,
			0x00, /* memory on; has capabilities */
			0x00,
			0x00,
			0x80,
			0x10, /* class 10 80: encryption controller */
			[0x2c] = 0x22,
			0x10,
			0xca,
			0x14,
			[0x34] = PCI_MSI,
			[PCI_MSI] = PCI_MSI_BYTES,
		},
};
static uint32_t interrupt_enable, interrupt_status, response, buffer_low, buffer_high;

void psp_init(void)
{
	pci_add(&function);
	for (uint64_t at = BASE; at < BASE + BAR_BYTES; at += PAGE)
		identity_unmap(at);
}

/* -- Registers. ---------------------------------------------------------------------------------- */

bool psp_claims(uint64_t at)
{
	return features.sev && at >= BASE && at < BASE + BAR_BYTES;
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
	unsigned error;

	foreign_begin();
	error = firmware_command(id, (uint64_t)buffer_high << 32 | buffer_low);
	foreign_end();
	if (tracing || error)
		say("l0: SEV command %#x: error %#x\n", id, error);
	response = RESPONSE | id << 16 | error;
	if (!(value & WANTS_INTERRUPT))
		return;
	interrupt_status |= COMMAND_DONE;
	if (interrupt_enable & COMMAND_DONE && !pci_interrupt(&function))
		say("l0: the Secure Processor has no interrupt to send\n");
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
