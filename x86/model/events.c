/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery. The order is that of the manuals (APM 2, "Event Injection"; SDM 3A, "Priority Among
 * Concurrent Events"): what an exit interrupted comes first, then an NMI, then the local APIC.
 *
 * Software interrupts are taken over before the CPU delivers them (INTn intercept): only then is the
 * length of the instruction known for certain, whatever the frame may overwrite.
 */
#include "events.h"

#include "breakpoints.h"
#include "bug.h"
#include "exits.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "sev.h"

#include "string.h"
#include "x86/cpu.h"
#include "x86/desc.h"
#include "x86/paging.h"

#define VECTOR_DB 1
#define REPLACED_BYTES 3 /* a length that none of what was there had */
#define VECTOR_UD 6
#define VECTOR_NP 11
#define VECTOR_GP 13
#define VECTOR_PF 14
#define GATE_PRESENT 0x80

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
	v->own_dr6 = v->vmcb.dr6;
	v->vmcb.rflags |= X86_EFLAGS_TF;
	intercept_exception(&v->vmcb, VECTOR_DB, true);
}

bool events_pf_is_spoilt(void)
{
	return bug_is_set(PF_TWICE) || bug_is_set(FAULT_AS_TRAP);
}

/* IRET may fault; then no trap tells that it is over. */
static void intercept_faults(struct vcpu *v, bool on)
{
	for (unsigned vector = VECTOR_NP; vector <= VECTOR_PF; vector++)
		intercept_exception(&v->vmcb, vector,
				    on || (vector == VECTOR_PF && events_pf_is_spoilt()));
}

void events_break_behind(struct vcpu *v, unsigned hit)
{
	step(v);
	v->page_hit = hit;
}

void events_swallow_step(struct vcpu *v)
{
	step(v);
	v->swallow = true;
}

static bool debug_may_be_spoilt(void)
{
	return bug_may_come(STEP_LOST) || bug_may_come(STEP_DOUBLED) ||
	       bug_may_come(DATA_BREAKPOINT_LOST) || bug_may_come(CODE_BREAKPOINT_LOST) ||
	       bug_may_come(KVM_CODEBP_MOVSS);
}

void events_debug_intercept(struct vcpu *v)
{
	intercept_exception(&v->vmcb, VECTOR_DB,
			    debug_may_be_spoilt() || v->debugctl & DEBUGCTL_BTF);
}

static void step_over(struct vcpu *v)
{
	v->stepping = v->late = false;
	events_debug_intercept(v);
	if (!v->iret_in_step)
		return;
	v->iret_in_step = false;
	v->nmi_blocked = bug(NMI_STAYS_BLOCKED);
	intercept_faults(v, false);
}

static void inject(struct vcpu *v, uint32_t what, uint32_t error)
{
	v->vmcb.inject = (struct svm_event){what, error};
}

/* Neither IF nor the local APIC has a say in it. */
static bool nmi_due(const struct vcpu *v)
{
	bool masked = !(v->vmcb.rflags & X86_EFLAGS_IF) || !lapic_takes(&v->apic);

	return v->nmi_pending && !v->nmi_blocked && !(masked && bug(NMI_MASKED));
}

static void block_nmi(struct vcpu *v)
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
	block_nmi(v);
	inject(v, SVM_EVENT_VALID | SVM_NMI | 2, 0);
}

static bool has_error_code_as_exception(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 ||
	       vector == 29 || vector == 30;
}

/* QEMU's TCG pushes none for 21, 29 and 30. */
static uint32_t with_error_code(unsigned vector)
{
	return SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | vector;
}

/* L2's gate for a vector; false if it cannot be read. */
static bool read_gate(const struct vcpu *v, unsigned vector, uint8_t *gate)
{
	unsigned size = v->vmcb.efer & EFER_LMA ? 16 : 8;

	return memory_read(v, v->vmcb.idtr.base + vector * size, gate, size) == size;
}

static unsigned gate_dpl(const uint8_t *gate)
{
	return gate[5] >> 5 & 3;
}

static void inject_interrupt(struct vcpu *v, unsigned vector)
{
	uint8_t gate[16];

	lapic_accept(&v->apic, vector);
	v->halted = v->late = false;
	if (read_gate(v, vector, gate) && gate_dpl(gate) < v->vmcb.cpl && bug(DPL_FOR_INTERRUPTS))
		inject(v, with_error_code(VECTOR_GP), vector * 8 + 2);
	else if (has_error_code_as_exception(vector) && bug(IPI_ERROR_CODE))
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
	if (nmi && vector >= 0 && enabled && !in_shadow(v) && bug(NMI_AFTER_INTR)) {
		inject_interrupt(v, vector);
		return;
	}
	if (nmi && !v->iret_in_step && !in_shadow(v)) {
		inject_nmi(v);
		return;
	}
	if (nmi)
		step(v);
	if (vector < 0)
		return;
	if ((enabled && !in_shadow(v) && !v->late) || (!enabled && bug(IPI_IGNORES_IF)))
		inject_interrupt(v, vector);
	else if (enabled)
		step(v); /* not every emulator loads the shadow at VMRUN: hold it by stepping */
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
	return in_shadow(v) && v->vmcb.rflags & X86_EFLAGS_IF && lapic_deliverable(&v->apic) >= 0;
}

bool events_step_done(struct vcpu *v)
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

bool events_emulated(struct vcpu *v)
{
	bool traps = v->vmcb.rflags & X86_EFLAGS_TF;

	if (!v->stepping)
		return traps;
	step_over(v);
	v->swallow = false;
	if (!v->own_tf)
		v->vmcb.rflags &= ~(uint64_t)X86_EFLAGS_TF;
	return v->own_tf;
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
	events_debug_intercept(v);
	return false;
}

void events_debug(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;

	if (step_goes_on(v))
		return;
	if (b->dr6 & DR6_BS && !(b->dr6 & 15) && bug(STEP_LOST)) {
		b->dr6 &= ~(uint64_t)DR6_BS;
		return;
	}
	if (breakpoints_of_code(v) &&
	    ((in_shadow(v) && may_exit(v) && bug(KVM_CODEBP_MOVSS)) || bug(CODE_BREAKPOINT_LOST))) {
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

void events_iret_faulted(struct vcpu *v)
{
	unsigned vector = v->vmcb.exit_code - SVM_EXIT_EXCEPTION;

	if (!v->own_tf)
		v->vmcb.rflags &= ~(uint64_t)X86_EFLAGS_TF;
	step_over(v);
	if (vector == VECTOR_PF)
		v->vmcb.cr2 = v->vmcb.exit_info2;
	vcpu_raise(v, vector, v->vmcb.exit_info1);
}

void events_pf_or_iret(struct vcpu *v)
{
	if (v->iret_in_step) {
		events_iret_faulted(v);
		return;
	}
	v->vmcb.cr2 = v->vmcb.exit_info2;
	if (!(v->vmcb.exit_info1 & PF_FETCH) && !(v->event.what & SVM_EVENT_VALID) &&
	    bug(FAULT_AS_TRAP))
		v->vmcb.rip += 2;
	vcpu_raise(v, VECTOR_PF, v->vmcb.exit_info1);
	if (bug(PF_TWICE))
		v->again = v->event;
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

void events_iret(struct vcpu *v)
{
	if (bug_is_set(RF_IGNORED))
		spoil_rf(v);
	if (!v->nmi_blocked)
		return;
	intercept(&v->vmcb, SVM_INTERCEPT_IRET, false);
	v->iret_in_step = true;
	intercept_faults(v, true);
	step(v);
}

void events_fault(struct vcpu *v, unsigned vector)
{
	uint8_t gate[16];

	if (bug(FAULT_AS_TRAP))
		v->vmcb.rip += 2;
	if (read_gate(v, vector, gate) && gate_dpl(gate) < v->vmcb.cpl && bug(DPL_FOR_EXCEPTIONS))
		vcpu_raise(v, VECTOR_GP, vector * 8 + 2);
	else
		vcpu_raise(v, vector, NO_ERROR);
}

/* A software interrupt's fault about its gate. */
static void raise_for_gate(struct vcpu *v, unsigned vector, unsigned gate)
{
	unsigned scale = v->vmcb.efer & EFER_LMA && bug(IDT_ERROR_CODE_64) ? 16 : 8;

	vcpu_raise(v, vector, gate * scale + (bug(INT_N_EXT) ? 3 : 2));
}

/* Whether the gate lets a software interrupt through; raises what it does not. */
static bool gate_allows(struct vcpu *v, unsigned vector)
{
	const struct vmcb *b = &v->vmcb;
	unsigned size = b->efer & EFER_LMA ? 16 : 8;
	uint8_t gate[16];

	if ((vector + 1) * size - 1 > b->idtr.limit ||
	    ((vector + 1) * size - 1 == b->idtr.limit && bug(IDT_LIMIT))) {
		raise_for_gate(v, VECTOR_GP, vector);
		return false;
	}
	if (!read_gate(v, vector, gate))
		return true;
	if (gate_dpl(gate) < b->cpl && !bug(XSA_106) && !bug(INT_N_NO_DPL_CHECK)) {
		raise_for_gate(v, VECTOR_GP, vector);
		return false;
	}
	if (!(gate[5] & GATE_PRESENT)) {
		raise_for_gate(v, VECTOR_NP, vector);
		return false;
	}
	return true;
}

void events_soft_int(struct vcpu *v, unsigned vector, unsigned length, bool int_n)
{
	struct vmcb *b = &v->vmcb;

	if (!gate_allows(v, vector))
		return;
	if (int_n && vector == VECTOR_PF && bug(INT_N_SIDE_EFFECTS))
		b->cr2 = 0xdead;
	if (int_n && vector == VECTOR_DB && bug(INT_N_SIDE_EFFECTS))
		b->dr6 = DR6_CLEAR | DR6_BS;
	if (int_n && (!(b->rflags & X86_EFLAGS_IF) || in_shadow(v) || lapic_priority(&v->apic)) &&
	    bug(INT_N_MASKED)) {
		b->rip += length;
		return;
	}
	if (int_n && vector == 2 && bug(INT_2_AS_NMI)) {
		if (v->nmi_blocked) {
			v->nmi_pending = true;
			b->rip += length;
			return;
		}
		block_nmi(v);
	}
	if (int_n && lapic_has(&v->apic, vector) && bug(IPI_AS_INT_N) &&
	    lapic_merge(&v->apic, vector)) {
		b->rip += length;
		return;
	}
	events_emulated(v);
	if (b->rflags & X86_EFLAGS_RF && !bug(INT_N_KEEPS_RF))
		b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	v->soft_rip = b->rip;
	v->soft_int_n = int_n;
	if (!(int_n && vector < 32 && bug(INT_N_AS_EXCEPTION)))
		b->rip += length - (bug(INT_N_RIP) ? 1 : 0);
	if (int_n && has_error_code_as_exception(vector) &&
	    (bug(INT_N_ERROR_CODE) || (vector == VECTOR_GP && bug(INT_13_ERROR_CODE))))
		v->event = (struct svm_event){with_error_code(vector), 0};
	else
		v->event = (struct svm_event){SVM_EVENT_VALID | SVM_SOFT_INT | vector, 0};
}

void events_int1(struct vcpu *v, unsigned length)
{
	struct vmcb *b = &v->vmcb;
	uint8_t gate[16];

	/* An injected #DB that its gate refuses would fault behind the instruction. */
	if (read_gate(v, VECTOR_DB, gate) && !(gate[5] & GATE_PRESENT)) {
		vcpu_raise(v, VECTOR_NP, VECTOR_DB * 8 + 3);
		return;
	}
	events_emulated(v);
	b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	b->rip += length;
	vcpu_raise(v, VECTOR_DB, NO_ERROR);
	v->int1 = true;
}
