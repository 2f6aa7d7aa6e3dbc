/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INT n, INT3, INTO and INT1, which are taken over before the CPU delivers them: only then is the length of
 * the instruction known for certain, whatever the frame may overwrite.
 */
#include "soft_int.h"

#include "bug.h"
#include "events.h"
#include "gate.h"
#include "gate16.h"
#include "memory.h"
#include "step.h"
#include "task.h"
#include "v86.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"

/* A software interrupt's fault about its gate. */
static void raise_for_gate(struct vcpu *v, unsigned vector, unsigned gate)
{
	unsigned scale = v->vmcb.efer & EFER_LMA && bug(IDT_ERROR_CODE_64) ? 16 : 8;

	step_end(v);
	if (!(v->vmcb.cr0 & X86_CR0_PE)) {
		vcpu_raise(v, vector, NO_ERROR);
		return;
	}
	vcpu_raise(v, vector, gate * scale + (bug(INT_N_EXT) ? 3 : 2));
}

/* The same of addresses that cannot be, or cannot be written to: the CPU would find out behind the instruction. */
static bool leads_somewhere(struct vcpu *v, const uint8_t *gate)
{
	struct stack_fault why;

	if (gate_has_no_stack(v, gate, &why)) {
		step_end(v);
		if (why.vector == VECTOR_PF)
			v->vmcb.cr2 = why.cr2;
		vcpu_raise(v, why.vector, why.error);
		return false;
	}
	if (gate_offset_is_canonical(gate) || bug(NONCANONICAL_GATE))
		return true;
	step_end(v);
	vcpu_raise(v, VECTOR_GP, 0);
	return false;
}

/* A table in a page of the user's, under SMAP. */
static bool table_is_open(struct vcpu *v, uint64_t linear)
{
	if (!(v->vmcb.efer & EFER_LMA) || !memory_closed_by_smap(v, linear))
		return true;
	step_end(v);
	v->vmcb.cr2 = linear;
	vcpu_raise(v, VECTOR_PF, PF_PRESENT);
	return false;
}

#define CONFORMING (1ull << 42)

/* SDM 2A, INT n, pseudocode: out of virtual-8086 mode, a segment of ring 0 alone. */
static bool v86_may_enter(const struct vcpu *v, uint64_t descriptor)
{
	return !(v->vmcb.rflags & X86_EFLAGS_VM) ||
	       (!(descriptor >> 45 & 3) && !(descriptor & CONFORMING)) || bug(V86_GATE_CPL);
}

/* What a gate's selector must name: a present code segment of the right size that this CPL may enter. */
static bool selector_allows(struct vcpu *v, uint16_t selector)
{
	const struct svm_segment *gdtr = &v->vmcb.gdtr;
	bool is_long = v->vmcb.efer & EFER_LMA;
	uint64_t d = 0;

	if (!table_is_open(v, gdtr->base + (selector & ~7u)))
		return false;
	if (selector & ~3 && !(selector & 4) && (selector | 7u) <= gdtr->limit &&
	    memory_read(v, gdtr->base + (selector & ~7u), &d, sizeof(d)) != sizeof(d))
		return true;
	if ((d >> 43 & 3) != 3 || (d >> 45 & 3) > v->vmcb.cpl || (is_long && (d >> 53 & 3) != 1) ||
	    !v86_may_enter(v, d)) {
		step_end(v);
		vcpu_raise(v, VECTOR_GP, selector & ~3);
		return false;
	}
	if (!(d >> 47 & 1)) {
		step_end(v);
		vcpu_raise(v, VECTOR_NP, selector & ~3);
		return false;
	}
	return true;
}

/* Whether the gate lets a software interrupt through; raises what it does not. */
static bool gate_allows(struct vcpu *v, unsigned vector)
{
	const struct vmcb *b = &v->vmcb;
	unsigned size = gate_bytes(v);
	uint8_t gate[GATE_MOST_BYTES];

	bool is_real = !(b->cr0 & X86_CR0_PE);

	if (((vector + 1) * size - 1 > b->idtr.limit && !(is_real && bug(REAL_LIMIT))) ||
	    ((vector + 1) * size - 1 == b->idtr.limit && bug(IDT_LIMIT))) {
		raise_for_gate(v, VECTOR_GP, vector);
		return false;
	}
	if (!table_is_open(v, b->idtr.base + vector * size))
		return false;
	/* The entries of real mode are an address and nothing else. */
	if (is_real || !gate_read(v, vector, gate))
		return true;
	if (gate_dpl(gate) < b->cpl && !bug(XSA_106) && !bug(INT_N_NO_DPL_CHECK)) {
		raise_for_gate(v, VECTOR_GP, vector);
		return false;
	}
	if (!(gate[5] & GATE_PRESENT)) {
		raise_for_gate(v, VECTOR_NP, vector);
		return false;
	}
	if (gate_is_task(v, gate))
		return true;
	if (b->cr0 & X86_CR0_PE && !selector_allows(v, gate[2] | gate[3] << 8))
		return false;
	return !(b->efer & EFER_LMA) || leads_somewhere(v, gate);
}

void soft_int(struct vcpu *v, unsigned vector, unsigned length, bool int_n)
{
	struct vmcb *b = &v->vmcb;

	uint8_t gate[GATE_MOST_BYTES];

	if (!gate_allows(v, vector))
		return;
	if (b->cr0 & X86_CR0_PE && gate_read(v, vector, gate) && gate_is_task(v, gate)) {
		task_switch(v, gate[2] | gate[3] << 8, length);
		return;
	}
	if (int_n && vector == VECTOR_PF && bug(INT_N_SIDE_EFFECTS))
		b->cr2 = 0xdead;
	if (int_n && vector == VECTOR_DB && bug(INT_N_SIDE_EFFECTS))
		b->dr6 = DR6_CLEAR | DR6_BS;
	if (int_n &&
	    (!(b->rflags & X86_EFLAGS_IF) || vcpu_in_shadow(v) || lapic_priority(&v->apic)) &&
	    bug(INT_N_MASKED)) {
		b->rip += length;
		return;
	}
	if (int_n && vector == VECTOR_NMI && bug(INT_2_AS_NMI)) {
		if (v->nmi_blocked) {
			v->nmi_pending = true;
			b->rip += length;
			return;
		}
		events_block_nmi(v);
	}
	if (int_n && lapic_has(&v->apic, vector) && bug(IPI_AS_INT_N) &&
	    lapic_merge(&v->apic, vector)) {
		b->rip += length;
		return;
	}
	step_end(v);
	if (b->rflags & X86_EFLAGS_RF && !bug(INT_N_KEEPS_RF))
		b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	v86_spoil_frame(v);
	v->soft_rip = b->rip;
	v->soft_int_n = int_n;
	if (!(int_n && vector < 32 && bug(INT_N_AS_EXCEPTION)))
		b->rip += length - (bug(INT_N_RIP) ? 1 : 0);
	if (b->cr0 & X86_CR0_PE && gate_read(v, vector, gate) && gate16_is_one(v, gate)) {
		gate16_deliver(v, gate);
		return;
	}
	if (int_n && exception_has_error_code(vector) &&
	    (bug(INT_N_ERROR_CODE) || (vector == VECTOR_GP && bug(INT_13_ERROR_CODE))))
		v->event = (struct svm_event){with_error_code(vector), 0};
	else
		v->event = (struct svm_event){SVM_EVENT_VALID | SVM_SOFT_INT | vector, 0};
}

void soft_int1(struct vcpu *v, unsigned length)
{
	struct vmcb *b = &v->vmcb;
	uint8_t gate[GATE_MOST_BYTES];

	step_end(v);
	/* An injected #DB that its gate refuses would fault behind the instruction. */
	if (b->cr0 & X86_CR0_PE && gate_read(v, VECTOR_DB, gate) && !(gate[5] & GATE_PRESENT)) {
		vcpu_raise(v, VECTOR_NP, VECTOR_DB * 8 + 3);
		return;
	}
	b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	b->rip += length;
	vcpu_raise(v, VECTOR_DB, NO_ERROR);
	v->int1 = true;
}
