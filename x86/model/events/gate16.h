/* SPDX-License-Identifier: BSD-2-Clause */
/* Software interrupts through gates of 16 bits and trap gates outside of long mode, which the model delivers itself. */
#ifndef MODEL_GATE16_H
#define MODEL_GATE16_H

#include "vcpu.h"

/* Whether a gate of protected mode, as gate_read() has it, is such a gate, and L2 is not in virtual-8086 mode. */
bool gate16_is_one(const struct vcpu *v, const uint8_t *gate);

/* Goes to its handler, which the CPL may enter; RIP is behind the instruction already. */
void gate16_deliver(struct vcpu *v, const uint8_t *gate);

#endif
