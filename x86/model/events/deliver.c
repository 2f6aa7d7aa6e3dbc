/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the CPU does to deliver an event in long mode, by hand, and one thing of it wrong. APM 2, "Long-Mode
 * Interrupt Control Transfers". Without a bug the CPU does it all.
 */
#include "deliver.h"

#include "bug.h"
#include "memory.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"

#define X86_EFLAGS_ID (1u << 21)
#define GATE_TRAP 1 /* in the type */
#define CONFORMING (1ull << 42)
#define DPL_SHIFT 45

/* An event on its way. */
struct delivery {
	struct gate gate;
	uint64_t code;	   /* descriptor of the handler's segment */
	uint64_t rsp;	   /* the stack's top, before it is aligned */
	uint64_t frame[6]; /* error code, RIP, CS, RFLAGS, RSP, SS */
	uint64_t clear;	   /* flags that the handler does not get */
	unsigned ring;	   /* of the handler */
	bool goes_in;	   /* to a more privileged one */
};

/* -- What a bug does to it. --------------------------------------------------------------------- */

enum { FRAME_ERROR, FRAME_RIP, FRAME_CS, FRAME_RFLAGS, FRAME_RSP, FRAME_SS };

static bool stack_is_wrong(struct delivery *d)
{
	if (d->gate.ist & 7 && bug(DELIVERY_IST)) {
		d->rsp -= 0x100;
		return true;
	}
	if (!(d->gate.ist & 7) && bug(DELIVERY_STACK)) {
		d->rsp -= 0x20;
		return true;
	}
	return false;
}

static bool read_all(const struct vcpu *v, uint64_t linear, void *to, size_t bytes)
{
	return memory_read(v, linear, to, bytes) == bytes;
}

/* What nobody's kernel has: an inner ring that is not 0. */
static bool ring_is_wrong(const struct vcpu *v, struct delivery *d)
{
	uint64_t at = v->vmcb.tr.base + offsetof(struct tss, rsp);

	if (!d->goes_in || !d->ring)
		return false;
	if (!(d->gate.ist & 7) && bug(RING_RSP0))
		return read_all(v, at, &d->rsp, sizeof(d->rsp));
	if (bug(RING_IS_0)) {
		d->ring = 0;
		return true;
	}
	return false;
}

static bool frame_is_wrong(struct delivery *d)
{
	if (d->frame[FRAME_RFLAGS] & X86_EFLAGS_IOPL && bug(DELIVERY_FRAME_IOPL)) {
		d->frame[FRAME_RFLAGS] &= ~(uint64_t)X86_EFLAGS_IOPL;
		return true;
	}
	if (bug(DELIVERY_FRAME_SS)) {
		d->frame[FRAME_SS] ^= 8;
		return true;
	}
	if (bug(DELIVERY_FRAME_RSP)) {
		d->frame[FRAME_RSP] -= 8;
		return true;
	}
	return false;
}

static bool flags_are_wrong(struct vcpu *v, struct delivery *d)
{
	uint64_t rflags = v->vmcb.rflags;

	if (rflags & X86_EFLAGS_IF && d->clear & X86_EFLAGS_IF && bug(DELIVERY_KEEPS_IF))
		return d->clear &= ~(uint64_t)X86_EFLAGS_IF;
	if (rflags & X86_EFLAGS_IF && !(d->clear & X86_EFLAGS_IF) && bug(DELIVERY_TRAP_GATE))
		return d->clear |= X86_EFLAGS_IF;
	if (rflags & X86_EFLAGS_NT && bug(DELIVERY_KEEPS_NT))
		return d->clear &= ~(uint64_t)X86_EFLAGS_NT;
	if (rflags & X86_EFLAGS_AC && bug(DELIVERY_CLEARS_AC))
		return d->clear |= X86_EFLAGS_AC;
	if (rflags & X86_EFLAGS_DF && bug(DELIVERY_CLEARS_DF))
		return d->clear |= X86_EFLAGS_DF;
	if (rflags & X86_EFLAGS_ID && bug(DELIVERY_CLEARS_ID))
		return d->clear |= X86_EFLAGS_ID;
	if (bug(DELIVERY_ARITHMETIC)) {
		v->vmcb.rflags ^= X86_EFLAGS_CF;
		return true;
	}
	if (bug(DELIVERY_KEEPS_RF)) {
		v->vmcb.rflags |= X86_EFLAGS_RF;
		d->clear &= ~(uint64_t)X86_EFLAGS_RF;
		return true;
	}
	return false;
}

/* What is wrong once the handler is about to begin. */
static bool cpu_is_wrong(struct vcpu *v, const struct delivery *d)
{
	struct vmcb *b = &v->vmcb;

	if (d->goes_in && bug(DELIVERY_SS)) {
		b->ss.selector = KERNEL_DS;
		return true;
	}
	if (bug(DELIVERY_DS)) {
		b->ds.selector ^= 8;
		return true;
	}
	if (bug(DELIVERY_CR2)) {
		b->cr2 = b->rip;
		return true;
	}
	if (bug(DELIVERY_DR6)) {
		b->dr6 |= DR6_BT;
		return true;
	}
	if (bug(DELIVERY_REGISTER)) {
		v->regs.r12 = 0;
		return true;
	}
	return false;
}

/* -- Delivery. ---------------------------------------------------------------------------------- */

static bool prepare(const struct vcpu *v, unsigned vector, struct delivery *d)
{
	const struct vmcb *b = &v->vmcb;
	unsigned ist;

	if (!(b->efer & EFER_LMA) || (vector + 1) * sizeof(d->gate) - 1 > b->idtr.limit ||
	    !read_all(v, b->idtr.base + vector * sizeof(d->gate), &d->gate, sizeof(d->gate)) ||
	    !read_all(v, b->gdtr.base + (d->gate.selector & ~7u), &d->code, sizeof(d->code)))
		return false;
	ist = d->gate.ist & 7;
	d->ring = d->code >> DPL_SHIFT & 3;
	if (d->code & CONFORMING)
		d->ring = b->cpl && bug(DELIVERY_CONFORMING) ? 0 : b->cpl;
	d->goes_in = d->ring < b->cpl;
	d->rsp = b->rsp;
	d->clear = X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF;
	if (!(d->gate.attributes & GATE_TRAP))
		d->clear |= X86_EFLAGS_IF;
	if (ist || d->goes_in)
		return read_all(v,
				b->tr.base + (ist ? offsetof(struct tss, ist) + 8 * ist
						  : offsetof(struct tss, rsp) + 8 * d->ring),
				&d->rsp, sizeof(d->rsp));
	return true;
}

static void begin_handler(struct vcpu *v, const struct delivery *d, unsigned bytes)
{
	struct vmcb *b = &v->vmcb;

	b->rsp = d->rsp - bytes;
	b->rip = d->gate.offset_low | (uint64_t)d->gate.offset_middle << 16 |
		 (uint64_t)d->gate.offset_high << 32;
	b->rflags &= ~d->clear;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	if (d->goes_in) {
		b->ss = (struct svm_segment){
			.selector = d->ring,
			.attributes = 0xc93 | d->ring << 5,
			.limit = 0xffffffff,
		};
		b->cpl = d->ring;
	}
	b->cs = (struct svm_segment){
		.selector = (d->gate.selector & ~3) | b->cpl,
		.attributes = (d->code >> 40 & 0xff) | (d->code >> 44 & 0xf00),
		.limit = 0xffffffff,
	};
}

bool deliver_wrongly(struct vcpu *v, uint32_t what, uint32_t error)
{
	const struct vmcb *b = &v->vmcb;
	bool has_error = what & SVM_EVENT_HAS_ERROR, wrong;
	unsigned bytes = has_error ? 48 : 40;
	struct delivery d;

	if (!prepare(v, what & SVM_EVENT_VECTOR, &d))
		return false;
	d.frame[FRAME_ERROR] = error;
	d.frame[FRAME_RIP] = b->rip;
	d.frame[FRAME_CS] = b->cs.selector;
	d.frame[FRAME_RFLAGS] = b->rflags;
	d.frame[FRAME_RSP] = b->rsp;
	d.frame[FRAME_SS] = b->ss.selector;
	wrong = stack_is_wrong(&d) || ring_is_wrong(v, &d) || frame_is_wrong(&d) ||
		flags_are_wrong(v, &d);
	if (d.rsp & 8 && bug(DELIVERY_UNALIGNED)) {
		d.rsp -= 16;
		wrong = true;
	}
	d.rsp &= ~15ul;
	if (d.code & CONFORMING && v->vmcb.cpl && bug(DELIVERY_CONFORMING))
		wrong = true;
	if (!wrong && !bug_is_set(DELIVERY_SS) && !bug_is_set(DELIVERY_DS) &&
	    !bug_is_set(DELIVERY_CR2) && !bug_is_set(DELIVERY_DR6) &&
	    !bug_is_set(DELIVERY_REGISTER))
		return cpu_is_wrong(v, &d); /* asks, and changes nothing */
	if (memory_write(v, d.rsp - bytes, d.frame + !has_error, bytes) != bytes)
		return false;
	begin_handler(v, &d, bytes);
	cpu_is_wrong(v, &d);
	return true;
}
