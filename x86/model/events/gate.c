/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate.h"

#include "bug.h"
#include "memory.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"

unsigned gate_bytes(const struct vcpu *v)
{
	if (!(v->vmcb.cr0 & X86_CR0_PE))
		return bug(REAL_GATE_BYTES) ? 8 : 4;
	if (v->vmcb.efer & EFER_LMA)
		return 16;
	return bug(LEGACY_GATE_BYTES) ? 16 : 8;
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

static bool is_canonical(uint64_t address)
{
	return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

bool gate_offset_is_canonical(const uint8_t *gate)
{
	return is_canonical((uint64_t)gate[0] | (uint64_t)gate[1] << 8 | (uint64_t)gate[6] << 16 |
			    (uint64_t)gate[7] << 24 | (uint64_t)gate[8] << 32 |
			    (uint64_t)gate[9] << 40 | (uint64_t)gate[10] << 48 |
			    (uint64_t)gate[11] << 56);
}

bool gate_stack_is_canonical(const struct vcpu *v, const uint8_t *gate)
{
	unsigned ist = gate[4] & 7;
	uint64_t at = offsetof(struct tss, rsp), rsp;

	if (!ist && !v->vmcb.cpl)
		return true;
	if (ist)
		at = offsetof(struct tss, ist) + 8 * ist;
	return memory_read(v, v->vmcb.tr.base + at, &rsp, 8) != 8 || is_canonical(rsp);
}

uint32_t with_error_code(unsigned vector)
{
	return SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | vector;
}
