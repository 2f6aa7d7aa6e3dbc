/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes of control registers and EFER by a sealed guest. The CPU carries them out, and tells L1 afterwards where that
 * has asked for the trap. APM 2, "Control Register Write Traps"; APM 2, "CR0 Register" to "CR4 Register" for what is
 * refused.
 */
#include "es.h"

#include "base/log.h"
#include "base/opcode.h"

/* In the intercepts, counted as SVM_INTERCEPT_…: exit codes 0x8f and 0x90 + n. */
#define TRAP_EFER (SVM_EXIT_EFER_TRAP - 0x60)
#define TRAP_CR (SVM_EXIT_CR_TRAP - 0x60)

#define CR0_TS (1ul << 3)
#define CR0_ET (1ul << 4)
#define CR0_NW (1ul << 29)
#define CR0_CD (1ul << 30)
#define CR0_LMSW 0xful /* PE, MP, EM, TS */
#define CR4_PCIDE (1ul << 17)
#define STATUS_SEV_ES 3
#define STATUS_SNP 4
#define CS_LONG (1u << 9)

#define GP_AT(l) l2_raise(l, VECTOR_GP, true, 0)

/* Bits that a processor has by what CPUID says. APM 2, "CR4 Register". */
static uint64_t cr4_bits(void)
{
	struct cpuid c1 = cpuid(1, 0), c7 = cpuid(7, 0);
	uint64_t bits = 0x7ff;

	bits |= (c7.c >> 2 & 1ul) << 11;  /* UMIP */
	bits |= (c7.c >> 16 & 1ul) << 12; /* LA57 */
	bits |= (c7.b >> 0 & 1ul) << 16;  /* FSGSBASE */
	bits |= (c1.c >> 17 & 1ul) << 17; /* PCIDE */
	bits |= (c1.c >> 26 & 1ul) << 18; /* OSXSAVE */
	bits |= (c7.b >> 7 & 1ul) << 20;  /* SMEP */
	bits |= (c7.b >> 20 & 1ul) << 21; /* SMAP */
	bits |= (c7.c >> 3 & 1ul) << 22;  /* PKE */
	return bits;
}

static bool cr0_is_wrong(const struct vmcb *b, uint64_t value)
{
	bool paging = value & X86_CR0_PG;

	if (value >> 32 || (paging && !(value & X86_CR0_PE)) ||
	    (value & CR0_NW && !(value & CR0_CD)))
		return true;
	if (paging && !(b->cr0 & X86_CR0_PG) && b->efer & EFER_LME &&
	    (!(b->cr4 & X86_CR4_PAE) || b->cs.attributes & CS_LONG))
		return true;
	return !paging && b->efer & EFER_LMA && (b->cs.attributes & CS_LONG || b->cr4 & CR4_PCIDE);
}

static bool cr4_is_wrong(const struct vmcb *b, uint64_t value)
{
	return value & ~cr4_bits() || (b->efer & EFER_LMA && !(value & X86_CR4_PAE)) ||
	       (value & CR4_PCIDE && !(b->cr4 & CR4_PCIDE) &&
		(!(b->efer & EFER_LMA) || b->cr3 & 0xfff));
}

/* False: #GP. */
static bool write(struct vmcb *b, unsigned number, uint64_t value)
{
	switch (number) {
	case 0:
		if (cr0_is_wrong(b, value))
			return false;
		if (value & X86_CR0_PG && b->efer & EFER_LME)
			b->efer |= EFER_LMA;
		else
			b->efer &= ~(uint64_t)EFER_LMA;
		b->cr0 = value;
		return true;
	case 4:
		if (cr4_is_wrong(b, value))
			return false;
		b->cr4 = value;
		return true;
	default:
		if (value & ~SVM_V_TPR)
			return false;
		b->int_control = (b->int_control & ~SVM_V_TPR) | value;
		return true;
	}
}

/* The trap that L1 asked for, or on. */
static bool written(struct l2 *l, unsigned trap, uint64_t exit_code, uint64_t value, uint64_t next)
{
	struct vmcb *b = l->b;

	if (!l2_wants(l, trap))
		return l2_done(l, next);
	move_rip(b, next);
	/* A single-step trap is due behind the instruction as well. It is L2's before L1 hears of the write. */
	if (b->rflags & X86_EFLAGS_TF) {
		b->dr6 |= DR6_BS;
		if (!(l->wished.exceptions >> VECTOR_DB & 1))
			stop("SEV-ES: L2 steps over a write that is trapped, and L1 lets #DB through: the monitor "
			     "has no place for it");
		if (!es_raise_vc(l, SVM_EXIT_EXCEPTION + VECTOR_DB))
			return false;
	}
	b->exit_code = exit_code;
	b->exit_info1 = value;
	b->exit_info2 = 0;
	return false;
}

bool es_write_cr(struct l2 *l)
{
	struct vmcb *b = l->b;
	unsigned number = 0;
	uint8_t code[15];
	struct opcode o;
	uint64_t value;

	if (!opcode_at(&o, code, space_code(&l->space, code), code_bits(b)) || o.map != 1)
		stop("SEV-ES: no write of a control register at %#lx", b->rip);
	value = *cpu_gpr(l->cpu, b, opcode_rm(&o));
	if (o.number == 0x22) {
		number = opcode_reg(&o);
		if (code_bits(b) != 64)
			value = (uint32_t)value;
	} else if (o.number == 0x06) {
		value = b->cr0 & ~CR0_TS;
	} else if (o.modrm >= 0xc0) {
		value = (b->cr0 & ~CR0_LMSW) | (value & CR0_LMSW) | (b->cr0 & X86_CR0_PE);
	} else {
		stop("SEV-ES: LMSW from memory at %#lx is not carried out by the monitor", b->rip);
	}
	if (l->wished.cr_write >> number & 1)
		return es_raise_vc(l, SVM_EXIT_WRITE_CR0 + number);
	if (number == 0)
		value |= CR0_ET;
	if (!write(b, number, value))
		return GP_AT(l);
	return written(l, TRAP_CR + number, SVM_EXIT_CR_TRAP + number, value, b->rip + o.length);
}

static bool write_efer(struct l2 *l, uint64_t value, uint64_t next)
{
	struct vmcb *b = l->b;

	if (b->cr0 & X86_CR0_PG && (value ^ b->efer) & EFER_LME)
		return GP_AT(l);
	b->efer = (value & ~(uint64_t)EFER_LMA) | (b->efer & EFER_LMA) | EFER_SVME;
	return written(l, TRAP_EFER, SVM_EXIT_EFER_TRAP, value, next);
}

/* The GHCB's MSR and SEV_STATUS are no hypervisor's to intercept; writes of EFER are traps. */
bool es_msr(struct l2 *l, struct vmcb *theirs)
{
	struct vmcb *b = l->b;
	uint32_t msr = l->cpu->regs.rcx;
	bool is_write = b->exit_info1 & 1;
	uint64_t value = cpu_get_pair(l->cpu, b);
	uint8_t code[15];
	struct opcode o;

	if (!opcode_at(&o, code, space_code(&l->space, code), code_bits(b)))
		return es_raise_vc(l, b->exit_code);
	if (msr == MSR_EFER && is_write)
		return write_efer(l, value, b->rip + o.length);
	if (msr == MSR_GHCB && is_write)
		theirs->ghcb = value;
	else if (msr == MSR_GHCB)
		cpu_set_pair(l->cpu, b, theirs->ghcb);
	else if (msr == MSR_SEV_STATUS && !is_write)
		cpu_set_pair(l->cpu, b, STATUS_SEV_ES | (l->space.snp_asid ? STATUS_SNP : 0));
	else
		return es_raise_vc(l, b->exit_code);
	return l2_done(l, b->rip + o.length);
}
