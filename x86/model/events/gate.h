/* SPDX-License-Identifier: BSD-2-Clause */
/* L2's IDT, and exceptions to inject. */
#ifndef MODEL_GATE_H
#define MODEL_GATE_H

#include "vcpu.h"

#define GATE_MOST_BYTES 16
#define GATE_PRESENT 0x80 /* in byte 5 */

/* What a gate of L2's takes: 16 in long mode, 8 outside of it. */
unsigned gate_bytes(const struct vcpu *v);

/* L2's gate for a vector, gate_bytes() of it; false if it cannot be read. */
bool gate_read(const struct vcpu *v, unsigned vector, uint8_t *gate);

unsigned gate_dpl(const uint8_t *gate);

/* In long mode: whether the handler's address can be one at all. */
bool gate_offset_is_canonical(const uint8_t *gate);

/* In long mode: the ring of the handler. */
unsigned gate_ring(const struct vcpu *v, const uint8_t *gate);

/* In long mode: why the frame cannot be written to the stack that the gate asks for. */
struct stack_fault {
	unsigned vector;
	uint32_t error;
	uint64_t cr2; /* of a #PF */
};
bool gate_has_no_stack(const struct vcpu *v, const uint8_t *gate, struct stack_fault *why);

/* Outside of long mode: a segment as L2's GDT has it. */
struct svm_segment gate_segment(const struct vcpu *v, uint16_t selector);

/* EVENTINJ of an exception, error code and all. QEMU's TCG pushes none for 21, 29 and 30. */
uint32_t with_error_code(unsigned vector);

#endif
