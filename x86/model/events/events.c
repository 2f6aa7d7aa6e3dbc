/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery. The order is that of the manuals (APM 2, "Event Injection"; SDM 3A, "Priority Among
 * Concurrent Events"): what an exit interrupted comes first, then an NMI, then the local APIC.
 */
#include "events.h"

#include "bug.h"
#include "deliver.h"
#include "gate.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "sev/sev.h"
#include "step.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"

#define REPLACED_BYTES 3 /* a length that none of what was there had */

static void inject(struct vcpu *v, uint32_t what, uint32_t error)
{
	if (what & SVM_EVENT_VALID && deliver_wrongly(v, what, error))
		what = 0;
	v->vmcb.inject = (struct svm_event){what, error};
}

/* Neither IF nor the local APIC has a say in it. */
static bool nmi_due(const struct vcpu *v)
{
	bool masked = !(v->vmcb.rflags & X86_EFLAGS_IF) || !lapic_takes(&v->apic);

	return v->nmi_pending && !v->nmi_blocked && !(masked && bug(NMI_MASKED));
}

void events_block_nmi(struct vcpu *v)
{
	v->nmi_blocked = !bug(NMI_UNBLOCKED_EARLY);
	/* Under SEV-ES, IRET is the guest's secret: it says by itself when it is done. */
	intercept(&v->vmcb, SVM_INTERCEPT_IRET, v->nmi_blocked && !l2_is_es());
}

static void inject_nmi(struct vcpu *v)
{
	v->nmi_doubled = !v->nmi_doubled && bug(NMI_DOUBLED);
	v->nmi_pending = v->nmi_doubled || v->nmi_surplus;
	v->nmi_surplus -= v->nmi_surplus ? 1 : 0;
	v->halted = false;
	events_block_nmi(v);
	inject(v, SVM_EVENT_VALID | SVM_NMI | VECTOR_NMI, 0);
}

/* The vectors that a guest wakes its parked processors with: a bug leaves them alone. */
#define CLASS_15 0xf0

static void inject_interrupt(struct vcpu *v, unsigned vector)
{
	uint8_t gate[GATE_MOST_BYTES];

	lapic_accept(&v->apic, vector);
	if (v->woken && vector < CLASS_15 && bug(HALT_TWICE))
		lapic_request(v, vector);
	v->halted = v->late = v->woken = false;
	if (gate_read(v, vector, gate) && gate_dpl(gate) < v->vmcb.cpl && bug(DPL_FOR_INTERRUPTS))
		inject(v, with_error_code(VECTOR_GP), vector * 8 + 2);
	else if (exception_has_error_code(vector) && bug(IPI_ERROR_CODE))
		inject(v, with_error_code(vector), 0);
	else
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

/* Lets the CPU exit once it has delivered `vector`, by taking away the page of the handler. */
static void exit_at_handler(struct vcpu *v, unsigned vector)
{
	struct gate gate;
	uint64_t gpa;

	if (memory_read(v, v->vmcb.idtr.base + vector * sizeof(gate), &gate, sizeof(gate)) !=
	    sizeof(gate))
		return;
	if (!memory_walk(v,
			 gate.offset_low | (uint64_t)gate.offset_middle << 16 |
				 (uint64_t)gate.offset_high << 32,
			 &gpa))
		return;
	memory_unmap(gpa);
	v->vmcb.tlb_control = SVM_TLB_FLUSH_ALL;
}

void events_before_entry(struct vcpu *v)
{
	bool enabled = v->vmcb.rflags & X86_EFLAGS_IF;
	bool nmi = nmi_due(v);
	int vector = lapic_deliverable(&v->apic);

	inject(v, 0, 0);
	open_window(v, false);
	if (bug_is_set(RF_IGNORED) && !l2_is_es())
		intercept(&v->vmcb, SVM_INTERCEPT_IRET, !v->iret_seen && !v->iret_in_step);
	v->iret_seen = false;
	if (v->event.what & SVM_EVENT_VALID) {
		inject(v, v->event.what, v->event.error);
		if (nmi)
			exit_at_handler(v, v->event.what & SVM_EVENT_VECTOR);
		if (v->again.what & SVM_EVENT_VALID)
			exit_at_handler(v, v->event.what & SVM_EVENT_VECTOR);
		v->event = v->again;
		v->again.what = 0;
		open_window(v, vector >= 0);
		return;
	}
	if (nmi && vector >= 0 && enabled && !vcpu_in_shadow(v) && bug(NMI_AFTER_INTR)) {
		inject_interrupt(v, vector);
		return;
	}
	if (nmi && !v->iret_in_step && !vcpu_in_shadow(v)) {
		inject_nmi(v);
		return;
	}
	if (nmi)
		step_one(v);
	if (vector < 0)
		return;
	if ((enabled && !vcpu_in_shadow(v) && !v->late) || (!enabled && bug(IPI_IGNORES_IF)))
		inject_interrupt(v, vector);
	else if (enabled)
		step_one(v); /* not every emulator loads the shadow at VMRUN: hold it by stepping */
	else
		open_window(v, true);
}

bool events_due(const struct vcpu *v)
{
	return nmi_due(v) || v->event.what & SVM_EVENT_VALID ||
	       (v->vmcb.rflags & X86_EFLAGS_IF && lapic_deliverable(&v->apic) >= 0);
}

/* What KVM made of a software interrupt whose delivery was interrupted; false: the right thing. */
static bool retries_soft_int(struct vcpu *v)
{
	if (bug(KVM_SEV_INT3_UD)) {
		v->vmcb.rip = v->soft_rip;
		vcpu_raise(v, VECTOR_UD, NO_ERROR);
		return true;
	}
	if (v->soft_int_n ? bug(KVM_INTN_RETRY) : bug(KVM_INT3_RETRY)) {
		v->vmcb.rip = v->soft_rip;
		return true;
	}
	return v->soft_int_n && bug(KVM_SPEC_RIP);
}

/* Whether no software interrupt stands any more where one was executed. */
static bool is_replaced(struct vcpu *v)
{
	uint64_t rip = v->vmcb.rip;
	unsigned length;
	bool int_n;
	int vector;

	v->vmcb.rip = v->soft_rip;
	vector = insn_soft_int(v, &length, &int_n);
	v->vmcb.rip = rip;
	return vector < 0;
}

void events_after_exit(struct vcpu *v)
{
	struct svm_event e = v->vmcb.exit_int_info;

	v->int1 = v->int1 && e.what & SVM_EVENT_VALID;
	if (!(e.what & SVM_EVENT_VALID)) {
		if (v->stale.what & SVM_EVENT_VALID && bug(EVENT_STALE))
			v->event = v->stale;
		v->stale.what = 0;
		return;
	}
	v->stale = e;
	if (bug(EVENT_LOST))
		return;
	if ((e.what & SVM_EVENT_TYPE) == SVM_SOFT_INT && retries_soft_int(v))
		return;
	if ((e.what & SVM_EVENT_TYPE) == SVM_SOFT_INT && is_replaced(v) && bug(KVM_INT3_REPLACED))
		v->vmcb.rip = v->soft_rip + REPLACED_BYTES;
	v->event = e;
	if (bug(EVENT_DOUBLED))
		v->again = e;
}

bool events_shadow_holds(const struct vcpu *v)
{
	return vcpu_in_shadow(v) && v->vmcb.rflags & X86_EFLAGS_IF &&
	       lapic_deliverable(&v->apic) >= 0;
}
