/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the CPU does to deliver a fault with an error code, by hand. APM 2, "Long-Mode Interrupt Control
 * Transfers", "Legacy Protected-Mode Interrupt Control Transfers" (the same privilege only).
 */
#include "vc.h"

#include "events/gate.h"
#include "exits.h"
#include "memory.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/insn/exit_code.h"

#include "panic.h"

#define EFLAGS_VM (1u << 17)
#define GATE_TRAP 1 /* in the type: leaves IF alone */
#define SELECTOR_ERROR (VECTOR_VC * 8 + 2 + 1)

struct gate32 {
	uint16_t offset_low, selector;
	uint8_t reserved, attributes;
	uint16_t offset_high;
} __attribute__((packed));

static bool read_descriptor(const struct vcpu *v, uint16_t selector, uint64_t *d)
{
	const struct svm_segment *gdtr = &v->vmcb.gdtr;

	if (!(selector & ~3) || (selector | 7u) > gdtr->limit)
		return false;
	return memory_read(v, gdtr->base + (selector & ~7u), d, 8) == 8;
}

static struct svm_segment segment_of(uint16_t selector, uint64_t d)
{
	uint32_t limit = (d & 0xffff) | (d >> 32 & 0xf0000);

	return (struct svm_segment){
		.selector = selector,
		.attributes = (d >> 40 & 0xff) | (d >> 44 & 0xf00),
		.limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit,
		.base = (d >> 16 & 0xffffff) | (d >> 56) << 24,
	};
}

/* A guest without a handler for it gets nowhere: as a CPU that cannot deliver #DF. */
static void give_up(struct vcpu *v, unsigned error, const char *why)
{
	(void)v;
	panic("model: #VC(%#x) at %#lx: %s", error, v->vmcb.rip, why);
}

static void enter(struct vcpu *v, uint16_t selector, uint64_t handler, uint8_t attributes)
{
	struct vmcb *b = &v->vmcb;
	uint64_t clear = X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF | EFLAGS_VM, d = 0;

	if (!read_descriptor(v, selector, &d))
		give_up(v, 0, "the gate names no code segment");
	if (!(attributes & GATE_TRAP))
		clear |= X86_EFLAGS_IF;
	b->cs = segment_of(selector & ~3, d);
	b->rip = handler;
	b->rflags &= ~clear;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	v->event.what = 0;
}

static void deliver64(struct vcpu *v, unsigned error)
{
	struct vmcb *b = &v->vmcb;
	bool from_user = b->cpl != 0;
	uint64_t rsp = b->rsp, frame[6];
	struct gate gate;

	if (b->idtr.limit < (VECTOR_VC + 1) * sizeof(gate) - 1 ||
	    memory_read(v, b->idtr.base + VECTOR_VC * sizeof(gate), &gate, sizeof(gate)) !=
		    sizeof(gate))
		give_up(v, error, "its gate is not in the IDT, or not mapped");
	if (!(gate.attributes & GATE_PRESENT)) {
		vcpu_raise(v, VECTOR_NP, SELECTOR_ERROR);
		return;
	}
	if (gate.ist & 7)
		memory_read(v, b->tr.base + offsetof(struct tss, ist) + 8 * (gate.ist & 7), &rsp,
			    8);
	else if (from_user)
		memory_read(v, b->tr.base + offsetof(struct tss, rsp), &rsp, 8);
	frame[0] = error;
	frame[1] = b->rip;
	frame[2] = b->cs.selector;
	/* The image of a fault has RF set; a #DB that was intercepted is a trap. */
	frame[3] = error == SVM_EXIT_EXCP_DB ? b->rflags : b->rflags | X86_EFLAGS_RF;
	frame[4] = b->rsp;
	frame[5] = b->ss.selector;
	rsp = (rsp & ~15ul) - sizeof(frame);
	if (memory_write(v, rsp, frame, sizeof(frame)) != sizeof(frame))
		give_up(v, error, "its stack is not mapped");
	b->rsp = rsp;
	enter(v, gate.selector,
	      gate.offset_low | (uint64_t)gate.offset_middle << 16 |
		      (uint64_t)gate.offset_high << 32,
	      gate.attributes);
	if (from_user)
		b->ss = (struct svm_segment){.attributes = 0xc93, .limit = 0xffffffff};
	b->cpl = 0;
}

static void deliver32(struct vcpu *v, unsigned error)
{
	struct vmcb *b = &v->vmcb;
	uint32_t esp = b->rsp, frame[4];
	struct gate32 gate;

	if (b->idtr.limit < (VECTOR_VC + 1) * sizeof(gate) - 1 ||
	    memory_read(v, b->idtr.base + VECTOR_VC * sizeof(gate), &gate, sizeof(gate)) !=
		    sizeof(gate) ||
	    !(gate.attributes & GATE_PRESENT))
		give_up(v, error, "no gate for it");
	if (b->cpl)
		give_up(v, error, "not at CPL 0, outside long mode");
	frame[0] = error;
	frame[1] = b->rip;
	frame[2] = b->cs.selector;
	frame[3] = b->rflags | X86_EFLAGS_RF;
	esp -= sizeof(frame);
	if (memory_write(v, b->ss.base + esp, frame, sizeof(frame)) != sizeof(frame))
		give_up(v, error, "its stack is not mapped");
	b->rsp = esp;
	enter(v, gate.selector, gate.offset_low | (uint32_t)gate.offset_high << 16,
	      gate.attributes);
}

void l2_raise_vc(struct vcpu *v, unsigned error)
{
	if (!(v->vmcb.cr0 & X86_CR0_PE))
		give_up(v, error, "in real mode, where nothing can take it");
	if (v->vmcb.efer & EFER_LMA)
		deliver64(v, error);
	else
		deliver32(v, error);
}
