/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI functions that the monitor plays on bus 0: their configuration space, through ports 0CF8 to 0CFF. PCI Local Bus
 * Specification 3.0, chapter 6.
 */
#ifndef HOST_PCI_H
#define HOST_PCI_H

#include <stdbool.h>
#include <stdint.h>

/* The capability for message-signalled interrupts, 64-bit addresses (6.8.1): where each function here has it. */
#define PCI_MSI 0x50
#define PCI_MSI_BYTES 0x05, 0x00, 0x80, 0x00

struct pci_function {
	uint8_t devfn;
	uint8_t config[256];
	/* A BAR of 32 bits that stays where it is: its register, 0 for none; where it leads, and its size. */
	unsigned bar;
	uint32_t bar_base, bar_bytes;
	uint32_t bar_value, bar_written;
};

/* The function is on the bus from now on. */
void pci_add(struct pci_function *f);

/* An access to 0CF8 to 0CFF. True: it was to the configuration space of one of ours; else the ports are the
 * machine's. */
bool pci_config(uint16_t port, bool in, unsigned bytes, uint32_t *value);

/* Sends the function's interrupt, as any device writes its message. False: L1 has not enabled it. */
bool pci_interrupt(const struct pci_function *f);

#endif
