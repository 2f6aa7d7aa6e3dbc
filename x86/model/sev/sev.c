/* SPDX-License-Identifier: BSD-2-Clause */
#include "sev.h"

#include "bug.h"
#include "calls.h"
#include "events/step.h"
#include "exits.h"
#include "ghcb.h"
#include "hostile.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "rmp.h"
#include "snp.h"
#include "snp_launch.h"
#include "time.h"
#include "vc.h"

#include "panic.h"
#include "string.h"
#include "x86/arch/exceptions.h"
#include "x86/insn/exit_code.h"
#include "x86/sev/ghcb_msr.h"

#define MSR_SEV_STATUS 0xc0010131
#define CPUID_SEV 0x8000001f
#define CPUID_EXTENDED 0x80000000
#define CPUID_ADDRESS_BITS 0x80000008

#define CR0_ET (1u << 4)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR4_PAE (1u << 5)

/* #NPF: what was accessed, and how. */
#define NPF_FETCH (1ull << 4)
#define NPF_TABLE_WALK (1ull << 33)

#define MOST_C_BIT 47 /* the nested tables of QEMU take no notice of higher ones */

static enum { NONE, SEV, SEV_ES, SEV_SNP } mode; /* each has what the ones before it have */
static unsigned c_bit;

bool sev_switch_on(const char *word)
{
	static const char *const names[] =
		{[SEV] = "sev", [SEV_ES] = "sev-es", [SEV_SNP] = "sev-snp"};

	for (unsigned i = SEV; i <= SEV_SNP; i++)
		if (starts_with(word, names[i]) && word[strlen(names[i])] <= ' ')
			mode = i;
	return mode != NONE;
}

bool l2_is_sev(void)
{
	return mode != NONE;
}

bool l2_is_es(void)
{
	return mode >= SEV_ES;
}

bool l2_is_snp(void)
{
	return mode == SEV_SNP;
}

unsigned sev_c_bit_position(void)
{
	return c_bit;
}

/* KVM's own choice (docs/sev.md). */
static void init_es_maps(void)
{
	static const uint32_t free_msrs[] = {
		0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0x174,
		0xc0000100, 0xc0000101, 0xc0000102, 0x277,
	};

	intercept_all_ports();
	intercept_all_msrs();
	for (unsigned i = 0; i < sizeof(free_msrs) / sizeof(free_msrs[0]); i++)
		pass_msr(free_msrs[i]);
}

void sev_init(const void *rom, uint64_t rom_bytes)
{
	unsigned bits = cpuid(CPUID_ADDRESS_BITS, 0).a & 0xff;

	if (mode == NONE)
		return;
	c_bit = bits - 1 < MOST_C_BIT ? bits - 1 : MOST_C_BIT;
	memory_set_c_bit(1ul << c_bit);
	if (l2_is_es())
		init_es_maps();
	intercept_msr(MSR_SEV_STATUS);
	intercept_msr(MSR_GHCB);
	if (l2_is_snp())
		snp_launch(rom, rom_bytes);
}

void sev_cpuid(uint32_t leaf, struct cpuid *r)
{
	if (leaf == CPUID_EXTENDED && r->a < CPUID_SEV)
		r->a = CPUID_SEV;
	if (leaf == CPUID_SEV)
		*r = (struct cpuid){.a = 1u << 1 | (uint32_t)l2_is_es() << 3 |
					 (uint32_t)l2_is_snp() << 4,
				    .b = c_bit | 1u << 6};
}

bool sev_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_SEV_STATUS)
		*value = mode == SEV_SNP ? 7 : mode == SEV_ES ? 3 : 1;
	else if (msr == MSR_GHCB && l2_is_es())
		*value = v->ghcb_msr;
	else
		return false;
	return true;
}

bool sev_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	if (msr != MSR_GHCB || !l2_is_es())
		return false;
	v->ghcb_msr = value;
	return true;
}

/* -- Intercepts. ------------------------------------------------------------------------------- */

/* KVM's own choice (docs/sev.md). */
static void init_es(struct vmcb *b)
{
	static const uint8_t wanted[] = {
		SVM_INTERCEPT_RDPMC, SVM_INTERCEPT_INVD,   SVM_INTERCEPT_TASK_SWITCH,
		SVM_INTERCEPT_RSM,   SVM_INTERCEPT_WBINVD, SVM_INTERCEPT_MONITOR,
		SVM_INTERCEPT_MWAIT,
	};

	for (unsigned i = 0; i < sizeof(wanted); i++)
		intercept(b, wanted[i], true);
	b->intercept_dr_read = b->intercept_dr_write = 1u << 7;
}

void sev_init_intercepts(struct vcpu *v)
{
	if (mode == NONE)
		return;
	/* Paging on or off decides which view L2 has. */
	v->vmcb.intercept_cr_write |= 1u << 0;
	if (l2_is_es())
		init_es(&v->vmcb);
}

/* -- Memory. ----------------------------------------------------------------------------------- */

static bool is_paged(const struct vmcb *b)
{
	return b->cr0 & X86_CR0_PG && b->cr4 & CR4_PAE;
}

void sev_view_changed(struct vcpu *v)
{
	v->vmcb.nested_cr3 = memory_root(is_paged(&v->vmcb));
	v->vmcb.tlb_control = SVM_TLB_FLUSH_ALL;
}

/* APM 2, "CR0 Register" and "Activating Long Mode"; the CPU does it without an exit. */
static void write_cr0_of(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;
	uint64_t value;
	unsigned length;
	int reg;

	/* Bochs has already cleared it for a CR0 that is not yet written. */
	if (b->cr0 & X86_CR0_PG && b->efer & EFER_LME)
		b->efer |= EFER_LMA;
	reg = insn_mov_cr(v, &length);
	if (reg < 0)
		panic("model: no MOV CR0 at %#lx", b->rip);
	value = *vcpu_reg(v, reg) | CR0_ET;
	if (value >> 32 || (value & X86_CR0_PG && !(value & X86_CR0_PE)) ||
	    (value & CR0_NW && !(value & CR0_CD)) ||
	    (value & X86_CR0_PG && b->efer & EFER_LME && !(b->cr4 & CR4_PAE))) {
		vcpu_raise(v, VECTOR_GP, 0);
		return;
	}
	if (value & X86_CR0_PG && b->efer & EFER_LME)
		b->efer |= EFER_LMA;
	else
		b->efer &= ~(uint64_t)EFER_LMA;
	b->cr0 = value;
	sev_view_changed(v);
	vcpu_skip(v, length);
}

void *sev_shared(uint64_t gpa, uint64_t bytes)
{
	if (gpa >= L2_RAM_BYTES || bytes > 4096 - gpa % 4096)
		return NULL;
	if (l2_is_snp() && rmp_is_private(gpa))
		return NULL;
	return memory_at(gpa);
}

/* Page walks and instruction fetches are private, whatever the C-bit of the entry says. */
static bool is_private(const struct vcpu *v)
{
	return !is_paged(&v->vmcb) || v->vmcb.exit_info2 >> c_bit & 1 ||
	       v->vmcb.exit_info1 & (NPF_TABLE_WALK | NPF_FETCH);
}

bool sev_map(struct vcpu *v)
{
	uint64_t gpa = v->vmcb.exit_info2, bit = 1ul << c_bit;

	if (!is_paged(&v->vmcb))
		return memory_map(gpa | bit);
	if (!(gpa & bit) && is_private(v))
		return memory_map_private(gpa);
	if (memory_map(gpa))
		return true;
	if (gpa & bit)
		panic("model: a private access at %#lx to %#lx, where there is a device or nothing",
		      v->vmcb.rip, gpa & ~bit);
	return false;
}

/* -- SEV-ES: what is an exit, what is a #VC. --------------------------------------------------- */

static void vmgexit_or_vc(struct vcpu *v)
{
	struct insn insn;

	if (!insn_at_rip(v, &insn) || insn.op != INSN_OP_VMGEXIT ||
	    (insn.rep == INSN_REPNE && bug(VMGEXIT_AS_VMMCALL))) {
		l2_raise_vc(v, SVM_EXIT_VMMCALL);
		return;
	}
	/* RIP is the hardware's business, and moves first. */
	vcpu_skip(v, insn.length);
	l2_vmgexit(v);
}

static bool msr_exit(struct vcpu *v)
{
	switch ((uint32_t)v->regs.rcx) {
	case MSR_EFER:
	case MSR_GHCB:
	case MSR_SEV_STATUS:
		return false;
	}
	l2_raise_vc(v, SVM_EXIT_MSR);
	return true;
}

/* Emulators confuse some codes: the instruction tells. */
static unsigned code_of_hardware(const struct vcpu *v, unsigned code)
{
	struct insn insn;

	if (!insn_at_rip(v, &insn))
		return code;
	switch (insn.op) {
	case INSN_OP_RDTSCP:
		return SVM_EXIT_RDTSCP;
	case INSN_OP_INVD:
		return SVM_EXIT_INVD;
	case INSN_OP_CPUID:
		/* Not at CPL 0, where the guest needs it to come to its tests. */
		return v->vmcb.cpl && bug(VC_WRONG_CODE) ? SVM_EXIT_RDTSC : SVM_EXIT_CPUID;
	}
	return code;
}

/* For a bug alone #GP is intercepted, and what raised it may be RDMSR or IN. */
static bool vc_for_gp(struct vcpu *v)
{
	struct insn insn;

	if (insn_at_rip(v, &insn) && insn.op == INSN_OP_RDMSR && bug(VC_BEFORE_GP))
		l2_raise_vc(v, SVM_EXIT_MSR);
	else if (insn_at_rip(v, &insn) && insn.op == INSN_OP_IN && bug(VC_BEFORE_GP))
		l2_raise_vc(v, SVM_EXIT_IOIO);
	else
		vcpu_raise(v, VECTOR_GP, v->vmcb.exit_info1);
	return true;
}

/* Not wanted, and only here because the emulator has one intercept for two instructions. */
static bool tsc_exit(struct vcpu *v)
{
	uint64_t now = time_now();
	struct insn insn;

	if (!insn_at_rip(v, &insn) || insn.op != INSN_OP_RDTSC ||
	    hostile_tsc_intercepts & MODEL_INTERCEPT_RDTSC)
		return false;
	v->vmcb.rax = (uint32_t)now;
	v->regs.rdx = now >> 32;
	vcpu_skip(v, insn.length);
	return true;
}

static bool es_exit(struct vcpu *v)
{
	uint64_t code = v->vmcb.exit_code;

	switch (code) {
	case SVM_EXIT(INTR):
	case SVM_EXIT(NMI):
	case SVM_EXIT(VINTR):
	case SVM_EXIT(HLT):
	case SVM_EXIT(SHUTDOWN):
	case SVM_EXIT(INTN):
	case SVM_EXIT(ICEBP):
	case SVM_EXIT_EXCEPTION + VECTOR_BP:
	case SVM_EXIT_EXCEPTION + VECTOR_OF:
	case SVM_EXIT_EXCEPTION + VECTOR_NP:
	case SVM_EXIT_EXCEPTION + VECTOR_SS:
	case SVM_EXIT_EXCEPTION + VECTOR_PF:
	case SVM_EXIT_READ_CR0 + 8:
	case SVM_EXIT_WRITE_CR0 + 8:
	case SVM_EXIT_INVALID:
	case 0xffffffff:
		return false;
	case SVM_EXIT_EXCEPTION + VECTOR_GP:
		return vc_for_gp(v);
	case SVM_EXIT_EXCEPTION + VECTOR_DB:
		if (step_done(v))
			return true;
		l2_raise_vc(v, SVM_EXIT_EXCP_DB);
		return true;
	case SVM_EXIT(PAUSE):
		return hostile_pause(v);
	case SVM_EXIT(MSR):
		return msr_exit(v);
	case SVM_EXIT(VMMCALL):
		vmgexit_or_vc(v);
		return true;
	case SVM_EXIT_EXCEPTION + VECTOR_UD:
		return l2_is_snp() && snp_insn(v);
	case SVM_EXIT_NPF:
		if (l2_is_snp() && snp_access(v, is_private(v)))
			return true;
		if (!sev_map(v))
			l2_raise_vc(v, SVM_EXIT_NPF);
		return true;
	}
	if (code == SVM_EXIT(RDTSC) && tsc_exit(v))
		return true;
	l2_raise_vc(v, code_of_hardware(v, code));
	return true;
}

bool sev_exit(struct vcpu *v)
{
	if (v->vmcb.exit_code == SVM_EXIT_WRITE_CR0) {
		write_cr0_of(v);
		return true;
	}
	return l2_is_es() && es_exit(v);
}

/* Both exceptions are KVM's to intercept; a #DB that we raise ourselves is one of them, but for INT1's. */
void sev_before_entry(struct vcpu *v)
{
	if (!l2_is_es())
		return;
	intercept_exception(&v->vmcb, VECTOR_DB, true);
	intercept_exception(&v->vmcb, VECTOR_AC, true);
	if (l2_is_snp())
		intercept_exception(&v->vmcb, VECTOR_UD, true);
	if (bug_may_come(VC_BEFORE_GP))
		intercept_exception(&v->vmcb, VECTOR_GP, true);
	if (v->event.what == (SVM_EVENT_VALID | SVM_EXCEPTION | VECTOR_DB) && !v->int1) {
		v->event.what = 0;
		l2_raise_vc(v, SVM_EXIT_EXCP_DB);
	}
}
