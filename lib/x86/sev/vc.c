/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The #VC handler: what the hypervisor would have intercepted is asked of it by the GHCB, and done here
 * with its answer.
 *
 * Nothing is believed. The bytes at RIP must fit the exit code, or the event goes to the recorder as
 * the vector 29 that it is. An answer that no hypervisor may give ends the guest, with the reason.
 *
 * Sources: GHCB specification rev. 2.04, section 4.1; APM 2, "#VC Exception"; APM 3 for what each
 * instruction does.
 */
#include "sev.h"

#include "../cpu.h"
#include "../frame.h"
#include "../panic.h"
#include "../percpu.h"
#include "../snippet.h"
#include "alu.h"
#include "insn_regs.h"
#include "ioio.h"
#include "snp_cpuid.h"
#include "vc_mem.h"

#include "../../string.h"

#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_UD 6
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17

#define CR4_OSXSAVE (1u << 18)
#define CPUID_XSTATE 0xd

struct vc {
	struct trap_frame *frame;
	struct insn insn;
	struct insn_regs regs;
	struct vc_raise raise;
};

enum result {
	NEXT,	 /* done: RIP moves behind the instruction */
	AGAIN,	 /* a part of it is done: it is executed once more */
	RAISED,	 /* an exception at the instruction: vc->raise */
	FOREIGN, /* no #VC that we can serve */
};

/* -- Registers. ------------------------------------------------------------------------------------- */

static void load_regs(struct vc *vc)
{
	const struct regs *r = &vc->frame->regs;

	vc->regs = (struct insn_regs){
		.gpr = {r->rax, r->rcx, r->rdx, r->rbx, vc->frame->iret.rsp, r->rbp, r->rsi, r->rdi,
			r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15},
		.rip = vc->frame->iret.rip,
	};
}

static void store_regs(struct vc *vc)
{
	const uint64_t *g = vc->regs.gpr;

	vc->frame->regs = (struct regs){
		.rax = g[INSN_RAX],
		.rbx = g[INSN_RBX],
		.rcx = g[INSN_RCX],
		.rdx = g[INSN_RDX],
		.rsi = g[INSN_RSI],
		.rdi = g[INSN_RDI],
		.rbp = g[INSN_RBP],
		.r8 = g[8],
		.r9 = g[9],
		.r10 = g[10],
		.r11 = g[11],
		.r12 = g[12],
		.r13 = g[13],
		.r14 = g[14],
		.r15 = g[15],
	};
	vc->frame->iret.rsp = g[INSN_RSP];
}

static uint64_t *reg(struct vc *vc, unsigned number)
{
	return &vc->regs.gpr[number];
}

/* As instructions do that give 32 bits in each of some registers. */
static void set32(struct vc *vc, unsigned number, uint64_t value)
{
	vc->regs.gpr[number] = (uint32_t)value;
}

static bool from_user(const struct vc *vc)
{
	return vc->frame->iret.cs & 3;
}

/* -- Calls. ------------------------------------------------------------------------------------------- */

static enum result raise(struct vc *vc, unsigned vector, int error)
{
	vc->raise = (struct vc_raise){.vector = vector, .error = error};
	return RAISED;
}

/* What an answer means for the instruction; NEXT: its outputs may be used. */
static enum result judge(struct vc *vc, const struct ghcb_call *call, bool sensible)
{
	if (!sensible || call->outcome.verdict == GHCB_MALFORMED)
		ghcb_refuse(call);
	if (call->outcome.verdict == GHCB_EXCEPTION)
		return raise(vc, call->outcome.vector,
			     call->outcome.vector == VECTOR_UD ? VC_NO_ERROR
							       : call->outcome.error_code);
	return NEXT;
}

static enum result ask(struct vc *vc, struct ghcb_call *call)
{
	return judge(vc, call, ghcb_call(call));
}

static uint64_t answer(const struct ghcb_call *call, unsigned field)
{
	return call->answer.value[field];
}

static uint64_t read_xcr0(void)
{
	uint32_t low, high;

	if (!(read_cr4() & CR4_OSXSAVE))
		return 1;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static enum result ask_cpuid(struct vc *vc, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_CPUID};
	enum result result;

	ghcb_offer(&call, GHCB_RAX, leaf);
	ghcb_offer(&call, GHCB_RCX, subleaf);
	if (leaf == CPUID_XSTATE)
		ghcb_offer(&call, GHCB_XCR0, read_xcr0());
	result = ask(vc, &call);
	if (result != NEXT)
		return result;
	r[0] = answer(&call, GHCB_RAX);
	r[1] = answer(&call, GHCB_RBX);
	r[2] = answer(&call, GHCB_RCX);
	r[3] = answer(&call, GHCB_RDX);
	return NEXT;
}

/* Under SEV-SNP the hypervisor is asked only for what it alone can know. */
static enum result look_up_cpuid(struct vc *vc, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	const struct snp_cpuid_page *page = (const struct snp_cpuid_page *)SNP_CPUID_PAGE;
	struct snp_cpuid_state state = {.cr4 = read_cr4(), .xcr0 = read_xcr0()};
	enum result result;

	if (snp_cpuid_asks_hypervisor(page, leaf)) {
		result = ask_cpuid(vc, leaf, subleaf, r);
		if (result != NEXT)
			return result;
		state.a = r[0];
		state.b = r[1];
		state.c = r[2];
		state.d = r[3];
	}
	if (!snp_cpuid(page, leaf, subleaf, &state, r))
		panic("the CPUID page has %u entries", page->count);
	return NEXT;
}

static enum result serve_cpuid(struct vc *vc)
{
	uint32_t leaf = *reg(vc, INSN_RAX), subleaf = *reg(vc, INSN_RCX), r[4];
	enum result result = sev_is_snp() ? look_up_cpuid(vc, leaf, subleaf, r)
					  : ask_cpuid(vc, leaf, subleaf, r);

	if (result != NEXT)
		return result;
	set32(vc, INSN_RAX, r[0]);
	set32(vc, INSN_RBX, r[1]);
	set32(vc, INSN_RCX, r[2]);
	set32(vc, INSN_RDX, r[3]);
	return NEXT;
}

static enum result serve_msr(struct vc *vc)
{
	bool write = vc->insn.op == INSN_OP_WRMSR;
	struct ghcb_call call = {.request = {.exit_code = SVM_EXIT_MSR, .exit_info_1 = write}};
	enum result result;

	ghcb_offer(&call, GHCB_RCX, (uint32_t)*reg(vc, INSN_RCX));
	if (write) {
		ghcb_offer(&call, GHCB_RAX, (uint32_t)*reg(vc, INSN_RAX));
		ghcb_offer(&call, GHCB_RDX, (uint32_t)*reg(vc, INSN_RDX));
	}
	result = ask(vc, &call);
	if (result != NEXT || write)
		return result;
	set32(vc, INSN_RAX, answer(&call, GHCB_RAX));
	set32(vc, INSN_RDX, answer(&call, GHCB_RDX));
	return NEXT;
}

/* RDTSC, RDTSCP and RDPMC: EDX:EAX, and ECX for RDTSCP. */
static enum result serve_counter(struct vc *vc, uint64_t exit_code)
{
	struct ghcb_call call = {.request.exit_code = exit_code};
	enum result result;

	if (exit_code == SVM_EXIT_RDPMC)
		ghcb_offer(&call, GHCB_RCX, (uint32_t)*reg(vc, INSN_RCX));
	result = ask(vc, &call);
	if (result != NEXT)
		return result;
	set32(vc, INSN_RAX, answer(&call, GHCB_RAX));
	set32(vc, INSN_RDX, answer(&call, GHCB_RDX));
	if (exit_code == SVM_EXIT_RDTSCP)
		set32(vc, INSN_RCX, answer(&call, GHCB_RCX));
	return NEXT;
}

/* The arguments are those of KVM's hypercalls; only RAX comes back. */
static enum result serve_vmmcall(struct vc *vc)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_VMMCALL};
	enum result result;

	ghcb_offer(&call, GHCB_RAX, *reg(vc, INSN_RAX));
	ghcb_offer(&call, GHCB_RBX, *reg(vc, INSN_RBX));
	ghcb_offer(&call, GHCB_RCX, *reg(vc, INSN_RCX));
	ghcb_offer(&call, GHCB_RDX, *reg(vc, INSN_RDX));
	ghcb_offer(&call, GHCB_RSI, *reg(vc, INSN_RSI));
	ghcb_offer(&call, GHCB_CPL, vc->frame->iret.cs & 3);
	result = ask(vc, &call);
	if (result == NEXT)
		*reg(vc, INSN_RAX) = answer(&call, GHCB_RAX);
	return result;
}

/* No inputs, no outputs. */
static enum result serve_plain(struct vc *vc, uint64_t exit_code)
{
	struct ghcb_call call = {.request.exit_code = exit_code};

	return ask(vc, &call);
}

static enum result serve_monitor(struct vc *vc)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_MONITOR};
	struct insn_operand at = {INSN_MEM, 1, INSN_NO_REG};
	struct vc_page page;
	uint64_t linear;

	/* DS:rAX, or the segment of an override. */
	vc->insn.mem = (struct insn_mem){.base = INSN_RAX, .index = INSN_NO_REG, .scale = 1};
	linear = insn_linear(&vc->insn, &at, &vc->regs, vc_segment_base, vc->frame);
	if (!vc_page(linear, false, from_user(vc), &page, &vc->raise))
		return RAISED;
	ghcb_offer(&call, GHCB_RAX, page.gpa);
	ghcb_offer(&call, GHCB_RCX, *reg(vc, INSN_RCX));
	ghcb_offer(&call, GHCB_RDX, *reg(vc, INSN_RDX));
	return ask(vc, &call);
}

static enum result serve_mwait(struct vc *vc, uint64_t exit_code)
{
	struct ghcb_call call = {.request.exit_code = exit_code};

	ghcb_offer(&call, GHCB_RAX, *reg(vc, INSN_RAX));
	ghcb_offer(&call, GHCB_RCX, *reg(vc, INSN_RCX));
	return ask(vc, &call);
}

/* -- DR7. ------------------------------------------------------------------------------------------------ */

uint64_t vc_dr7(void)
{
	return this_cpu()->dr7;
}

static enum result serve_dr7(struct vc *vc, bool write)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_WRITE_DR7};
	uint64_t value = insn_read_gpr(&vc->regs, &vc->insn.src);
	enum result result;

	if (!write) {
		insn_write_gpr(&vc->regs, &vc->insn.dst, this_cpu()->dr7);
		return NEXT;
	}
	if (value >> 32)
		return raise(vc, VECTOR_GP, 0);
	value = (value & ~0xd800ul) | DR7_CLEAR;
	ghcb_offer(&call, GHCB_RAX, value);
	result = ask(vc, &call);
	if (result == NEXT)
		this_cpu()->dr7 = value;
	return result;
}

/* -- Port I/O. ------------------------------------------------------------------------------------------- */

static enum result serve_port(struct vc *vc, uint64_t info)
{
	struct ghcb_call call = {.request = {.exit_code = SVM_EXIT_IOIO, .exit_info_1 = info}};
	bool in = info & IOIO_IN;
	enum result result;

	/* The hypervisor may merge a short IN with what RAX held. */
	if (!in)
		ghcb_offer(&call, GHCB_RAX, insn_read_gpr(&vc->regs, &vc->insn.src));
	else if (ioio_size(info) < 4)
		ghcb_offer(&call, GHCB_RAX, *reg(vc, INSN_RAX));
	result = ask(vc, &call);
	if (result == NEXT && in)
		insn_write_gpr(&vc->regs, &vc->insn.dst, answer(&call, GHCB_RAX));
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

		if (!vc_bytes_there(linear, o->size, write, from_user(vc),
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

/* NEXT, or AGAIN where elements are left. */
static enum result string_step(struct vc *vc, uint64_t count)
{
	insn_string_step(&vc->insn, &vc->regs, count, vc->frame->iret.rflags & X86_EFLAGS_DF);
	return vc->insn.rep != INSN_REP_NONE && insn_count(&vc->insn, &vc->regs) ? AGAIN : NEXT;
}

/* With TF, one element at a time: each is followed by its trap. */
static uint64_t elements_now(const struct vc *vc)
{
	uint64_t count = insn_count(&vc->insn, &vc->regs);

	return count && vc->frame->iret.rflags & X86_EFLAGS_TF ? 1 : count;
}

static enum result serve_string_port(struct vc *vc, uint64_t info)
{
	struct ghcb_call call = {.request = {.exit_code = SVM_EXIT_IOIO, .exit_info_1 = info}};
	bool in = info & IOIO_IN;
	const struct insn_operand *o = in ? &vc->insn.dst : &vc->insn.src;
	uint64_t count = ghcb_string_chunk(elements_now(vc), o->size);
	volatile struct ghcb_page *page;
	enum result result;
	struct ghcb_use use;
	bool sensible;

	if (!count)
		return NEXT;
	count = elements_there(vc, o, count, in);
	if (!count)
		return RAISED;
	page = ghcb_open(&use);
	if (!in)
		move_elements(vc, o, count, page->shared_buffer, false);
	call.exit_info_2 = count;
	ghcb_offer(&call, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	sensible = ghcb_exit(&call);
	if (in && sensible && call.outcome.verdict == GHCB_OK)
		move_elements(vc, o, count, page->shared_buffer, true);
	ghcb_close(&use);
	result = judge(vc, &call, sensible);
	return result == NEXT ? string_step(vc, count) : result;
}

static enum result serve_ioio(struct vc *vc)
{
	uint64_t info;

	if (!ioio_exit_info(&vc->insn, *reg(vc, INSN_RDX), &info))
		return FOREIGN;
	return info & IOIO_STRING ? serve_string_port(vc, info) : serve_port(vc, info);
}

/* -- MMIO. ------------------------------------------------------------------------------------------------ */

static enum result mmio(struct vc *vc, uint64_t gpa, unsigned bytes, bool write, uint64_t *value)
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
	return judge(vc, &call, sensible);
}

/* One operand in memory: a device where the page is shared, else RAM (MOVS has two operands). */
static enum result access(struct vc *vc, const struct insn_operand *o, bool write, uint64_t *value)
{
	uint64_t linear = insn_linear(&vc->insn, o, &vc->regs, vc_segment_base, vc->frame);
	struct vc_page page;

	if (!vc_bytes_there(linear, o->size, write, from_user(vc), &vc->raise) ||
	    !vc_page(linear, write, from_user(vc), &page, &vc->raise))
		return RAISED;
	if (page.is_private || page.gpa / 4096 == ghcb_gpa() / 4096) {
		if (vc->insn.op != INSN_OP_MOVS)
			return FOREIGN;
		if (write)
			memcpy((void *)linear, value, o->size);
		else
			memcpy(value, (const void *)linear, o->size);
		return NEXT;
	}
	/* Two pages may be two devices; no driver does that. */
	if ((page.gpa & 4095) + o->size > 4096)
		return FOREIGN;
	return mmio(vc, page.gpa, o->size, write, value);
}

static bool is_memory(const struct insn_operand *o)
{
	return o->kind == INSN_MEM || o->kind == INSN_MEM_SI || o->kind == INSN_MEM_DI;
}

static enum result get(struct vc *vc, const struct insn_operand *o, uint64_t *value)
{
	*value = 0;
	if (is_memory(o))
		return access(vc, o, false, value);
	*value = o->kind == INSN_IMM ? insn_immediate(&vc->insn) : insn_read_gpr(&vc->regs, o);
	return NEXT;
}

static enum result put(struct vc *vc, const struct insn_operand *o, uint64_t value)
{
	if (is_memory(o))
		return access(vc, o, true, &value);
	insn_write_gpr(&vc->regs, o, value);
	return NEXT;
}

static enum result move(struct vc *vc)
{
	const struct insn *i = &vc->insn;
	bool string = i->op == INSN_OP_MOVS || i->op == INSN_OP_STOS || i->op == INSN_OP_LODS;
	enum result result;
	uint64_t value;

	if (string && !insn_count(i, &vc->regs))
		return NEXT;
	result = get(vc, &i->src, &value);
	if (result != NEXT)
		return result;
	result = put(vc, &i->dst, insn_extend_value(i, value));
	if (result == NEXT && string)
		return string_step(vc, 1);
	return result;
}

/* The old value is needed by all, the source by some; the flags last, when nothing can fail any more. */
static enum result modify(struct vc *vc)
{
	const struct insn *i = &vc->insn;
	uint64_t old, source, flags = vc->frame->iret.rflags, result_value;
	enum result result = get(vc, &i->dst, &old);

	if (result == NEXT)
		result = get(vc, &i->src, &source);
	if (result != NEXT)
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
		if (result == NEXT && expected != old)
			insn_write_gpr(&vc->regs, &acc, old);
		if (result == NEXT)
			vc->frame->iret.rflags = flags;
		return result;
	}
	default:
		result_value = alu(i->op, i->operand_size, old, source, &flags);
	}
	if (i->op != INSN_OP_CMP && i->op != INSN_OP_TEST)
		result = put(vc, &i->dst, result_value);
	if (result == NEXT && (i->op == INSN_OP_XCHG || i->op == INSN_OP_XADD))
		result = put(vc, &i->src, old);
	if (result == NEXT)
		vc->frame->iret.rflags = flags;
	return result;
}

static enum result serve_mmio(struct vc *vc)
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

/* -- All of them. ------------------------------------------------------------------------------------ */

static enum result serve_insn(struct vc *vc, uint64_t code)
{
	switch (code) {
	case SVM_EXIT_READ_DR7:
	case SVM_EXIT_WRITE_DR7:
		return serve_dr7(vc, code == SVM_EXIT_WRITE_DR7);
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
	case SVM_EXIT_RDPMC:
		return serve_counter(vc, code);
	case SVM_EXIT_CPUID:
		return serve_cpuid(vc);
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
		return serve_plain(vc, code);
	case SVM_EXIT_IOIO:
		return serve_ioio(vc);
	case SVM_EXIT_MSR:
		return serve_msr(vc);
	case SVM_EXIT_VMMCALL:
		return serve_vmmcall(vc);
	case SVM_EXIT_MONITOR:
		return serve_monitor(vc);
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_ARMED:
		return serve_mwait(vc, SVM_EXIT_MWAIT);
	case SVM_EXIT_NPF:
		return serve_mmio(vc);
	case SVM_EXIT_RSM:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_XSETBV:
	case SVM_EXIT_RDPRU:
		/* The GHCB has no event for what this machine does not offer. */
		return raise(vc, VECTOR_UD, VC_NO_ERROR);
	}
	return FOREIGN;
}

/* The instruction at RIP fits the code, or it is no #VC of hardware. */
static enum result serve(struct vc *vc, uint64_t code)
{
	struct percpu *cpu = this_cpu();
	enum result result;

	switch (vc_classify(code)) {
	case VC_NEEDS_INSN:
		if (!vc_decode(vc->frame, &vc->insn) || !vc_fits(code, &vc->insn))
			return FOREIGN;
		cpu->vc_depth++;
		result = serve_insn(vc, code);
		cpu->vc_depth--;
		return result;
	case VC_NEEDS_NO_INSN:
		if (code == SVM_EXIT_EXCP_DB)
			return raise(vc, VECTOR_DB, VC_NO_ERROR);
		if (code == SVM_EXIT_EXCP_AC)
			return raise(vc, VECTOR_AC, 0);
		return FOREIGN;
	default:
		return FOREIGN;
	}
}

/* Behind the instruction, or at it again; a single-step trap is due either way. */
static void move_on(struct vc *vc, enum result result)
{
	struct trap_frame *frame = vc->frame;

	store_regs(vc);
	frame->iret.rflags &= ~(uint64_t)X86_EFLAGS_RF;
	if (result == NEXT)
		frame->iret.rip = insn_next_rip(&vc->insn, &vc->regs);
	if (!(frame->iret.rflags & X86_EFLAGS_TF))
		return;
	write_dr6(read_dr6() | DR6_BS);
	vc_deliver(frame, &(struct vc_raise){.vector = VECTOR_DB, .error = VC_NO_ERROR});
}

static void show(const struct trap_frame *frame)
{
	struct percpu *cpu = this_cpu();
	struct event event = event_of(frame);

	if (setup.show_vc && cpu->run.code &&
	    frame->iret.rip - cpu->run.base < (uint64_t)(cpu->run.code->end - cpu->run.code->start))
		event_append(cpu, &event);
}

/* What came while the instruction was served comes behind it, as if it had been executed. */
static void take_deferred_nmi(struct trap_frame *frame)
{
	struct percpu *cpu = this_cpu();

	if (cpu->vc_depth || !cpu->nmi_deferred)
		return;
	cpu->nmi_deferred = false;
	vc_deliver(frame, &(struct vc_raise){.vector = VECTOR_NMI, .error = VC_NO_ERROR});
}

void vc_handle(struct trap_frame *frame);

void vc_handle(struct trap_frame *frame)
{
	struct vc vc = {.frame = frame};
	enum result result = FOREIGN;

	load_regs(&vc);
	if (frame->vector & FRAME_HAS_ERROR)
		result = serve(&vc, frame->error);
	if (result == FOREIGN) {
		event_record(frame);
		return;
	}
	show(frame);
	if (result == RAISED)
		vc_deliver(frame, &vc.raise);
	else
		move_on(&vc, result);
	take_deferred_nmi(frame);
}

/* -- Around other events. -------------------------------------------------------------------------------- */

bool vc_hold_stack(const struct trap_frame *frame)
{
	uint64_t rip = frame->iret.rip;
	bool exposed = (rip >= (uint64_t)vc_entry && rip < (uint64_t)vc_entry_held) ||
		       (rip >= (uint64_t)vc_exit && rip < (uint64_t)vc_exit_end);

	if (!sev_is_es() || !exposed)
		return false;
	this_cpu()->descriptors.tss.ist[VC_IST] -= VC_STACK_BYTES;
	return true;
}

void vc_release_stack(bool held)
{
	if (held)
		this_cpu()->descriptors.tss.ist[VC_IST] += VC_STACK_BYTES;
}

bool vc_defer_nmi(void)
{
	struct percpu *cpu = this_cpu();

	cpu->nmi_deferred = cpu->vc_depth || cpu->nmi_completing;
	return cpu->nmi_deferred;
}

bool sev_nmi_complete(void)
{
	struct ghcb_call call = {.request.exit_code = GHCB_EVENT_NMI_COMPLETE};
	struct percpu *cpu = this_cpu();
	bool another;

	cpu->nmi_completing = true;
	if (!ghcb_call(&call) || call.outcome.verdict != GHCB_OK)
		ghcb_refuse(&call);
	cpu->nmi_completing = false;
	another = cpu->nmi_deferred;
	cpu->nmi_deferred = false;
	return another;
}
