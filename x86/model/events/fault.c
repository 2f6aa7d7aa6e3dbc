/* SPDX-License-Identifier: BSD-2-Clause */
#include "fault.h"

#include "bug.h"
#include "gate.h"
#include "insn.h"
#include "v86.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"

#define NOP 0x90

bool fault_is_intercepted(unsigned vector)
{
	switch (vector) {
	case VECTOR_BR:
	case VECTOR_UD:
		return bug_may_come(FAULT_AS_TRAP) || bug_may_come(DPL_FOR_EXCEPTIONS) ||
		       v86_intercepts(vector);
	case VECTOR_PF:
		return bug_is_set(PF_TWICE) || bug_is_set(FAULT_AS_TRAP);
	case VECTOR_GP:
		return bug_is_set(GP_AS_PF) || v86_intercepts(vector);
	case VECTOR_NP:
	case VECTOR_SS:
		return bug_is_set(GP_AS_PF);
	}
	return false;
}

/* The UD2 that closes a snippet gives the CPU back; without it no case could tell anything. */
static bool closes_snippet(const struct vcpu *v)
{
	uint8_t bytes[INSN_MAX_LENGTH];

	return insn_fetch(v, bytes) > 2 && bytes[0] == 0x0f && bytes[1] == 0x0b && bytes[2] != NOP;
}

static void reflect_page_fault(struct vcpu *v)
{
	v->vmcb.cr2 = v->vmcb.exit_info2;
	if (!(v->vmcb.exit_info1 & PF_FETCH) && !(v->event.what & SVM_EVENT_VALID) &&
	    bug(FAULT_AS_TRAP))
		v->vmcb.rip += 2;
	vcpu_raise(v, VECTOR_PF, v->vmcb.exit_info1);
	if (bug(PF_TWICE))
		v->again = v->event;
}

void fault_reflect(struct vcpu *v, unsigned vector)
{
	uint8_t gate[GATE_MOST_BYTES];

	if (vector == VECTOR_PF) {
		reflect_page_fault(v);
		return;
	}
	if (v86_intercepts(vector) && v86_let_through(v, vector))
		return;
	if (vector >= VECTOR_NP && vector <= VECTOR_GP && bug(GP_AS_PF)) {
		v->vmcb.cr2 = v->regs.rbx;
		vcpu_raise(v, VECTOR_PF, 0);
		return;
	}
	if (vector == VECTOR_GP) {
		vcpu_raise(v, vector, v->vmcb.exit_info1);
		return;
	}
	if (!closes_snippet(v) && bug(FAULT_AS_TRAP))
		v->vmcb.rip += 2;
	if (v->vmcb.cr0 & X86_CR0_PE && gate_read(v, vector, gate) &&
	    gate_dpl(gate) < v->vmcb.cpl && bug(DPL_FOR_EXCEPTIONS))
		vcpu_raise(v, VECTOR_GP, vector * 8 + 2);
	else
		vcpu_raise(v, vector, NO_ERROR);
}
