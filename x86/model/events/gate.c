/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate.h"

#include "bug.h"
#include "memory.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/cpu/paging.h"

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

#define CONFORMING (1ull << 42)

unsigned gate_ring(const struct vcpu *v, const uint8_t *gate)
{
	uint16_t selector = gate[2] | gate[3] << 8;
	uint64_t code = 0;

	memory_read(v, v->vmcb.gdtr.base + (selector & ~7u), &code, sizeof(code));
	return code & CONFORMING ? v->vmcb.cpl : code >> 45 & 3;
}

/* Where the TSS has it; 0: the stack stays. */
static unsigned stack_in_tss(const struct vcpu *v, const uint8_t *gate, unsigned ring)
{
	unsigned ist = gate[4] & 7;

	if (ist)
		return offsetof(struct tss, ist) + 8 * ist;
	return ring < v->vmcb.cpl ? offsetof(struct tss, rsp) + 8 * ring : 0;
}

bool gate_has_no_stack(const struct vcpu *v, const uint8_t *gate, struct stack_fault *why)
{
	const struct vmcb *b = &v->vmcb;
	unsigned ring = gate_ring(v, gate), at = stack_in_tss(v, gate, ring);
	uint64_t rsp = b->rsp;

	*why = (struct stack_fault){0};
	if (at && at + 7 > b->tr.limit && !bug(TSS_LIMIT_UNCHECKED)) {
		why->vector = VECTOR_TS;
		why->error = b->tr.selector & ~3;
		return true;
	}
	why->vector = VECTOR_PF;
	why->error = PF_PRESENT;
	why->cr2 = b->tr.base + at;
	if (at && memory_closed_by_smap(v, why->cr2))
		return true;
	if (at && memory_read(v, b->tr.base + at, &rsp, sizeof(rsp)) != sizeof(rsp))
		return false;
	why->vector = VECTOR_SS;
	why->error = 0;
	if (at && !is_canonical(rsp))
		return !bug(NONCANONICAL_GATE);
	why->vector = VECTOR_PF;
	why->cr2 = (rsp & ~15ul) - 8;
	why->error = memory_write_fault(v, why->cr2, ring == 3);
	if (why->error && (ring == 1 || ring == 2) && bug(RING_STACK_AS_USER))
		why->error |= PF_USER;
	return why->error;
}

uint32_t with_error_code(unsigned vector)
{
	return SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | vector;
}

struct svm_segment gate_segment(const struct vcpu *v, uint16_t selector)
{
	struct svm_segment s = {.selector = selector};
	uint64_t d = 0;

	if (!(selector & ~3u))
		return s;
	memory_read(v, v->vmcb.gdtr.base + (selector & ~7u), &d, sizeof(d));
	s.base = (d >> 16 & 0xffffff) | (d >> 56) << 24;
	s.limit = (d & 0xffff) | (d >> 48 & 15) << 16;
	if (d >> 55 & 1)
		s.limit = s.limit << 12 | 0xfff;
	s.attributes = (d >> 40 & 0xff) | (d >> 52 & 15) << 8;
	return s;
}
