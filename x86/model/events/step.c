/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single-step: L2's own, and ours over one instruction, by which a shadow is held and the end of an IRET is
 * found; #DB for whatever cause.
 */
#include "step.h"

#include "breakpoints.h"
#include "bug.h"
#include "exits.h"
#include "fault.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "sev/sev.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"

/* What an instruction can raise instead of being carried out. */
#define FAULTS                                                                \
	(EXCEPTION(VECTOR_DE) | EXCEPTION(VECTOR_BR) | EXCEPTION(VECTOR_UD) | \
	 EXCEPTION(VECTOR_NM) | EXCEPTION(VECTOR_TS) | EXCEPTION(VECTOR_NP) | \
	 EXCEPTION(VECTOR_SS) | EXCEPTION(VECTOR_GP) | EXCEPTION(VECTOR_PF) | \
	 EXCEPTION(VECTOR_MF) | EXCEPTION(VECTOR_AC) | EXCEPTION(VECTOR_XM))

/* An instruction that faults ends without its trap, and our TF must not get into the frame. */
static void intercept_faults(struct vcpu *v, bool on)
{
	for (unsigned vector = 0; vector < 32; vector++)
		if (FAULTS >> vector & 1)
			intercept_exception(&v->vmcb, vector, on || fault_is_intercepted(vector));
}

void step_one(struct vcpu *v)
{
	if (v->stepping)
		return;
	v->stepping = true;
	v->own_tf = v->vmcb.rflags & X86_EFLAGS_TF;
	v->own_dr6 = v->vmcb.dr6;
	v->vmcb.rflags |= X86_EFLAGS_TF;
	intercept_exception(&v->vmcb, VECTOR_DB, true);
	intercept_faults(v, true);
}

void step_break_behind(struct vcpu *v, unsigned hit)
{
	step_one(v);
	v->page_hit = hit;
}

void step_swallow(struct vcpu *v)
{
	step_one(v);
	v->swallow = true;
}

static bool debug_may_be_spoilt(void)
{
	return bug_may_come(STEP_LOST) || bug_may_come(STEP_DOUBLED) ||
	       bug_may_come(DATA_BREAKPOINT_LOST) || bug_may_come(CODE_BREAKPOINT_LOST) ||
	       bug_may_come(KVM_CODEBP_MOVSS);
}

void step_debug_intercept(struct vcpu *v)
{
	intercept_exception(&v->vmcb, VECTOR_DB,
			    debug_may_be_spoilt() || v->debugctl & DEBUGCTL_BTF);
}

static void step_over(struct vcpu *v)
{
	v->stepping = v->late = false;
	step_debug_intercept(v);
	intercept_faults(v, false);
	if (!v->iret_in_step)
		return;
	v->iret_in_step = false;
	v->nmi_blocked = bug(NMI_STAYS_BLOCKED);
}

bool step_done(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;
	bool iret = v->iret_in_step;

	/* Bochs forgets to write it; where it matters there are no breakpoints that it could be. */
	if (!(b->dr6 & (DR6_BD | DR6_BS | DR6_BT | 15)))
		b->dr6 |= DR6_BS;
	if (!v->stepping)
		return false;
	step_over(v);
	if (iret) {
		/* IRET has loaded TF itself and touches no data that could be watched; TCG shows old hits. */
		b->dr6 = v->own_dr6 | (v->own_tf ? DR6_BS : 0);
		return !v->own_tf;
	}
	if (!v->own_tf)
		b->rflags &= ~(uint64_t)X86_EFLAGS_TF;
	if (v->swallow) {
		v->swallow = false;
		b->dr6 = v->own_dr6;
		return true;
	}
	if (v->page_hit) {
		b->dr6 = (b->dr6 & ~(uint64_t)(v->own_tf ? 0 : DR6_BS)) | v->page_hit;
		v->page_hit = 0;
		return false;
	}
	if (v->own_tf || b->dr6 & 15)
		return false;
	b->dr6 &= ~(uint64_t)DR6_BS;
	return true;
}

void step_end(struct vcpu *v)
{
	if (!v->stepping)
		return;
	step_over(v);
	v->swallow = false;
	if (!v->own_tf)
		v->vmcb.rflags &= ~(uint64_t)X86_EFLAGS_TF;
}

bool step_emulated(struct vcpu *v)
{
	bool traps = v->stepping ? v->own_tf : v->vmcb.rflags & X86_EFLAGS_TF;

	step_end(v);
	return traps;
}

/* All but NOP: for a bug that a hypervisor has where it emulates. */
static bool may_exit(const struct vcpu *v)
{
	uint8_t bytes[INSN_MAX_LENGTH];

	return insn_fetch(v, bytes) && bytes[0] != 0x90;
}

/* Jumps are all that cases step over this way: short and near ones. */
static bool is_jump_at(struct vcpu *v, uint64_t rip)
{
	uint64_t now = v->vmcb.rip;
	uint8_t bytes[INSN_MAX_LENGTH];
	bool known;

	v->vmcb.rip = rip;
	known = rip && insn_fetch(v, bytes);
	v->vmcb.rip = now;
	return known && (bytes[0] == 0xeb || bytes[0] == 0xe9);
}

/* SDM 3B, "Single-Stepping on Branches": with BTF a step goes on to the next branch, where BTF ends. */
static bool step_goes_on(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;

	if (!(v->debugctl & DEBUGCTL_BTF) || (b->dr6 & (DR6_BS | 15)) != DR6_BS)
		return false;
	if (!is_jump_at(v, v->branch_rip) && !bug(BTF_IGNORED)) {
		b->dr6 &= ~(uint64_t)DR6_BS;
		v->branch_rip = b->rip;
		return true;
	}
	v->debugctl &= ~DEBUGCTL_BTF;
	step_debug_intercept(v);
	return false;
}

void step_debug(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;

	if (step_goes_on(v))
		return;
	if (b->dr6 & DR6_BS && !(b->dr6 & 15) && bug(STEP_LOST)) {
		b->dr6 &= ~(uint64_t)DR6_BS;
		return;
	}
	if (breakpoints_of_code(v) &&
	    ((vcpu_in_shadow(v) && may_exit(v) && bug(KVM_CODEBP_MOVSS)) ||
	     bug(CODE_BREAKPOINT_LOST))) {
		b->dr6 &= ~15ul;
		b->rflags |= X86_EFLAGS_RF;
		return;
	}
	if (breakpoints_of_data(v) && bug(DATA_BREAKPOINT_LOST)) {
		b->dr6 &= ~15ul;
		return;
	}
	vcpu_raise(v, VECTOR_DB, NO_ERROR);
	if (b->dr6 & DR6_BS && bug(STEP_DOUBLED))
		v->again = v->event;
}

bool step_faulted(struct vcpu *v)
{
	uint64_t vector = v->vmcb.exit_code - SVM_EXIT_EXCEPTION;

	if (!v->stepping || vector >= 32 || !(FAULTS >> vector & 1))
		return false;
	/* Somebody else's: what is unknown may be PVALIDATE, and #AC is a #VC. */
	if ((vector == VECTOR_UD && l2_is_snp()) || (vector == VECTOR_AC && l2_is_es()))
		return false;
	step_end(v);
	v->page_hit = 0;
	if (vector == VECTOR_PF)
		v->vmcb.cr2 = v->vmcb.exit_info2;
	vcpu_raise(v, vector,
		   exception_has_error_code(vector) ? (int)v->vmcb.exit_info1 : NO_ERROR);
	return true;
}

/* For a bug alone: what IRET is about to load as RFLAGS. */
static void spoil_rf(struct vcpu *v)
{
	uint64_t at = v->vmcb.rsp + 2 * (vcpu_bits(v) / 8), flags = 0;

	v->iret_seen = true;
	if (memory_read(v, at, &flags, 4) != 4 || !(flags & X86_EFLAGS_RF) ||
	    !breakpoints_on_code(v) || !bug(RF_IGNORED))
		return;
	flags &= ~(uint64_t)X86_EFLAGS_RF;
	memory_write(v, at, &flags, 4);
}

void step_iret(struct vcpu *v)
{
	if (bug_is_set(RF_IGNORED))
		spoil_rf(v);
	if (!v->nmi_blocked)
		return;
	intercept(&v->vmcb, SVM_INTERCEPT_IRET, false);
	v->iret_in_step = true;
	step_one(v);
}
