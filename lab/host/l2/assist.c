/* SPDX-License-Identifier: BSD-2-Clause */
#include "assist.h"

#include "base/log.h"
#include "base/opcode.h"
#include "base/options.h"

#include "x86/insn/decode.h"
#include "x86/insn/insn_regs.h"

#include "string.h"

#define FETCH (1ul << 4) /* of a page fault's error code */
#define MOV_CR (1ul << 63)
#define IOIO_SEGMENT 10
#define IOIO_STRING 4u

/* Exits by an instruction's own intercept, and #BP, #OF and #BR, which instructions raise. */
static bool has_next_rip(uint64_t code)
{
	return code < SVM_EXIT_EXCEPTION ||
	       (code >= SVM_EXIT_EXCEPTION + VECTOR_BP && code <= SVM_EXIT_EXCEPTION + VECTOR_BR) ||
	       (code >= SVM_EXIT(CR0_SELECTIVE) && code <= SVM_EXIT(MSR)) ||
	       (code >= SVM_EXIT(VMRUN) && code < SVM_EXIT_EFER_TRAP);
}

static bool is_page_fault(uint64_t code)
{
	return code == SVM_EXIT_NPF || code == SVM_EXIT_EXCEPTION + VECTOR_PF;
}

/* As they were fetched: a software interrupt may have been overwritten by its own frame meanwhile. */
static void give_bytes(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t *count = &b->instruction_bytes[0], *bytes = &b->instruction_bytes[1];

	if (!features.decode || b->exit_info1 & FETCH)
		return;
	if (l->soft.on && l->soft.executed) {
		*count = l->soft.count;
		memcpy(bytes, l->soft.bytes, l->soft.count);
	} else {
		*count = space_code(&l->space, bytes);
	}
}

/* The address that INVLPG names: that of a load with the same ModRM byte, for which there is a decoder. */
static uint64_t invlpg_address(struct l2 *l, const struct opcode *o, const uint8_t *code)
{
	uint8_t load[15] = {0};
	struct insn_regs regs = cpu_insn_regs(l->cpu, l->b);
	struct insn insn;

	memcpy(load, code, o->at);
	load[o->at] = 0x8b;
	memcpy(load + o->at + 1, code + o->at + 2, o->length - o->at - 2);
	if (insn_decode(&insn, load, o->length - 1, code_mode(l->b)) != INSN_OK)
		return 0;
	if (insn.mem.rip_relative)
		regs.rip++; /* the load is a byte shorter */
	return insn_linear(&insn, insn_memory_operand(&insn), &regs, cpu_segment_base, l->b);
}

static void give_operand(struct l2 *l, const struct opcode *o, const uint8_t *code)
{
	struct vmcb *b = l->b;
	uint64_t exit = b->exit_code;

	if (exit < SVM_EXIT_READ_DR0 || exit == SVM_EXIT(CR0_SELECTIVE))
		b->exit_info1 = o->map == 1 && (o->number == 0x20 || o->number == 0x22)
					? MOV_CR | opcode_rm(o)
					: 0;
	else if (exit < SVM_EXIT_EXCEPTION)
		b->exit_info1 = opcode_rm(o);
	else if (exit == SVM_EXIT(INTN))
		b->exit_info1 = code[o->length - 1];
	else if (exit == SVM_EXIT(INVLPG))
		b->exit_info1 = invlpg_address(l, o, code);
}

/* The segment that INS and OUTS use. */
static void give_segment(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t code[15];
	struct insn insn;

	if (!(b->exit_info1 & IOIO_STRING) ||
	    insn_decode(&insn, code, space_code(&l->space, code), code_mode(b)) != INSN_OK)
		return;
	b->exit_info1 |= (uint64_t)(insn.dst.kind == INSN_MEM_DI ? INSN_ES : insn.segment)
			 << IOIO_SEGMENT;
}

void assist(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t code[15];
	struct opcode o;
	unsigned n;

	b->next_rip = 0;
	b->instruction_bytes[0] = 0;
	if (is_page_fault(b->exit_code)) {
		give_bytes(l);
		return;
	}
	if (!has_next_rip(b->exit_code) || !(features.nrips || features.decode))
		return;
	if (b->exit_code == SVM_EXIT(IOIO)) {
		if (features.nrips)
			b->next_rip = b->exit_info2;
		if (features.decode)
			give_segment(l);
		return;
	}
	n = space_code(&l->space, code);
	if (!opcode_at(&o, code, n, code_bits(b))) {
		say("l0: exit %#lx at %#lx: no instruction in %u bytes %02x %02x %02x\n",
		    b->exit_code, b->rip, n, code[0], code[1], code[2]);
		return;
	}
	if (features.nrips)
		b->next_rip =
			code_bits(b) == 64 ? b->rip + o.length : (uint32_t)(b->rip + o.length);
	if (features.decode)
		give_operand(l, &o, code);
}
