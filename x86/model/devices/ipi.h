/* SPDX-License-Identifier: BSD-2-Clause */
/* From one local APIC to others: SDM 3A, "Issuing Interprocessor Interrupts". */
#ifndef MODEL_IPI_H
#define MODEL_IPI_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* What a write of `command` to the ICR does; `destination` is the other half as it was written. */
void ipi_send(struct vcpu *from, uint32_t command, uint32_t destination);

/*
 * A message of an IOAPIC or a device: `command` as in a redirection entry. False if it is for nobody.
 */
bool ipi_message(uint32_t command, uint8_t destination);

#endif
