/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first serial port's interrupt line, which is wired to pin 4 of the IOAPIC. The port itself is the
 * machine's, but its interrupts are not: they are asked for here.
 */
#ifndef MODEL_SERIAL_H
#define MODEL_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

/* Ports of the interrupt enable and of the modem control register. */
bool serial_has_port(unsigned port);
uint8_t serial_read(unsigned port);
void serial_write(unsigned port, uint8_t value);

#endif
