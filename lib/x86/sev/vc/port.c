/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports: IN, OUT, INS, OUTS. APM 3; GHCB specification rev. 2.04, "IOIO_PROT". */
#include "serve.h"
#include "x86/cpu/cpu.h"
#include "x86/insn/ioio.h"

static enum vc_result serve_port(struct vc *vc, uint64_t info)
{
	struct ghcb_call call = {.request = {.exit_code = SVM_EXIT_IOIO, .exit_info_1 = info}};
	bool in = info & IOIO_IN;
	enum vc_result result;

	/* The hypervisor may merge a short IN with what RAX held. */
	if (!in)
		ghcb_offer(&call, GHCB_RAX, insn_read_gpr(&vc->regs, &vc->insn.src));
	else if (ioio_size(info) < 4)
		ghcb_offer(&call, GHCB_RAX, *vc_reg(vc, INSN_RAX));
	result = vc_ask(vc, &call);
	if (result == VC_NEXT && in)
		insn_write_gpr(&vc->regs, &vc->insn.dst, vc_answer(&call, GHCB_RAX));
	return result;
}

/* How many of `count` elements lie in memory that the instruction may use; 0: vc->raise. */
static uint64_t elements_there(struct vc *vc, const struct insn_operand *o, uint64_t count,
			       bool write)
{
	bool down = vc->frame->iret.rflags & X86_EFLAGS_DF;
	struct insn_regs r = vc->regs;
	uint64_t there = 0;

	for (; there < count; there++) {
		uint64_t linear = insn_linear(&vc->insn, o, &r, vc_segment_base, vc->frame);
		struct vc_raise later;

		if (!vc_bytes_there(linear, o->size, write, vc_from_user(vc),
				    there ? &later : &vc->raise))
			break;
		insn_string_step(&vc->insn, &r, 1, down);
	}
	return there;
}

/* Between memory and the shared buffer, element by element as the instruction goes. */
static void move_elements(struct vc *vc, const struct insn_operand *o, uint64_t count,
			  volatile uint8_t *buffer, bool to_memory)
{
	bool down = vc->frame->iret.rflags & X86_EFLAGS_DF;
	struct insn_regs r = vc->regs;

	for (uint64_t i = 0; i < count; i++) {
		uint8_t *at = (uint8_t *)insn_linear(&vc->insn, o, &r, vc_segment_base, vc->frame);

		for (unsigned byte = 0; byte < o->size; byte++) {
			volatile uint8_t *shared = buffer + i * o->size + byte;

			if (to_memory)
				at[byte] = *shared;
			else
				*shared = at[byte];
		}
		insn_string_step(&vc->insn, &r, 1, down);
	}
}

/* With TF, one element at a time: each is followed by its trap. */
static uint64_t elements_now(const struct vc *vc)
{
	uint64_t count = insn_count(&vc->insn, &vc->regs);

	return count && vc->frame->iret.rflags & X86_EFLAGS_TF ? 1 : count;
}

static enum vc_result serve_string_port(struct vc *vc, uint64_t info)
{
	struct ghcb_call call = {.request = {.exit_code = SVM_EXIT_IOIO, .exit_info_1 = info}};
	bool in = info & IOIO_IN;
	const struct insn_operand *o = in ? &vc->insn.dst : &vc->insn.src;
	uint64_t count = ghcb_string_chunk(elements_now(vc), o->size);
	volatile struct ghcb_page *page;
	enum vc_result result;
	struct ghcb_use use;
	bool sensible;

	if (!count)
		return VC_NEXT;
	count = elements_there(vc, o, count, in);
	if (!count)
		return VC_RAISED;
	page = ghcb_open(&use);
	if (!in)
		move_elements(vc, o, count, page->shared_buffer, false);
	call.exit_info_2 = count;
	ghcb_offer(&call, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	sensible = ghcb_exit(&call);
	if (in && sensible && call.outcome.verdict == GHCB_OK)
		move_elements(vc, o, count, page->shared_buffer, true);
	ghcb_close(&use);
	result = vc_judge(vc, &call, sensible);
	return result == VC_NEXT ? vc_string_step(vc, count) : result;
}

enum vc_result vc_serve_ioio(struct vc *vc)
{
	uint64_t info;

	if (!ioio_exit_info(&vc->insn, *vc_reg(vc, INSN_RDX), &info))
		return VC_FOREIGN;
	return info & IOIO_STRING ? serve_string_port(vc, info) : serve_port(vc, info);
}
