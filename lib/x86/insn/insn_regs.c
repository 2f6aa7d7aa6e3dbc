/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers and addresses of a decoded instruction; see insn_regs.h. */
#include "insn_regs.h"

/* Cuts @value to @size bytes; sizes of 8 and more leave it alone. */
static uint64_t cut(uint64_t value, unsigned int size)
{
	return size < 8 ? value & ((1ull << (8 * size)) - 1) : value;
}

/* Replaces a register as a write of @size bytes does; see insn_write_gpr(). */
static uint64_t merge(uint64_t old, uint64_t value, unsigned int size)
{
	value = cut(value, size);
	return size < 4 ? (old - cut(old, size)) | value : value;
}

uint64_t insn_read_gpr(const struct insn_regs *regs, const struct insn_operand *o)
{
	if (o->kind == INSN_GPR)
		return cut(regs->gpr[o->reg & 15], o->size);
	if (o->kind == INSN_GPR_HIGH)
		return regs->gpr[o->reg & 3] >> 8 & 0xff;
	return 0;
}

void insn_write_gpr(struct insn_regs *regs, const struct insn_operand *o, uint64_t value)
{
	if (o->kind == INSN_GPR) {
		uint64_t *reg = &regs->gpr[o->reg & 15];

		*reg = merge(*reg, value, o->size);
	} else if (o->kind == INSN_GPR_HIGH) {
		uint64_t *reg = &regs->gpr[o->reg & 3];

		*reg = (*reg & ~0xff00ull) | (value & 0xff) << 8;
	}
}

uint64_t insn_immediate(const struct insn *insn)
{
	return cut((uint64_t)insn->imm, insn->operand_size);
}

uint64_t insn_extend_value(const struct insn *insn, uint64_t value)
{
	unsigned int size = insn->src.size;

	if (insn->extend != INSN_EXTEND_NONE)
		value = cut(value, size);
	if (insn->extend == INSN_EXTEND_SIGN && value >> (8 * size - 1) & 1)
		value |= ~cut(~0ull, size);
	return cut(value, insn->operand_size);
}

uint64_t insn_offset(const struct insn *insn, const struct insn_operand *o,
		     const struct insn_regs *regs)
{
	const struct insn_mem *mem = &insn->mem;
	uint64_t offset = 0;

	switch (o->kind) {
	case INSN_MEM:
		offset = (uint64_t)mem->disp;
		if (mem->base != INSN_NO_REG)
			offset += regs->gpr[mem->base & 15];
		if (mem->index != INSN_NO_REG)
			offset += regs->gpr[mem->index & 15] * mem->scale;
		if (mem->rip_relative)
			offset += regs->rip + insn->length;
		break;
	case INSN_MEM_SI:
		offset = regs->gpr[INSN_RSI];
		break;
	case INSN_MEM_DI:
		offset = regs->gpr[INSN_RDI];
		break;
	}
	return cut(offset, insn->address_size);
}

uint64_t insn_linear(const struct insn *insn, const struct insn_operand *o,
		     const struct insn_regs *regs, insn_segment_base base, void *context)
{
	unsigned int segment = o->kind == INSN_MEM_DI ? INSN_ES : insn->segment;
	uint64_t linear = insn_offset(insn, o, regs);

	if (insn->mode != INSN_MODE_64)
		return cut(linear + base(context, segment), 4);
	if (segment >= INSN_FS)
		linear += base(context, segment);
	return linear;
}

uint64_t insn_count(const struct insn *insn, const struct insn_regs *regs)
{
	if (insn->rep == INSN_REP_NONE)
		return 1;
	return cut(regs->gpr[INSN_RCX], insn->address_size);
}

static void add(uint64_t *reg, uint64_t delta, unsigned int size)
{
	*reg = merge(*reg, *reg + delta, size);
}

void insn_string_step(const struct insn *insn, struct insn_regs *regs, uint64_t count, bool down)
{
	uint64_t delta = count * insn->operand_size;
	unsigned int size = insn->address_size;

	if (count == 0)
		return;
	if (down)
		delta = -delta;
	if (insn->src.kind == INSN_MEM_SI)
		add(&regs->gpr[INSN_RSI], delta, size);
	if (insn->dst.kind == INSN_MEM_DI)
		add(&regs->gpr[INSN_RDI], delta, size);
	if (insn->rep != INSN_REP_NONE)
		add(&regs->gpr[INSN_RCX], -count, size);
}

uint64_t insn_next_rip(const struct insn *insn, const struct insn_regs *regs)
{
	uint64_t next = regs->rip + insn->length;

	return insn->mode == INSN_MODE_64 ? next : cut(next, 4);
}
