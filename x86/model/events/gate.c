/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate.h"

#include "memory.h"

#include "x86/cpu/cpu.h"

unsigned gate_bytes(const struct vcpu *v)
{
	return v->vmcb.efer & EFER_LMA ? 16 : 8;
}

bool gate_read(const struct vcpu *v, unsigned vector, uint8_t *gate)
{
	unsigned size = gate_bytes(v);

	return memory_read(v, v->vmcb.idtr.base + vector * size, gate, size) == size;
}

unsigned gate_dpl(const uint8_t *gate)
{
	return gate[5] >> 5 & 3;
}

uint32_t with_error_code(unsigned vector)
{
	return SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | vector;
}
