/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device registers as operands in memory. APM 3, the pages of the instructions; GHCB specification
 * rev. 2.04, "MMIO Access".
 */
#include "../cpu.h"
#include "alu.h"
#include "vc_serve.h"

#include "../../string.h"

static enum vc_result mmio(struct vc *vc, uint64_t gpa, unsigned bytes, bool write, uint64_t *value)
{
	struct ghcb_call call = {
		.request = {.exit_code = write ? GHCB_EVENT_MMIO_WRITE : GHCB_EVENT_MMIO_READ,
			    .exit_info_1 = gpa},
		.exit_info_2 = bytes,
	};
	volatile struct ghcb_page *page;
	struct ghcb_use use;
	bool sensible;

	page = ghcb_open(&use);
	for (unsigned i = 0; i < bytes; i++)
		page->shared_buffer[i] = write ? *value >> 8 * i : 0;
	ghcb_offer(&call, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	sensible = ghcb_exit(&call);
	if (!write) {
		*value = 0;
		for (unsigned i = 0; i < bytes; i++)
			*value |= (uint64_t)page->shared_buffer[i] << 8 * i;
	}
	ghcb_close(&use);
	return vc_judge(vc, &call, sensible);
}

/* One operand in memory: a device where the page is shared, else RAM (MOVS has two operands). */
static enum vc_result access(struct vc *vc, const struct insn_operand *o, bool write,
			     uint64_t *value)
{
	uint64_t linear = insn_linear(&vc->insn, o, &vc->regs, vc_segment_base, vc->frame);
	struct vc_page page;

	if (!vc_bytes_there(linear, o->size, write, vc_from_user(vc), &vc->raise) ||
	    !vc_page(linear, write, vc_from_user(vc), &page, &vc->raise))
		return VC_RAISED;
	if (page.is_private || page.gpa / 4096 == ghcb_gpa() / 4096) {
		if (vc->insn.op != INSN_OP_MOVS)
			return VC_FOREIGN;
		if (write)
			memcpy((void *)linear, value, o->size);
		else
			memcpy(value, (const void *)linear, o->size);
		return VC_NEXT;
	}
	/* Two pages may be two devices; no driver does that. */
	if ((page.gpa & 4095) + o->size > 4096)
		return VC_FOREIGN;
	return mmio(vc, page.gpa, o->size, write, value);
}

static bool is_memory(const struct insn_operand *o)
{
	return o->kind == INSN_MEM || o->kind == INSN_MEM_SI || o->kind == INSN_MEM_DI;
}

static enum vc_result get(struct vc *vc, const struct insn_operand *o, uint64_t *value)
{
	*value = 0;
	if (is_memory(o))
		return access(vc, o, false, value);
	*value = o->kind == INSN_IMM ? insn_immediate(&vc->insn) : insn_read_gpr(&vc->regs, o);
	return VC_NEXT;
}

static enum vc_result put(struct vc *vc, const struct insn_operand *o, uint64_t value)
{
	if (is_memory(o))
		return access(vc, o, true, &value);
	insn_write_gpr(&vc->regs, o, value);
	return VC_NEXT;
}

static enum vc_result move(struct vc *vc)
{
	const struct insn *i = &vc->insn;
	bool string = i->op == INSN_OP_MOVS || i->op == INSN_OP_STOS || i->op == INSN_OP_LODS;
	enum vc_result result;
	uint64_t value;

	if (string && !insn_count(i, &vc->regs))
		return VC_NEXT;
	result = get(vc, &i->src, &value);
	if (result != VC_NEXT)
		return result;
	result = put(vc, &i->dst, insn_extend_value(i, value));
	if (result == VC_NEXT && string)
		return vc_string_step(vc, 1);
	return result;
}

/* The old value is needed by all, the source by some; the flags last, when nothing can fail any more. */
static enum vc_result modify(struct vc *vc)
{
	const struct insn *i = &vc->insn;
	uint64_t old, source, flags = vc->frame->iret.rflags, result_value;
	enum vc_result result = get(vc, &i->dst, &old);

	if (result == VC_NEXT)
		result = get(vc, &i->src, &source);
	if (result != VC_NEXT)
		return result;
	switch (i->op) {
	case INSN_OP_XCHG:
		result_value = source;
		break;
	case INSN_OP_XADD:
		result_value = alu(INSN_OP_ADD, i->operand_size, old, source, &flags);
		break;
	case INSN_OP_CMPXCHG: {
		struct insn_operand acc = {INSN_GPR, i->operand_size, INSN_RAX};
		uint64_t expected = insn_read_gpr(&vc->regs, &acc);

		alu(INSN_OP_CMP, i->operand_size, expected, old, &flags);
		result_value = expected == old ? source : old;
		result = put(vc, &i->dst, result_value);
		if (result == VC_NEXT && expected != old)
			insn_write_gpr(&vc->regs, &acc, old);
		if (result == VC_NEXT)
			vc->frame->iret.rflags = flags;
		return result;
	}
	default:
		result_value = alu(i->op, i->operand_size, old, source, &flags);
	}
	if (i->op != INSN_OP_CMP && i->op != INSN_OP_TEST)
		result = put(vc, &i->dst, result_value);
	if (result == VC_NEXT && (i->op == INSN_OP_XCHG || i->op == INSN_OP_XADD))
		result = put(vc, &i->src, old);
	if (result == VC_NEXT)
		vc->frame->iret.rflags = flags;
	return result;
}

enum vc_result vc_serve_mmio(struct vc *vc)
{
	switch (vc->insn.op) {
	case INSN_OP_MOV:
	case INSN_OP_MOVX:
	case INSN_OP_MOVS:
	case INSN_OP_STOS:
	case INSN_OP_LODS:
		return move(vc);
	default:
		return modify(vc);
	}
}
