/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci.h"

#include "base/log.h"

#include "string.h"

#define MOST_FUNCTIONS 2
#define MSI_CONTROL (PCI_MSI + 2)
#define MSI_ADDRESS (PCI_MSI + 4)
#define MSI_DATA (PCI_MSI + 12)
#define ENABLE (1u << 31) /* of 0CF8 */

static struct pci_function *functions[MOST_FUNCTIONS];
static unsigned count;
static uint32_t address;

void pci_add(struct pci_function *f)
{
	f->bar_value = f->bar_base;
	functions[count++] = f;
}

static void write_bar(struct pci_function *f, uint32_t value, unsigned byte)
{
	f->bar_written = (f->bar_written & ~(0xffu << 8 * byte)) | value << 8 * byte;
	if (byte != 3)
		return;
	/* Sized by all ones; otherwise Linux leaves it where it finds it. */
	f->bar_value = f->bar_written & ~(f->bar_bytes - 1);
	if (f->bar_value && f->bar_value != f->bar_base && f->bar_value != ~(f->bar_bytes - 1))
		stop("L1 moves the registers of PCI function 00:%02x.%u to %#x; the monitor has them at %#x alone",
		     f->devfn >> 3, f->devfn & 7, f->bar_value, f->bar_base);
}

static bool is_bar(const struct pci_function *f, unsigned reg)
{
	return f->bar && reg >= f->bar && reg < f->bar + 4;
}

static void write_byte(struct pci_function *f, unsigned reg, uint8_t value)
{
	if (is_bar(f, reg)) {
		write_bar(f, value, reg - f->bar);
		return;
	}
	switch (reg) {
	case 0x04: /* command */
	case 0x05:
	case 0x3c: /* interrupt line */
	case MSI_ADDRESS ... MSI_DATA + 1:
		f->config[reg] = value;
		break;
	case MSI_CONTROL:
		f->config[reg] = 0x80 | (value & 1);
		break;
	}
}

static uint8_t read_byte(const struct pci_function *f, unsigned reg)
{
	return is_bar(f, reg) ? f->bar_value >> 8 * (reg - f->bar) : f->config[reg];
}

static struct pci_function *addressed(void)
{
	for (unsigned i = 0; i < count; i++)
		if ((address & 0x80ffff00) == (ENABLE | (uint32_t)functions[i]->devfn << 8))
			return functions[i];
	return NULL;
}

bool pci_config(uint16_t port, bool in, unsigned bytes, uint32_t *value)
{
	struct pci_function *f;
	unsigned reg;

	if (port == 0xcf8 && bytes == 4 && !in)
		address = *value;
	if (port < 0xcfc)
		return false;
	f = addressed();
	if (!f)
		return false;
	reg = (address & 0xfc) + (port - 0xcfc);
	if (in)
		*value = 0;
	for (unsigned i = 0; i < bytes; i++, reg++)
		if (in)
			*value |= (uint32_t)read_byte(f, reg & 0xff) << 8 * i;
		else
			write_byte(f, reg & 0xff, *value >> 8 * i);
	return true;
}

/* QEMU takes the local APIC's page for the target, as on the bus. */
bool pci_interrupt(const struct pci_function *f)
{
	uint32_t at, data = 0;

	memcpy(&at, f->config + MSI_ADDRESS, 4);
	memcpy(&data, f->config + MSI_DATA, 2);
	if (!(f->config[MSI_CONTROL] & 1) || at >> 20 != 0xfee)
		return false;
	*(volatile uint32_t *)(uint64_t)at = data;
	return true;
}
