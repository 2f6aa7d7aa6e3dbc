/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources: APM 2, "Page-Translation-Table Entry Fields", "Page-Fault Exception (#PF)", "Segment
 * Descriptors", "Long-Mode Interrupt Control Transfers".
 */
#include "mem.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/cpu/paging.h"

#include "panic.h"

#define GATE_PRESENT 0x80
#define GATE_TYPE 0x0f
#define GATE_TRAP 0x0f

static bool refuse_access(struct vc_raise *raise, uint64_t linear, int error)
{
	*raise = (struct vc_raise){.vector = VECTOR_PF, .error = error, .cr2 = linear};
	return false;
}

bool vc_page(uint64_t linear, bool write, bool user, struct vc_page *page, struct vc_raise *raise)
{
	int error = (write ? PF_WRITE : 0) | (user ? PF_USER : 0);
	uint64_t entry = read_cr3(), allowed = PTE_WRITABLE | PTE_USER;
	unsigned shift = 39;

	if ((int64_t)(linear << 16) >> 16 != (int64_t)linear) {
		*raise = (struct vc_raise){.vector = VECTOR_GP, .error = 0};
		return false;
	}
	for (;; shift -= 9) {
		const uint64_t *table = (const uint64_t *)(entry & PTE_ADDRESS);

		entry = table[linear >> shift & 511];
		if (!(entry & PTE_PRESENT))
			return refuse_access(raise, linear, error);
		allowed &= entry;
		if (shift == 12 || (shift < 39 && entry & PTE_LARGE))
			break;
	}
	if ((user && !(allowed & PTE_USER)) ||
	    (write && !(allowed & PTE_WRITABLE) && (user || read_cr0() & X86_CR0_WP)))
		return refuse_access(raise, linear, error | PF_PRESENT);
	page->gpa = (entry & PTE_ADDRESS & ~((1ul << shift) - 1)) | (linear & ((1ul << shift) - 1));
	page->is_private = entry & sev_c_bit;
	return true;
}

bool vc_bytes_there(uint64_t linear, unsigned bytes, bool write, bool user, struct vc_raise *raise)
{
	struct vc_page page;
	uint64_t last = linear + bytes - 1;

	if (!vc_page(linear, write, user, &page, raise))
		return false;
	return linear / PAGE_BYTES == last / PAGE_BYTES ||
	       vc_page(last & ~(PAGE_BYTES - 1), write, user, &page, raise);
}

/* Compatibility mode has the GDT alone: no case loads an LDT. */
static uint64_t descriptor_base(uint16_t selector)
{
	struct table_pointer gdtr = read_gdtr();
	uint64_t d;

	if ((selector & ~3) == 0 || (selector | 7) > gdtr.limit)
		return 0;
	d = *(const uint64_t *)(gdtr.base + (selector & ~7ul));
	return (d >> 16 & 0xffffff) | (d >> 56) << 24;
}

uint64_t vc_segment_base(void *context, unsigned segment)
{
	const struct trap_frame *frame = context;
	uint16_t selector;

	switch (segment) {
	case INSN_FS:
		return rdmsr(MSR_FS_BASE);
	case INSN_GS:
		return rdmsr(MSR_GS_BASE);
	case INSN_CS:
		return descriptor_base(frame->iret.cs);
	case INSN_SS:
		return descriptor_base(frame->iret.ss);
	case INSN_ES:
		asm volatile("mov %%es, %0" : "=r"(selector));
		return descriptor_base(selector);
	default:
		asm volatile("mov %%ds, %0" : "=r"(selector));
		return descriptor_base(selector);
	}
}

/* The attributes of a code segment: L is bit 53 of the descriptor, D bit 54. */
static enum insn_mode code_mode(uint16_t cs)
{
	struct table_pointer gdtr = read_gdtr();
	uint64_t d = *(const uint64_t *)(gdtr.base + (cs & ~7ul));

	return d >> 53 & 1 ? INSN_MODE_64 : d >> 54 & 1 ? INSN_MODE_32 : INSN_MODE_16;
}

bool vc_decode(const struct trap_frame *frame, struct insn *insn)
{
	enum insn_mode mode = code_mode(frame->iret.cs);
	uint64_t linear = frame->iret.rip, in_page;
	uint8_t bytes[INSN_MAX_LENGTH];
	struct vc_raise ignored;
	struct vc_page page;
	unsigned count = 0;

	if (mode != INSN_MODE_64)
		linear = (uint32_t)(linear + descriptor_base(frame->iret.cs));
	/* The next page only if the instruction reaches into it. */
	for (in_page = PAGE_BYTES - linear % PAGE_BYTES;; in_page = INSN_MAX_LENGTH) {
		if (!vc_page(linear + count, false, false, &page, &ignored))
			return false;
		for (; count < in_page && count < INSN_MAX_LENGTH; count++)
			bytes[count] = ((const uint8_t *)linear)[count];
		switch (insn_decode(insn, bytes, count, mode)) {
		case INSN_OK:
			return true;
		case INSN_MORE:
			if (count < INSN_MAX_LENGTH)
				break;
			return false;
		default:
			return false;
		}
	}
}

static const struct tss *current_tss(void)
{
	struct table_pointer gdtr = read_gdtr();
	const uint64_t *d;
	uint16_t selector;

	asm volatile("str %0" : "=r"(selector));
	d = (const uint64_t *)(gdtr.base + (selector & ~7ul));
	return (const struct tss *)((d[0] >> 16 & 0xffffff) | (d[0] >> 56) << 24 | d[1] << 32);
}

static uint64_t gate_handler(const struct gate *g)
{
	return g->offset_low | (uint64_t)g->offset_middle << 16 | (uint64_t)g->offset_high << 32;
}

void vc_deliver(struct trap_frame *frame, const struct vc_raise *raise)
{
	struct table_pointer idtr = read_idtr();
	const struct gate *gate = (const struct gate *)idtr.base + raise->vector;
	uint64_t clear = X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF, *stack;
	bool from_user = frame->iret.cs & 3;
	uint64_t rsp = frame->iret.rsp;

	if (raise->vector * sizeof(*gate) + 15 > idtr.limit || !(gate->attributes & GATE_PRESENT))
		panic("#VC: no gate for the vector %u that is to be raised at %#lx", raise->vector,
		      frame->iret.rip);
	if (gate->ist)
		rsp = current_tss()->ist[gate->ist];
	else if (from_user)
		rsp = current_tss()->rsp[0];
	if (raise->vector == VECTOR_PF)
		write_cr2(raise->cr2);
	if ((gate->attributes & GATE_TYPE) != GATE_TRAP)
		clear |= X86_EFLAGS_IF;
	stack = (uint64_t *)(rsp & ~15ul);
	*--stack = frame->iret.ss;
	*--stack = frame->iret.rsp;
	*--stack = frame->iret.rflags;
	*--stack = frame->iret.cs;
	*--stack = frame->iret.rip;
	if (raise->error != VC_NO_ERROR)
		*--stack = raise->error;
	frame->iret = (struct iret_frame){
		.rip = gate_handler(gate),
		.cs = gate->selector & ~3,
		.rflags = frame->iret.rflags & ~clear,
		.rsp = (uint64_t)stack,
		.ss = from_user ? 0 : frame->iret.ss,
	};
}
