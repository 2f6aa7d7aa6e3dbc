/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI configuration mechanism #1, as far as the host bridge (00:00.0) is concerned. */
#ifndef LIB_X86_PCI_H
#define LIB_X86_PCI_H

#include <stdint.h>

uint8_t pci_read8(unsigned reg);
void pci_write8(unsigned reg, uint8_t value);

/*
 * The PAM register for 0xc0000-0xc7fff of a host bridge that is known to have one (Intel 440FX PMC
 * datasheet, "PAM"; Q35 MCH), or 0.
 */
unsigned pci_host_bridge_pam(void);

#endif
