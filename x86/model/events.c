/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery. The order is that of the manuals (APM 2, "Event Injection"; SDM 3A, "Priority Among
 * Concurrent Events"): what an exit interrupted comes first, then an NMI, then the local APIC.
 *
 * Software interrupts are taken over before the CPU delivers them (INTn intercept): only then is the
 * length of the instruction known for certain, whatever the frame may overwrite.
 */
#include "events.h"

#include "bug.h"
#include "intercepts.h"
#include "memory.h"

#include "string.h"
#include "x86/cpu.h"
#include "x86/desc.h"

#define VECTOR_DB 1
#define VECTOR_NP 11
#define VECTOR_GP 13

static bool in_shadow(const struct vcpu *v)
{
	return v->vmcb.int_state & SVM_INTERRUPT_SHADOW;
}

static void step(struct vcpu *v)
{
	if (v->stepping)
		return;
	v->stepping = true;
	v->own_tf = v->vmcb.rflags & X86_EFLAGS_TF;
	v->vmcb.rflags |= X86_EFLAGS_TF;
	intercept_exception(&v->vmcb, VECTOR_DB, true);
}

static void inject(struct vcpu *v, uint32_t what, uint32_t error)
{
	v->vmcb.inject = (struct svm_event){what, error};
}

static void inject_nmi(struct vcpu *v)
{
	v->nmi_pending = bug(MODEL_NMI_TWICE) && !v->nmi_blocked;
	v->nmi_blocked = true;
	v->halted = false;
	if (bug(MODEL_NMI_UNBLOCKED_EARLY))
		v->nmi_blocked = false;
	else
		intercept(&v->vmcb, SVM_INTERCEPT_IRET, true);
	inject(v, SVM_EVENT_VALID | SVM_NMI | 2, 0);
}

static void inject_interrupt(struct vcpu *v, unsigned vector)
{
	lapic_accept(&v->apic, vector);
	v->halted = false;
	if (bug(MODEL_IPI_ERRCODE) &&
	    (vector == 17 || vector == 21 || vector == 29 || vector == 30)) {
		inject(v, SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | vector, 0xdead);
		return;
	}
	inject(v, SVM_EVENT_VALID | SVM_INTR | vector, 0);
}

/*
 * An exit (VINTR) as soon as the CPU would take an interrupt. Priorities are not its business: what the
 * emulated APIC does not let through yet waits for a write to that APIC, which exits by itself.
 */
static void open_window(struct vcpu *v, bool open)
{
	v->vmcb.int_control &= ~(SVM_V_TPR | SVM_V_IRQ);
	v->vmcb.int_control |= SVM_V_IGNORE_TPR;
	if (open)
		v->vmcb.int_control |= SVM_V_IRQ;
}

void events_before_entry(struct vcpu *v)
{
	bool enabled = v->vmcb.rflags & X86_EFLAGS_IF;
	int vector = lapic_deliverable(&v->apic);

	inject(v, 0, 0);
	open_window(v, false);
	if (v->event.what & SVM_EVENT_VALID) {
		inject(v, v->event.what, v->event.error);
		v->event.what = 0;
		open_window(v, vector >= 0);
		return;
	}
	if (v->nmi_pending && !v->nmi_blocked && !v->iret_in_step && !in_shadow(v)) {
		inject_nmi(v);
		return;
	}
	if (v->nmi_pending && !v->nmi_blocked)
		step(v);
	if (vector < 0)
		return;
	if (enabled && !in_shadow(v))
		inject_interrupt(v, vector);
	else if (enabled)
		step(v); /* not every emulator loads the shadow at VMRUN: hold it by stepping */
	else
		open_window(v, true);
}

void events_after_exit(struct vcpu *v)
{
	struct svm_event e = v->vmcb.exit_int_info;

	if (e.what & SVM_EVENT_VALID && !bug(MODEL_EVENT_LOST))
		v->event = e;
}

bool events_step_done(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;

	if (!v->stepping)
		return false;
	v->stepping = false;
	intercept_exception(b, VECTOR_DB, false);
	if (v->iret_in_step) {
		/* IRET has loaded TF itself. */
		v->iret_in_step = v->nmi_blocked = false;
	} else if (!v->own_tf) {
		b->rflags &= ~(uint64_t)X86_EFLAGS_TF;
	}
	if (v->own_tf || b->dr6 & 15)
		return false;
	b->dr6 &= ~(uint64_t)DR6_BS;
	return true;
}

void events_iret(struct vcpu *v)
{
	intercept(&v->vmcb, SVM_INTERCEPT_IRET, false);
	v->iret_in_step = true;
	step(v);
}

/* Whether the gate lets a software interrupt through; raises what it does not. */
static bool gate_allows(struct vcpu *v, unsigned vector)
{
	const struct vmcb *b = &v->vmcb;
	bool wide = b->efer & (1u << 10);
	unsigned size = wide ? 16 : 8, scale = bug(TCG_IDT_ERRCODE_64) ? size : 8;
	uint8_t gate[16];

	if ((vector + 1) * size - 1 > b->idtr.limit) {
		vcpu_raise(v, VECTOR_GP, vector * scale + 2);
		return false;
	}
	if (memory_read(v, b->idtr.base + vector * size, gate, size) != size)
		return true;
	if ((gate[5] >> 5 & 3) < b->cpl && !bug(XSA_106)) {
		vcpu_raise(v, VECTOR_GP, vector * scale + 2);
		return false;
	}
	if (!(gate[5] & 0x80)) {
		vcpu_raise(v, VECTOR_NP, vector * scale + 2);
		return false;
	}
	return true;
}

void events_soft_int(struct vcpu *v, unsigned vector, unsigned length)
{
	struct vmcb *b = &v->vmcb;
	uint32_t type = SVM_SOFT_INT;

	if (!gate_allows(v, vector))
		return;
	if (bug(XEN_INTN_SIDE_EFFECTS)) {
		if (vector == 14)
			b->cr2 = 0xdead;
		if (vector == VECTOR_DB)
			b->dr6 |= DR6_BS;
	}
	if (bug(MODEL_INTN_NEEDS_IF) && !(b->rflags & X86_EFLAGS_IF) && vector >= 32) {
		b->rip += length;
		return;
	}
	if (bug(MODEL_INTN_RIP))
		length--;
	if (!bug(MODEL_RF_LOST))
		b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	b->rip += length;
	v->event = (struct svm_event){SVM_EVENT_VALID | type | vector, 0};
	if (bug(XEN_PV_INTN_ERRCODE) && (vector == 13 || vector == 8)) {
		v->event.what = SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | vector;
		v->event.error = 0;
	}
}
