/* SPDX-License-Identifier: BSD-2-Clause */
/* L2's IDT, and what a vector's exception pushes. */
#ifndef MODEL_GATE_H
#define MODEL_GATE_H

#include "vcpu.h"

#define GATE_MOST_BYTES 16
#define GATE_PRESENT 0x80 /* in byte 5 */

/* L2's gate for a vector, 16 bytes or 8; false if it cannot be read. */
bool gate_read(const struct vcpu *v, unsigned vector, uint8_t *gate);

unsigned gate_dpl(const uint8_t *gate);

/* SDM 3A, "Exception and Interrupt Vectors": whether the exception of this vector has an error code. */
bool vector_has_error_code(unsigned vector);

/* EVENTINJ of it, error code and all. QEMU's TCG pushes none for 21, 29 and 30. */
uint32_t with_error_code(unsigned vector);

#endif
