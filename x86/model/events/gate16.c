/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate16.h"

#include "bug.h"
#include "gate.h"
#include "memory.h"

#include "x86/cpu/cpu.h"

/* SDM 3A, System-Segment and Gate-Descriptor Types. */
#define INTERRUPT_16 6
#define TRAP_16 7
#define TRAP_32 15
#define CONFORMING 4
/* SDM 3A, "Task-State Segment (TSS)": of 32 bits; ESP and SS of a ring. */
#define STACK_OF_RING(ring) (4 + 8 * (ring))

static unsigned type_of(const uint8_t *gate)
{
	return gate[5] & 0x1f;
}

static bool is_16(const uint8_t *gate)
{
	return type_of(gate) == INTERRUPT_16 || type_of(gate) == TRAP_16;
}

bool gate16_is_one(const struct vcpu *v, const uint8_t *gate)
{
	return v->vmcb.cr0 & X86_CR0_PE && !(v->vmcb.efer & EFER_LMA) &&
	       !(v->vmcb.rflags & X86_EFLAGS_VM) && (is_16(gate) || type_of(gate) == TRAP_32);
}

static uint32_t offset_of(const uint8_t *gate)
{
	uint32_t low = gate[0] | gate[1] << 8;

	return is_16(gate) ? low : low | gate[6] << 16 | (uint32_t)gate[7] << 24;
}

static unsigned ring_of(const struct vcpu *v, const struct svm_segment *code)
{
	return code->attributes & CONFORMING ? v->vmcb.cpl : code->attributes >> 5 & 3;
}

static uint64_t flags_of_handler(uint64_t rflags, const uint8_t *gate)
{
	uint64_t cleared = X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF;

	if (type_of(gate) == INTERRUPT_16 || (rflags & X86_EFLAGS_IF && bug(TRAP_GATE_CLEARS_IF)))
		cleared |= X86_EFLAGS_IF;
	if (rflags & X86_EFLAGS_NT && bug(LEGACY_GATE_NT_KEPT))
		cleared &= ~(uint64_t)X86_EFLAGS_NT;
	return rflags & ~cleared;
}

static void go_to_stack_of(struct vcpu *v, unsigned ring)
{
	struct vmcb *b = &v->vmcb;
	uint32_t stack[2] = {0};

	memory_read(v, b->tr.base + STACK_OF_RING(ring), stack, sizeof(stack));
	b->rsp = stack[0];
	b->ss = gate_segment(v, stack[1]);
	b->cpl = ring;
}

void gate16_deliver(struct vcpu *v, const uint8_t *gate)
{
	struct vmcb *b = &v->vmcb;
	struct svm_segment code = gate_segment(v, gate[2] | gate[3] << 8);
	unsigned ring = ring_of(v, &code), items = 0;
	bool inward = ring < b->cpl, wide = !is_16(gate) || bug(GATE16_DWORDS);
	uint64_t flags = flags_of_handler(b->rflags, gate);
	uint32_t frame[5];
	uint16_t words[5];

	frame[items++] = b->rip;
	frame[items++] = b->cs.selector;
	frame[items++] = is_16(gate) && bug(GATE16_FLAGS_LATE) ? flags : b->rflags;
	if (inward && !(is_16(gate) && bug(GATE16_NO_STACK))) {
		frame[items++] = b->rsp;
		frame[items++] = b->ss.selector;
	}
	if (inward)
		go_to_stack_of(v, ring);
	if (is_16(gate) && bug(GATE16_SP))
		b->rsp &= 0xffff;
	for (unsigned i = 0; i < items; i++)
		words[i] = frame[i];
	b->rsp -= items * (wide ? 4 : 2);
	memory_write(v, b->ss.base + b->rsp, wide ? (const void *)frame : words,
		     items * (wide ? 4 : 2));
	b->cs = code;
	b->cs.selector = (code.selector & ~3u) | ring;
	b->rip = offset_of(gate);
	b->rflags = flags;
}
