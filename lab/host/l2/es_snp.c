/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-SNP in L2: a page that it has not validated, and PVALIDATE and RMPADJUST. APM 2, "Page Validation", "RMP and VMPL
 * Access Checks"; APM 3, PVALIDATE, RMPADJUST.
 */
#include "es.h"

#include "memory/rmp.h"

#include "x86/insn/decode.h"
#include "x86/insn/exit_code.h"
#include "x86/insn/insn_regs.h"

#include "string.h"

#define LENGTH 4
#define LARGE_BYTES 0x200000ul
#define RESULT_FLAGS 0x8d5ul /* OF, SF, ZF, AF, PF, CF */
#define CARRY_FLAG 1ul
#define NPF_FETCH (1ul << 4)
#define NPF_SIZE (1ul << 35)
#define PF_PRESENT_RESERVED 9

static const uint8_t pvalidate[LENGTH] = {0xf2, 0x0f, 0x01, 0xff};
static const uint8_t rmpadjust[LENGTH] = {0xf3, 0x0f, 0x01, 0xfe};

/* L2's memory as its tables have it, whatever the RMP says. */
static struct space without_rmp(const struct l2 *l)
{
	struct space s = l->space;

	s.snp_asid = 0;
	return s;
}

/* -- #VC(404). ------------------------------------------------------------------------------------- */

/* Whether a linear address, or the page behind it, leads to the gpa; then *linear is what leads there. */
static bool leads_to(const struct space *s, uint64_t gpa, uint64_t *linear)
{
	for (unsigned page = 0; page < 2; page++) {
		uint64_t found, at = (*linear & ~(PAGE - 1)) + page * PAGE;
		struct miss miss;

		if (space_linear(s, at, false, &found, &miss) && found == (gpa & ~(PAGE - 1))) {
			*linear = at | (gpa & (PAGE - 1));
			return true;
		}
	}
	return false;
}

/*
 * For CR2: the emulator tells the gpa alone. What the access was for: the code, an operand, the stack; or what the CPU
 * looks up by itself, of which nobody can tell the linear address but by a table that is one to one.
 */
static uint64_t linear_address(struct l2 *l)
{
	const struct space s = without_rmp(l);
	struct vmcb *b = l->b;
	const struct insn_regs regs = cpu_insn_regs(l->cpu, b);
	uint64_t gpa = b->exit_info2, linear = b->rip + b->cs.base;
	const struct insn_operand *o;
	uint8_t code[INSN_MAX_LENGTH];
	struct insn insn;

	if (code_bits(b) == 64)
		linear = b->rip;
	if (b->exit_info1 & NPF_FETCH && leads_to(&s, gpa, &linear))
		return linear;
	if (insn_decode(&insn, code, space_code(&s, code), code_mode(b)) == INSN_OK) {
		o = insn_memory_operand(&insn);
		linear = o ? insn_linear(&insn, o, &regs, cpu_segment_base, b) : 0;
		if (o && leads_to(&s, gpa, &linear))
			return linear;
	}
	linear = b->rsp - 8;
	return leads_to(&s, gpa, &linear) ? linear : gpa;
}

static bool is_contributory(uint32_t what)
{
	unsigned vector = what & SVM_EVENT_VECTOR;

	return (what & SVM_EVENT_TYPE) == SVM_EXCEPTION &&
	       (vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_PF) ||
		vector == VECTOR_VC);
}

bool es_not_validated(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint32_t what = b->exit_int_info.what;

	if (what & SVM_EVENT_VALID && is_contributory(what))
		return l2_raise(l, VECTOR_DF, true, 0);
	/* A benign event that was on its way is lost; an instruction's own comes again. */
	l->soft.on = false;
	b->cr2 = linear_address(l);
	return es_raise_vc(l, SVM_EXIT_PAGE_NOT_VALIDATED);
}

/* -- The instructions. ----------------------------------------------------------------------------- */

struct page {
	uint64_t at, gpa, linear;
	bool large;
};

enum found { PAGE_FOUND, PAGE_EXCEPTION, PAGE_EXIT };

static enum found raised(bool goes_on)
{
	return goes_on ? PAGE_EXCEPTION : PAGE_EXIT;
}

/* The page that both are about, as far as it is the guest's own. */
static enum found find_page(struct l2 *l, struct page *p)
{
	const struct space s = without_rmp(l);
	struct vmcb *b = l->b;
	struct miss miss;
	void *at = space_linear(&s, p->linear, false, &p->gpa, &miss);

	if (!at) {
		if (miss.kind == MISS_OWN) {
			b->cr2 = p->linear;
			return raised(l2_raise(l, VECTOR_PF, true, 0));
		}
		es_nested_fault(l, &miss, false);
		return PAGE_EXIT;
	}
	/* A shared mapping has no page of the guest's behind it. */
	if (!miss.private) {
		b->cr2 = p->linear;
		return raised(l2_raise(l, VECTOR_PF, true, PF_PRESENT_RESERVED));
	}
	p->at = (uint64_t)at;
	miss.gpa = p->gpa;
	if (rmp_check(p->at, p->gpa, l->space.snp_asid, rmp_entry(p->at) & RMP_LARGE) ==
	    RMP_MISMATCH) {
		miss.kind = MISS_RMP;
		es_nested_fault(l, &miss, false);
		return PAGE_EXIT;
	}
	/* L1 is to make small pages of it. */
	if (rmp_entry(p->at) & RMP_LARGE && !p->large) {
		miss.kind = MISS_RMP;
		es_nested_fault(l, &miss, false);
		b->exit_info1 |= NPF_SIZE;
		return PAGE_EXIT;
	}
	return PAGE_FOUND;
}

static bool finish(struct l2 *l, enum rmp_result result, bool carry)
{
	struct vmcb *b = l->b;

	b->rax = result;
	b->rflags = (b->rflags & ~RESULT_FLAGS) | (carry ? CARRY_FLAG : 0);
	return l2_done(l, b->rip + LENGTH);
}

static bool do_pvalidate(struct l2 *l, const struct page *p)
{
	bool unchanged;
	enum rmp_result result = rmp_validate(p->at, l->cpu->regs.rdx & 1, p->large, &unchanged);

	return finish(l, result, unchanged);
}

static bool do_rmpadjust(struct l2 *l, const struct page *p)
{
	uint64_t what = l->cpu->regs.rdx;

	if (!(rmp_entry(p->at) & RMP_VALIDATED)) {
		l->b->cr2 = p->linear;
		return es_raise_vc(l, SVM_EXIT_PAGE_NOT_VALIDATED);
	}
	return finish(l, rmp_adjust(p->at, p->large, what & 0xff, what >> 8 & 0xff, what >> 16 & 1),
		      false);
}

bool es_snp_instruction(struct l2 *l)
{
	const struct space s = without_rmp(l);
	struct vmcb *b = l->b;
	struct page p = {.large = l->cpu->regs.rcx & 1};
	uint8_t code[INSN_MAX_LENGTH];
	bool validates;

	if (!l->space.snp_asid || space_code(&s, code) < LENGTH || !(b->cr0 & X86_CR0_PE))
		return l2_raise(l, VECTOR_UD, false, 0);
	validates = !memcmp(code, pvalidate, LENGTH);
	if (!validates && (memcmp(code, rmpadjust, LENGTH) || code_bits(b) != 64))
		return l2_raise(l, VECTOR_UD, false, 0);
	if (b->cpl)
		return l2_raise(l, VECTOR_GP, true, 0);
	p.linear = (code_bits(b) == 64 ? b->rax : (uint32_t)b->rax) & ~(PAGE - 1);
	if (p.large && p.linear & (LARGE_BYTES - 1))
		return finish(l, RMP_FAIL_INPUT, false);
	switch (find_page(l, &p)) {
	case PAGE_EXCEPTION:
		return true;
	case PAGE_EXIT:
		return false;
	default:
		return validates ? do_pvalidate(l, &p) : do_rmpadjust(l, &p);
	}
}
