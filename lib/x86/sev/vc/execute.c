/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an instruction with an operand in memory does, wherever that memory is: moves, and what reads, computes
 * and writes. APM 3, the pages of the instructions.
 */
#include "serve.h"
#include "x86/cpu/cpu.h"
#include "x86/insn/alu.h"

static bool is_memory(const struct insn_operand *o)
{
	return o->kind == INSN_MEM || o->kind == INSN_MEM_SI || o->kind == INSN_MEM_DI;
}

static enum vc_result get(struct vc *vc, vc_access *access, const struct insn_operand *o,
			  uint64_t *value)
{
	*value = 0;
	if (is_memory(o))
		return access(vc, o, false, value);
	*value = o->kind == INSN_IMM ? insn_immediate(&vc->insn) : insn_read_gpr(&vc->regs, o);
	return VC_NEXT;
}

static enum vc_result put(struct vc *vc, vc_access *access, const struct insn_operand *o,
			  uint64_t value)
{
	if (is_memory(o))
		return access(vc, o, true, &value);
	insn_write_gpr(&vc->regs, o, value);
	return VC_NEXT;
}

static enum vc_result move(struct vc *vc, vc_access *access)
{
	const struct insn *i = &vc->insn;
	bool string = i->op == INSN_OP_MOVS || i->op == INSN_OP_STOS || i->op == INSN_OP_LODS;
	enum vc_result result;
	uint64_t value;

	if (string && !insn_count(i, &vc->regs))
		return VC_NEXT;
	result = get(vc, access, &i->src, &value);
	if (result != VC_NEXT)
		return result;
	result = put(vc, access, &i->dst, insn_extend_value(i, value));
	if (result == VC_NEXT && string)
		return vc_string_step(vc, 1);
	return result;
}

/* The old value is needed by all, the source by some; the flags last, when nothing can fail any more. */
static enum vc_result modify(struct vc *vc, vc_access *access)
{
	const struct insn *i = &vc->insn;
	uint64_t old, source, flags = vc->frame->iret.rflags, result_value;
	enum vc_result result = get(vc, access, &i->dst, &old);

	if (result == VC_NEXT)
		result = get(vc, access, &i->src, &source);
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
		result = put(vc, access, &i->dst, result_value);
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
		result = put(vc, access, &i->dst, result_value);
	if (result == VC_NEXT && (i->op == INSN_OP_XCHG || i->op == INSN_OP_XADD))
		result = put(vc, access, &i->src, old);
	if (result == VC_NEXT)
		vc->frame->iret.rflags = flags;
	return result;
}

enum vc_result vc_execute(struct vc *vc, vc_access *access)
{
	switch (vc->insn.op) {
	case INSN_OP_MOV:
	case INSN_OP_MOVX:
	case INSN_OP_MOVS:
	case INSN_OP_STOS:
	case INSN_OP_LODS:
		return move(vc, access);
	default:
		return modify(vc, access);
	}
}
