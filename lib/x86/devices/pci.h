/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI configuration mechanism #1, on bus 0; without a device it is the host bridge's (00:00.0). */
#ifndef LIB_X86_PCI_H
#define LIB_X86_PCI_H

#include <stdint.h>

/* A device of bus 0 by its id (device << 16 | vendor), as a handle for the two below; 0: none. */
unsigned pci_find(uint32_t id);
uint32_t pci_read32(unsigned device, unsigned reg);
void pci_write32(unsigned device, unsigned reg, uint32_t value);

uint8_t pci_read8(unsigned reg);
void pci_write8(unsigned reg, uint8_t value);

/*
 * The PAM register for 0xc0000-0xc7fff of a host bridge that is known to have one (Intel 440FX PMC
 * datasheet, "PAM"; Q35 MCH), or 0.
 */
unsigned pci_host_bridge_pam(void);

#endif
