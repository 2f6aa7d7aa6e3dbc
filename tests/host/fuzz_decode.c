/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: the #VC handler's decoder and everything that eats its result.
 *
 * Input: one byte for mode and register pattern, then code. Each decode gets a
 * heap block of exactly the bytes it is told about, so that AddressSanitizer
 * sees a read one byte too far.
 */
#include <stdlib.h>
#include <string.h>

#include "demand.h"
#include "x86/insn/decode.h"
#include "x86/insn/exit_code.h"
#include "x86/insn/insn_regs.h"
#include "x86/insn/ioio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum insn_status decode_exactly(struct insn *insn, const uint8_t *bytes, size_t count,
				       enum insn_mode mode)
{
	uint8_t *copy = malloc(count);
	enum insn_status status;

	if (count)
		memcpy(copy, bytes, count);
	memset(insn, 0xa5, sizeof(*insn));
	status = insn_decode(insn, copy, count, mode);
	free(copy);
	return status;
}

static bool same(const struct insn *a, const struct insn *b)
{
	return memcmp(a, b, offsetof(struct insn, dst)) == 0 &&
	       memcmp(&a->dst, &b->dst, sizeof(a->dst)) == 0 &&
	       memcmp(&a->src, &b->src, sizeof(a->src)) == 0 && a->mem.base == b->mem.base &&
	       a->mem.index == b->mem.index && a->mem.scale == b->mem.scale &&
	       a->mem.disp == b->mem.disp && a->mem.rip_relative == b->mem.rip_relative &&
	       a->mem.moffs == b->mem.moffs && a->imm == b->imm;
}

static bool power_of_two(unsigned int n)
{
	return n && !(n & (n - 1));
}

static void check_operand(const struct insn *insn, const struct insn_operand *o)
{
	unsigned int registers = insn->mode == INSN_MODE_64 ? 16 : 8;

	DEMAND(o->kind <= INSN_PORT_DX);
	if (o->kind == INSN_NO_OPERAND) {
		DEMAND(o->size == 0);
		return;
	}
	DEMAND(power_of_two(o->size) && o->size <= 8);
	DEMAND(o->size <= insn->operand_size);
	switch (o->kind) {
	case INSN_GPR:
		DEMAND(o->reg < registers);
		break;
	case INSN_GPR_HIGH:
		DEMAND(o->reg < 4 && o->size == 1);
		break;
	case INSN_DR:
		DEMAND(o->reg < 8 && insn->op == INSN_OP_MOV_DR);
		break;
	case INSN_MEM:
		DEMAND(insn->mem.base == INSN_NO_REG || insn->mem.base < registers);
		DEMAND(insn->mem.index == INSN_NO_REG || insn->mem.index < registers);
		DEMAND(power_of_two(insn->mem.scale) && insn->mem.scale <= 8);
		DEMAND(!insn->mem.rip_relative || insn->mode == INSN_MODE_64);
		break;
	case INSN_PORT_IMM:
		DEMAND(insn->imm >= 0 && insn->imm <= 255);
		break;
	}
}

static uint64_t some_base(void *context, unsigned int segment)
{
	DEMAND(segment <= INSN_GS);
	return *(uint64_t *)context + segment * 0x1000;
}

static void check_use(const struct insn *insn, uint8_t pattern)
{
	struct insn_regs regs, stepped;
	const struct insn_operand *mem = insn_memory_operand(insn);
	uint64_t base = pattern * 0x123456789abcdefull, info, mask;
	unsigned int fits = 0;

	for (int i = 0; i < 16; i++)
		regs.gpr[i] = ((uint64_t)pattern << (i * 5 & 63)) - i;
	regs.rip = base;

	if (mem) {
		mask = insn->address_size == 8 ? ~0ull : (1ull << (8 * insn->address_size)) - 1;
		DEMAND(insn_offset(insn, mem, &regs) <= mask);
		info = insn_linear(insn, mem, &regs, some_base, &base);
		DEMAND(insn->mode == INSN_MODE_64 || info <= 0xffffffff);
	}

	for (uint64_t code = 0; code <= 0x410; code++)
		fits += vc_fits(code, insn);
	/* MWAIT has two codes; HLT and VMGEXIT exit without #VC. */
	if (insn->op == INSN_OP_MWAIT || insn->op == INSN_OP_MWAITX)
		DEMAND(fits == 2);
	else
		DEMAND(fits <= 1);

	info = ~0ull;
	if (ioio_exit_info(insn, 0x3f8, &info)) {
		DEMAND(ioio_well_formed(info));
		DEMAND(ioio_size(info) == insn->operand_size);
		DEMAND(vc_fits(SVM_EXIT_IOIO, insn));
	} else {
		DEMAND(!vc_fits(SVM_EXIT_IOIO, insn));
	}

	stepped = regs;
	insn_string_step(insn, &stepped, insn_count(insn, &regs), pattern & 1);
	if (insn->rep && (insn->dst.kind == INSN_MEM_DI || insn->src.kind == INSN_MEM_SI))
		DEMAND(insn_count(insn, &stepped) == 0);
	insn_write_gpr(&stepped, &insn->dst, base);
	insn_extend_value(insn, insn_read_gpr(&regs, &insn->src));
	insn_immediate(insn);
	insn_next_rip(insn, &regs);
	DEMAND(insn->op > INSN_OP_NONE && insn->op < INSN_OP_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum insn_status status, shorter;
	struct insn insn, again;
	enum insn_mode mode;
	uint8_t pattern;
	size_t count;

	if (size == 0)
		return 0;
	mode = data[0] % 3;
	pattern = data[0];
	data++;
	size--;
	if (size > INSN_MAX_LENGTH + 3)
		size = INSN_MAX_LENGTH + 3;

	status = decode_exactly(&insn, data, size, mode);
	DEMAND(status <= INSN_UNSUPPORTED);
	DEMAND(status != INSN_MORE || size < INSN_MAX_LENGTH);
	DEMAND(status != INSN_TOO_LONG || size >= INSN_MAX_LENGTH);
	if (status == INSN_OK) {
		DEMAND(insn.length >= 1 && insn.length <= INSN_MAX_LENGTH);
		DEMAND(insn.length <= size && insn.mode == mode);
		DEMAND(insn.op > INSN_OP_NONE && insn.op < INSN_OP_COUNT);
		check_operand(&insn, &insn.dst);
		check_operand(&insn, &insn.src);
		check_use(&insn, pattern);
	}

	/* Fewer bytes: the same answer or a demand for more, never another. */
	for (count = 0; count < size; count++) {
		shorter = decode_exactly(&again, data, count, mode);
		if (shorter == INSN_MORE) {
			DEMAND(status != INSN_OK || count < insn.length);
			continue;
		}
		DEMAND(shorter == status);
		if (status == INSN_OK)
			DEMAND(count >= insn.length && same(&insn, &again));
	}
	return 0;
}
