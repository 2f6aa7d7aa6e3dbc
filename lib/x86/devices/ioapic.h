/* SPDX-License-Identifier: BSD-2-Clause */
/* The first I/O APIC (Intel 82093AA datasheet), and a line of it that software can move. */
#ifndef LIB_X86_IOAPIC_H
#define LIB_X86_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define IOAPIC_LOGICAL (1u << 11)
#define IOAPIC_SENDING (1u << 12)
#define IOAPIC_REMOTE_IRR (1u << 14)
#define IOAPIC_LEVEL (1u << 15)
#define IOAPIC_MASKED (1u << 16)

bool ioapic_present(void);

/* Redirection of a pin: vector, mode and the bits above; destination is an APIC id or a logical one. */
void ioapic_route(unsigned pin, uint32_t low, uint8_t destination);
void ioapic_mask(unsigned pin);

/* One half of an entry, while the other stays as it is. */
void ioapic_set_low(unsigned pin, uint32_t low);
void ioapic_set_destination(unsigned pin, uint8_t destination);

bool ioapic_remote_irr(unsigned pin);

/* Waits a moment for a message of the pin that is on its way still. */
void ioapic_settle(unsigned pin);

/* An I/O APIC of version 0x20 and later has an EOI register: ends the vector's level interrupts here alone. */
bool ioapic_has_eoi(void);
void ioapic_eoi(uint8_t vector);

/*
 * The first serial port's interrupt line: up while the port, which has nothing to send, is asked to say
 * so. The console does not use it.
 */
#define LINE_PIN 4
void line_raise(void);
void line_lower(void);

#endif
