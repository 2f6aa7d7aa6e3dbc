/* SPDX-License-Identifier: BSD-2-Clause */
#include "task.h"

#include "bug.h"
#include "gate.h"
#include "memory.h"
#include "step.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"

#define TASK_GATE 5
#define BUSY 0x02 /* in a TSS descriptor's type */
#define CR0_TS 8
#define IS_32 0x08
#define LEAST_LIMIT 0x67
#define LEAST_LIMIT_16 0x2b

/* SDM 3A, "Task-State Segment (TSS)": from CR3 to the I/O map's base. */
struct state {
	uint32_t cr3, eip, eflags, regs[8];
	uint32_t es, cs, ss, ds, fs, gs;
	uint16_t ldt, reserved, trap, io_map_base;
} __attribute__((packed));

#define STATE_AT 0x1c
#define STATE_SAVED_FROM 4	   /* CR3 is not saved, */
#define STATE_SAVED_BYTES (4 * 16) /* nor what lies behind GS */

/* SDM 3A, "16-Bit Task-State Segment (TSS)": from IP to the LDT's selector. */
struct state16 {
	uint16_t ip, flags, regs[8];
	uint16_t es, cs, ss, ds, ldt;
} __attribute__((packed));

#define STATE_16_AT 0x0e
#define STATE_16_SAVED_BYTES (2 * 14) /* the LDT's selector is not saved */

bool gate_is_task(const struct vcpu *v, const uint8_t *gate)
{
	return v->vmcb.cr0 & X86_CR0_PE && !(v->vmcb.efer & EFER_LMA) &&
	       (gate[5] & 0x1f) == TASK_GATE;
}

/* -- Descriptors. ------------------------------------------------------------------------------ */

static void mark_busy(const struct vcpu *v, uint16_t selector)
{
	uint64_t at = v->vmcb.gdtr.base + (selector & ~7u) + 5;
	uint8_t access;

	memory_read(v, at, &access, 1);
	access |= BUSY;
	memory_write(v, at, &access, 1);
}

/* -- The switch. ------------------------------------------------------------------------------- */

static bool tss_allows(struct vcpu *v, uint16_t selector, const struct svm_segment *tss)
{
	unsigned least =
		tss->attributes & IS_32 || bug(TASK_16_LIMIT) ? LEAST_LIMIT : LEAST_LIMIT_16;
	int vector = 0;

	if (tss->attributes & BUSY && !bug(TASK_BUSY_UNCHECKED))
		vector = VECTOR_GP;
	else if (!(tss->attributes & 0x80) && !bug(TASK_ABSENT_UNCHECKED))
		vector = VECTOR_NP;
	else if (tss->limit < least && !bug(TASK_LIMIT_UNCHECKED))
		vector = VECTOR_TS;
	if (!vector)
		return true;
	step_end(v);
	vcpu_raise(v, vector, selector & ~7);
	return false;
}

static void save_16(const struct vcpu *v, const struct state *s)
{
	struct state16 small = {
		.ip = s->eip,
		.flags = s->eflags,
		.es = s->es,
		.cs = s->cs,
		.ss = s->ss,
		.ds = s->ds,
	};

	for (unsigned i = 0; i < 8; i++)
		small.regs[i] = s->regs[i];
	memory_write(v, v->vmcb.tr.base + STATE_16_AT, &small, STATE_16_SAVED_BYTES);
}

static void save(struct vcpu *v, unsigned length)
{
	struct vmcb *b = &v->vmcb;
	struct state s = {
		.eip = b->rip + (bug(TASK_OLD_EIP) ? 0 : length),
		.eflags = b->rflags | (bug(TASK_OLD_NT) ? X86_EFLAGS_NT : 0),
		.es = b->es.selector,
		.cs = b->cs.selector,
		.ss = b->ss.selector,
		.ds = b->ds.selector,
		.fs = b->fs.selector,
		.gs = b->gs.selector,
	};

	for (unsigned i = 0; i < 8; i++)
		s.regs[i] = *vcpu_reg(v, i);
	if (bug(TASK_OLD_ESP))
		s.regs[4] -= 12; /* as if a frame had been pushed */
	if (!(b->tr.attributes & IS_32) && !bug(TASK_16_SAVED_AS_32)) {
		save_16(v, &s);
		return;
	}
	memory_write(v, b->tr.base + STATE_AT + STATE_SAVED_FROM, (uint8_t *)&s + STATE_SAVED_FROM,
		     STATE_SAVED_BYTES);
}

/* What a task of 16 bits begins with: what its TSS does not have is null, and CR3 stays. */
static void read_16(const struct vcpu *v, uint64_t base, struct state *s)
{
	struct state16 small = {0};

	memory_read(v, base + STATE_16_AT, &small, sizeof(small));
	*s = (struct state){
		.cr3 = v->vmcb.cr3,
		.eip = small.ip,
		.eflags = small.flags,
		.es = small.es,
		.cs = small.cs,
		.ss = small.ss,
		.ds = small.ds,
		.fs = bug(TASK_16_FS_GS_KEPT) ? v->vmcb.fs.selector : 0,
		.gs = bug(TASK_16_FS_GS_KEPT) ? v->vmcb.gs.selector : 0,
		.ldt = bug(TASK_16_NO_LDT) ? 0 : small.ldt,
	};
	for (unsigned i = 0; i < 8; i++)
		s->regs[i] = small.regs[i];
}

static void load(struct vcpu *v, const struct state *s)
{
	struct vmcb *b = &v->vmcb;

	b->rip = s->eip;
	b->rflags = s->eflags | X86_EFLAGS_FIXED | (bug(TASK_NO_NT) ? 0 : X86_EFLAGS_NT);
	for (unsigned i = 0; i < 8; i++)
		if (i != 5 || !bug(TASK_EBP_KEPT))
			*vcpu_reg(v, i) = s->regs[i];
	b->cr3 = s->cr3;
	if (!bug(TASK_LDT_KEPT))
		b->ldtr = gate_segment(v, s->ldt);
	b->es = gate_segment(v, s->es);
	b->cs = gate_segment(v, s->cs);
	b->ss = gate_segment(v, s->ss);
	b->ds = gate_segment(v, s->ds);
	if (!bug(TASK_FS_KEPT))
		b->fs = gate_segment(v, s->fs);
	b->gs = gate_segment(v, s->gs);
	b->cpl = s->cs & 3;
	b->dr7 &= ~0x55ull;
	if (!bug(TASK_TS_CLEAR))
		b->cr0 |= CR0_TS;
}

void task_switch(struct vcpu *v, uint16_t selector, unsigned length)
{
	struct vmcb *b = &v->vmcb;
	struct svm_segment tss = gate_segment(v, selector);
	uint16_t link = b->tr.selector;
	struct state s;

	if (!tss_allows(v, selector, &tss))
		return;
	step_end(v);
	save(v, length);
	if (tss.attributes & IS_32)
		memory_read(v, tss.base + STATE_AT, &s, sizeof(s));
	else
		read_16(v, tss.base, &s);
	if (!bug(TASK_NO_LINK))
		memory_write(v, tss.base, &link, sizeof(link));
	if (!bug(TASK_NOT_BUSY))
		mark_busy(v, selector);
	tss.attributes |= BUSY;
	b->tr = tss;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	load(v, &s);
}
