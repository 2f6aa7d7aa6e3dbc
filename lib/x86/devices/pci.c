/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci.h"

#include "x86/cpu/cpu.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u

#define ID_440FX 0x12378086u
#define ID_Q35 0x29c08086u

static void select(unsigned reg)
{
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | (reg & ~3u));
}

uint8_t pci_read8(unsigned reg)
{
	select(reg);
	return inb(CONFIG_DATA + reg % 4);
}

void pci_write8(unsigned reg, uint8_t value)
{
	select(reg);
	outb(CONFIG_DATA + reg % 4, value);
}

unsigned pci_host_bridge_pam(void)
{
	static unsigned found = ~0u;

	if (found == ~0u) {
		select(0);
		switch (inl(CONFIG_DATA)) {
		case ID_440FX:
			found = 0x5a;
			break;
		case ID_Q35:
			found = 0x91;
			break;
		default:
			found = 0;
		}
	}
	return found;
}

uint32_t pci_read32(unsigned device, unsigned reg)
{
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | device << 11 | reg);
	return inl(CONFIG_DATA);
}

void pci_write32(unsigned device, unsigned reg, uint32_t value)
{
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | device << 11 | reg);
	outl(CONFIG_DATA, value);
}

unsigned pci_find(uint32_t id)
{
	for (unsigned device = 1; device < 32; device++)
		if (pci_read32(device, 0) == id)
			return device;
	return 0;
}
