/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of an IOAPIC (82093AA datasheet); nothing is wired to its pins. */
#ifndef MODEL_IOAPIC_H
#define MODEL_IOAPIC_H

#include <stdint.h>

#define L2_IOAPIC_PAGE 0xfec00000ul

uint32_t ioapic_read(unsigned offset);
void ioapic_write(unsigned offset, uint32_t value);

#endif
