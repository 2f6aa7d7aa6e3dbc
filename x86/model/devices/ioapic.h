/* SPDX-License-Identifier: BSD-2-Clause */
/* An IOAPIC (82093AA datasheet; the EOI register is that of its successors). One pin is wired: serial.h. */
#ifndef MODEL_IOAPIC_H
#define MODEL_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define L2_IOAPIC_PAGE 0xfec00000ul

uint32_t ioapic_read(unsigned offset);
void ioapic_write(unsigned offset, uint32_t value);

/* The line on a pin goes up or down. */
void ioapic_set_line(unsigned pin, bool up);

/* A local APIC is done with a level-triggered interrupt. */
void ioapic_end_of_interrupt(uint8_t vector);

#endif
