/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources: APM 2, "Page Validation", "RMP and VMPL Access Checks", "Large Page Management"; APM 3,
 * PVALIDATE and RMPADJUST. All vCPUs are at VMPL 0.
 */
#include "snp.h"

#include "bug.h"
#include "insn.h"
#include "memory.h"
#include "rmp.h"
#include "sev.h"
#include "vc.h"

#include "panic.h"
#include "string.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/insn/exit_code.h"
#include "x86/sev/snp.h"

/* -- An access to a page that L2 has not validated. -------------------------------------------- */

static bool maps_to(const struct vcpu *v, uint64_t linear, uint64_t gpa)
{
	uint64_t found, c_bit = 1ul << sev_c_bit_position();

	return memory_walk(v, linear, &found) && ((found ^ gpa) & ~c_bit) / PAGE_BYTES == 0;
}

/*
 * The exit names the physical address alone. What the access was for: the instruction's own bytes, an
 * operand, or what the CPU looks up by itself, which all payloads map one to one.
 */
static uint64_t linear_of(const struct vcpu *v, uint64_t gpa)
{
	uint64_t page = v->vmcb.rip & ~(PAGE_BYTES - 1), operand;

	gpa &= ~(1ul << sev_c_bit_position());
	if (maps_to(v, page, gpa))
		return page | gpa % PAGE_BYTES;
	if (!(v->vmcb.exit_int_info.what & SVM_EVENT_VALID)) {
		for (unsigned n = 0; insn_operand_address(v, n, &operand); n++)
			if (maps_to(v, operand, gpa))
				return (operand & ~(PAGE_BYTES - 1)) | gpa % PAGE_BYTES;
	}
	if (!maps_to(v, gpa, gpa))
		panic("model: no linear address known for %#lx, used by %#lx", gpa, v->vmcb.rip);
	return gpa;
}

static bool is_contributory(uint32_t what)
{
	unsigned vector = what & SVM_EVENT_VECTOR;

	return (what & SVM_EVENT_TYPE) == SVM_EXCEPTION &&
	       (vector == 0 || (vector >= 10 && vector <= VECTOR_PF) || vector == VECTOR_VC);
}

/* #VC counts as a contributory exception; a benign event is lost, and an instruction's own comes again. */
static void raise_not_validated(struct vcpu *v, uint64_t gpa)
{
	uint32_t vectoring = v->vmcb.exit_int_info.what;

	if (vectoring & SVM_EVENT_VALID && is_contributory(vectoring)) {
		vcpu_raise(v, VECTOR_DF, 0);
		return;
	}
	if (!bug(SNP_NO_CR2))
		v->vmcb.cr2 = linear_of(v, gpa);
	if (vectoring & SVM_EVENT_VALID && (vectoring & SVM_EVENT_TYPE) == SVM_SOFT_INT &&
	    !bug(SNP_EVENT_LOST))
		v->vmcb.rip = v->soft_rip;
	l2_raise_vc(v, bug(SNP_ERROR_CODE) ? SVM_EXIT_NPF : SVM_EXIT_PAGE_NOT_VALIDATED);
}

bool snp_access(struct vcpu *v, bool is_private)
{
	uint64_t gpa = v->vmcb.exit_info2 & ~(1ul << sev_c_bit_position());

	if (!rmp_covers(gpa))
		return false;
	rmp_assign(v, gpa, is_private);
	if (!is_private || rmp_is_validated(gpa) || bug(SNP_ALL_VALIDATED))
		return false;
	raise_not_validated(v, gpa);
	return true;
}

/* -- PVALIDATE and RMPADJUST. ------------------------------------------------------------------ */

/*
 * The page that both are about. False: the exception, or the code in *result, is what the instruction
 * ends with; the exit was taken care of.
 */
static bool find_page(struct vcpu *v, bool large, uint64_t *gpa, unsigned *result)
{
	uint64_t linear = v->vmcb.rax & ~(PAGE_BYTES - 1);

	*result = SNP_DONE;
	if (vcpu_bits(v) != 64)
		linear &= 0xffffffff;
	if (v->vmcb.cpl && !bug(SNP_USER)) {
		vcpu_raise(v, VECTOR_GP, 0);
		return false;
	}
	if (large && linear & (BLOCK_BYTES - 1) && !bug(SNP_SIZE)) {
		*result = SNP_FAIL_INPUT;
		return false;
	}
	if (!memory_walk(v, linear, gpa)) {
		v->vmcb.cr2 = linear;
		vcpu_raise(v, VECTOR_PF, 0);
		return false;
	}
	/* A shared mapping has no page of the guest's behind it. */
	if (!(*gpa >> sev_c_bit_position() & 1)) {
		v->vmcb.cr2 = linear;
		vcpu_raise(v, VECTOR_PF, PF_PRESENT | PF_RESERVED);
		return false;
	}
	*gpa &= ~(1ul << sev_c_bit_position());
	if (!rmp_covers(*gpa))
		*result = SNP_FAIL_INPUT;
	else if (large && !bug(SNP_SIZE))
		*result = SNP_FAIL_SIZE;
	else
		rmp_assign(v, *gpa, true);
	return *result == SNP_DONE;
}

static void finish(struct vcpu *v, unsigned result)
{
	v->vmcb.rax = result;
	vcpu_skip(v, SNP_INSN_LENGTH);
}

static bool is_raised(const struct vcpu *v)
{
	return v->event.what & SVM_EVENT_VALID;
}

static void do_pvalidate(struct vcpu *v)
{
	bool valid = v->regs.rdx & 1, unchanged = false;
	unsigned result;
	uint64_t gpa;

	if (find_page(v, v->regs.rcx & 1, &gpa, &result)) {
		unchanged = rmp_is_validated(gpa) == valid;
		rmp_validate(v, gpa, valid);
	}
	if (is_raised(v))
		return;
	v->vmcb.rflags &= ~(uint64_t)X86_EFLAGS_CF;
	if (unchanged && !bug(SNP_NO_CF))
		v->vmcb.rflags |= X86_EFLAGS_CF;
	finish(v, result);
}

static void do_rmpadjust(struct vcpu *v)
{
	unsigned result;
	uint64_t gpa;

	if (find_page(v, v->regs.rcx & 1, &gpa, &result)) {
		if (!rmp_is_validated(gpa)) {
			v->vmcb.cr2 = v->vmcb.rax;
			l2_raise_vc(v, SVM_EXIT_PAGE_NOT_VALIDATED);
			return;
		}
		/* Its own level is nobody's to change; there is nobody at the others. */
		if (!(v->regs.rdx & SNP_TARGET_VMPL) && !bug(SNP_OWN_VMPL))
			result = SNP_FAIL_PERMISSION;
		else
			rmp_make_vmsa(gpa, v->regs.rdx & SNP_MAKE_VMSA);
	}
	if (!is_raised(v))
		finish(v, result);
}

bool snp_insn(struct vcpu *v)
{
	static const uint8_t pvalidate_bytes[] = {SNP_PVALIDATE},
			     rmpadjust_bytes[] = {SNP_RMPADJUST};
	uint8_t bytes[INSN_MAX_LENGTH];

	if (insn_fetch(v, bytes) < SNP_INSN_LENGTH || !(v->vmcb.cr0 & X86_CR0_PE))
		return false;
	if (!memcmp(bytes, pvalidate_bytes, SNP_INSN_LENGTH))
		do_pvalidate(v);
	else if (!memcmp(bytes, rmpadjust_bytes, SNP_INSN_LENGTH) && vcpu_bits(v) == 64)
		do_rmpadjust(v);
	else
		return false;
	return true;
}
