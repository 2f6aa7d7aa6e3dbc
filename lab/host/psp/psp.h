/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AMD Secure Processor as Linux's ccp driver finds it: a PCI function with a BAR of registers, and in them a
 * mailbox, through which the driver gives commands (firmware.h) and learns by a message-signalled interrupt that
 * they are done. Linux, drivers/crypto/ccp/{sp-pci,psp-dev,sev-dev}.c, for which registers there are.
 */
#ifndef HOST_PSP_H
#define HOST_PSP_H

#include <stdbool.h>
#include <stdint.h>

/* Whether an address is in the BAR; registers by their offset in it. */
bool psp_claims(uint64_t at);
uint32_t psp_read(uint64_t at);
void psp_write(uint64_t at, uint32_t value);

/* Puts the function on the bus, and takes the BAR out of what L1 reaches by itself. */
void psp_init(void);

#endif
