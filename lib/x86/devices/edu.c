/* SPDX-License-Identifier: BSD-2-Clause */
#include "edu.h"

#include "pci.h"

#define EDU_ID 0x11e81234
#define EDU_BAR 0xd0000000ul
#define EDU_RAISE 0x60
#define EDU_ACKNOWLEDGE 0x64
#define PCI_COMMAND 0x04
#define COMMAND_MEMORY_AND_MASTER 6
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define CAPABILITY_MSI 5
#define MSI_ENABLE (1u << 16)
#define MSI_64_BIT (1u << 23)

static unsigned edu, capability;

bool edu_present(void)
{
	edu = pci_find(EDU_ID);
	return edu;
}

bool edu_open(void)
{
	capability = pci_read32(edu, PCI_CAPABILITIES) & 0xff;
	while (capability && (pci_read32(edu, capability) & 0xff) != CAPABILITY_MSI)
		capability = pci_read32(edu, capability) >> 8 & 0xff;
	if (!capability)
		return false;
	pci_write32(edu, PCI_BAR0, EDU_BAR);
	pci_write32(edu, PCI_COMMAND, COMMAND_MEMORY_AND_MASTER);
	return true;
}

void edu_send(uint32_t address, uint32_t data)
{
	uint32_t control = pci_read32(edu, capability);
	unsigned data_at = control & MSI_64_BIT ? 12 : 8;

	pci_write32(edu, capability + 4, address);
	if (control & MSI_64_BIT)
		pci_write32(edu, capability + 8, 0);
	pci_write32(edu, capability + data_at, data);
	pci_write32(edu, capability, control | MSI_ENABLE);
	*(volatile uint32_t *)(EDU_BAR + EDU_RAISE) = 1;
	*(volatile uint32_t *)(EDU_BAR + EDU_ACKNOWLEDGE) = 1;
}
