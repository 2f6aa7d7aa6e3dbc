/* SPDX-License-Identifier: BSD-2-Clause */
#include "deliver.h"

#include "x86/cpu/desc.h"

#define PRESENT 0x80
#define TRAP_GATE 1 /* of the type: leaves IF alone */
#define EFLAGS_VM (1u << 17)
#define ERROR_IDT 2
#define ERROR_EXTERNAL 1
#define DATA_ATTRIBUTES 0xc93

struct gate32 {
	uint16_t offset_low, selector;
	uint8_t reserved, attributes;
	uint16_t offset_high;
} __attribute__((packed));

/* The parts of either kind of gate. */
struct way {
	uint64_t handler;
	uint16_t selector;
	uint8_t attributes, ist;
};

struct job {
	struct vmcb *b;
	const struct space *space;
	struct delivery d;
};

static bool raises(struct job *j, unsigned vector, uint32_t error)
{
	j->d.result = DELIVERY_RAISES;
	j->d.vector = vector;
	j->d.error = error;
	return false;
}

static bool move(struct job *j, uint64_t linear, void *data, unsigned bytes, bool write)
{
	struct miss miss;
	unsigned done = write ? space_write(j->space, linear, data, bytes, &miss)
			      : space_read(j->space, linear, data, bytes, &miss);

	if (done == bytes)
		return true;
	if (miss.kind == MISS_OWN) {
		j->d.linear = linear + done;
		return raises(j, VECTOR_PF, write ? 2 : 0);
	}
	j->d.result = DELIVERY_MISSES;
	j->d.miss = miss;
	j->d.write = write && !miss.of_table;
	return false;
}

static bool read_gate(struct job *j, unsigned vector, struct way *way)
{
	const struct vmcb *b = j->b;
	bool wide = b->efer & EFER_LMA;
	unsigned bytes = wide ? sizeof(struct gate) : sizeof(struct gate32);

	if ((vector + 1) * bytes - 1 > b->idtr.limit)
		return raises(j, VECTOR_GP, vector * 8 | ERROR_IDT | ERROR_EXTERNAL);
	if (wide) {
		struct gate g;

		if (!move(j, b->idtr.base + vector * bytes, &g, bytes, false))
			return false;
		*way = (struct way){g.offset_low | (uint64_t)g.offset_middle << 16 |
					    (uint64_t)g.offset_high << 32,
				    g.selector, g.attributes, g.ist & 7};
	} else {
		struct gate32 g;

		if (!move(j, b->idtr.base + vector * bytes, &g, bytes, false))
			return false;
		*way = (struct way){g.offset_low | (uint32_t)g.offset_high << 16, g.selector,
				    g.attributes, 0};
	}
	if (!(way->attributes & PRESENT))
		return raises(j, VECTOR_NP, vector * 8 | ERROR_IDT | ERROR_EXTERNAL);
	return true;
}

static struct svm_segment segment_of(uint16_t selector, uint64_t descriptor)
{
	uint32_t limit = (descriptor & 0xffff) | (descriptor >> 32 & 0xf0000);

	return (struct svm_segment){
		.selector = selector,
		.attributes = (descriptor >> 40 & 0xff) | (descriptor >> 44 & 0xf00),
		.limit = descriptor >> 55 & 1 ? limit << 12 | 0xfff : limit,
		.base = (descriptor >> 16 & 0xffffff) | (descriptor >> 56) << 24,
	};
}

static bool read_code_segment(struct job *j, uint16_t selector, struct svm_segment *cs)
{
	uint64_t descriptor;

	if (!(selector & ~3u) || (selector | 7u) > j->b->gdtr.limit)
		return raises(j, VECTOR_GP, (selector & ~3u) | ERROR_EXTERNAL);
	if (!move(j, j->b->gdtr.base + (selector & ~7u), &descriptor, 8, false))
		return false;
	*cs = segment_of(selector & ~3u, descriptor);
	return true;
}

static bool push64(struct job *j, const struct way *way, uint32_t error, uint64_t rflags)
{
	struct vmcb *b = j->b;
	uint64_t rsp = b->rsp,
		 frame[6] = {error, b->rip, b->cs.selector, rflags, b->rsp, b->ss.selector};
	uint64_t stack =
		way->ist ? offsetof(struct tss, ist) + 8 * way->ist : offsetof(struct tss, rsp);

	if ((way->ist || b->cpl) && !move(j, b->tr.base + stack, &rsp, 8, false))
		return false;
	rsp = (rsp & ~15ul) - sizeof(frame);
	if (!move(j, rsp, frame, sizeof(frame), true))
		return false;
	b->rsp = rsp;
	if (b->cpl)
		b->ss = (struct svm_segment){.attributes = DATA_ATTRIBUTES, .limit = 0xffffffff};
	return true;
}

static bool push32(struct job *j, uint32_t error, uint32_t rflags)
{
	struct vmcb *b = j->b;
	uint32_t esp = b->rsp, frame[4] = {error, b->rip, b->cs.selector, rflags};

	if (b->cpl) {
		j->d.result = DELIVERY_IMPOSSIBLE;
		return false;
	}
	esp -= sizeof(frame);
	if (!move(j, b->ss.base + esp, frame, sizeof(frame), true))
		return false;
	b->rsp = esp;
	return true;
}

struct delivery deliver(struct vmcb *b, const struct space *space, unsigned vector, uint32_t error,
			bool fault)
{
	uint64_t rflags = fault ? b->rflags | X86_EFLAGS_RF : b->rflags;
	uint64_t clear = X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF | EFLAGS_VM;
	struct job j = {.b = b, .space = space};
	struct svm_segment cs;
	struct way way;

	if (!(b->cr0 & X86_CR0_PE)) {
		j.d.result = DELIVERY_IMPOSSIBLE;
		return j.d;
	}
	if (!read_gate(&j, vector, &way) || !read_code_segment(&j, way.selector, &cs))
		return j.d;
	if (b->efer & EFER_LMA ? !push64(&j, &way, error, rflags) : !push32(&j, error, rflags))
		return j.d;
	if (!(way.attributes & TRAP_GATE))
		clear |= X86_EFLAGS_IF;
	b->cs = cs;
	b->cpl = 0;
	b->rip = way.handler;
	b->rflags &= ~clear;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	j.d.result = DELIVERED;
	return j.d;
}
