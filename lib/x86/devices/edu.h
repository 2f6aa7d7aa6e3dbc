/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's device "edu" (docs/specs/edu), which sends the message (MSI) that software put into its registers. */
#ifndef LIB_X86_EDU_H
#define LIB_X86_EDU_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The message's address (SDM 3A, "Message Address Register Format"): an APIC id, or with the two bits
 * below a logical id, of which the CPU with the lowest priority is chosen.
 */
#define MSI_ADDRESS 0xfee00000u
#define MSI_DESTINATION(id) ((uint32_t)(id) << 12)
#define MSI_CHOOSE (1u << 3) /* redirection hint */
#define MSI_LOGICAL (1u << 2)

/* And its data: vector, delivery mode as in the ICR, trigger mode. */
#define MSI_LEVEL (3u << 14) /* level-triggered, asserted */

bool edu_present(void);

/* Puts the device's registers where this driver looks for them; false if it sends no messages. Of a device that is present. */
bool edu_open(void);

void edu_send(uint32_t address, uint32_t data);

#endif
