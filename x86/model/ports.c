/* SPDX-License-Identifier: BSD-2-Clause */
#include "ports.h"

#include "devices/serial.h"
#include "reach.h"
#include "smp.h"

#include "x86/cpu/cpu.h"

#define COM1_DATA 0x3f8
#define COM1_SCRATCH 0x3ff
#define QEMU_EXIT 0xf4
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define ID_440FX 0x12378086u
#define PAM_FIRST 0x59
#define PAM_LAST 0x5f

static uint32_t address;
static uint8_t pam[PAM_LAST - PAM_FIRST + 1];
static bool ends;

static bool host_bridge(unsigned port)
{
	return port >= CONFIG_DATA && port < CONFIG_DATA + 4 &&
	       (address & 0x80ffff00) == 0x80000000;
}

static uint8_t config_read(unsigned reg)
{
	if (reg < 4)
		return ID_440FX >> 8 * reg;
	return reg >= PAM_FIRST && reg <= PAM_LAST ? pam[reg - PAM_FIRST] : 0;
}

uint32_t port_read(unsigned port, unsigned bytes)
{
	uint32_t value = 0;

	if ((port == COM1_SCRATCH || port == COM1_DATA) && bytes == 1)
		return inb(port);
	if (serial_has_port(port) && bytes == 1)
		return serial_read(port);
	if (port == CONFIG_ADDRESS && bytes == 4)
		return address;
	if (!host_bridge(port))
		return 0xffffffff;
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint32_t)config_read((address & 0xfc) + port - CONFIG_DATA + i) << 8 * i;
	return value;
}

void port_write(struct vcpu *v, unsigned port, unsigned bytes, uint32_t value)
{
	unsigned reg = (address & 0xfc) + port - CONFIG_DATA;

	/* The data port comes here only where somebody listens. */
	if (port == COM1_DATA && bytes == 1)
		reach_byte(value);
	if (port == COM1_SCRATCH && bytes == 1)
		outb(port, value);
	if (serial_has_port(port) && bytes == 1)
		serial_write(port, value);
	if (port == QEMU_EXIT && bytes == 1) {
		ends = true;
		outb(port, value);
	}
	if (port == CONFIG_ADDRESS && bytes == 4)
		address = value;
	if (!host_bridge(port))
		return;
	for (unsigned i = 0; i < bytes; i++, reg++) {
		if (reg < PAM_FIRST || reg > PAM_LAST ||
		    pam[reg - PAM_FIRST] == (uint8_t)(value >> 8 * i))
			continue;
		pam[reg - PAM_FIRST] = value >> 8 * i;
		smp_drop_mappings(v);
	}
}

bool port_machine_ends(void)
{
	return ends;
}
