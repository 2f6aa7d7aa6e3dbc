/* SPDX-License-Identifier: BSD-2-Clause */
/* The ports that the model answers itself: a 440FX host bridge with PAM registers, and the machine's end. */
#ifndef MODEL_PORTS_H
#define MODEL_PORTS_H

#include <stdbool.h>
#include <stdint.h>

/* `bytes` is 1, 2 or 4. */
uint32_t port_read(unsigned port, unsigned bytes);

/* Returns with all of L2's memory cold if the host bridge's memory map was changed. */
struct vcpu;

void port_write(struct vcpu *v, unsigned port, unsigned bytes, uint32_t value);

/*
 * Whether the guest has switched the machine off. QEMU 10 lets it run on for a moment: what it does then is not
 * judged.
 */
bool port_machine_ends(void);

#endif
