/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layer `svm-reflect`: L1 catches whatever happens in L2 and gives it back, as a hypervisor does
 * that wants to see everything. Exceptions, INT n, INT3, INTO and INT1 come back by EVENTINJ, interrupts
 * and NMIs too, after L1 has taken them (nmi.c); CPUID, port I/O, MOV to and from CR8, RDMSR and WRMSR (of one
 * MSR that L1 and L2 share) are done in L2's place. What a case makes cold is taken away in the nested page
 * tables, so its deliveries fault in L1's sight and are injected again. L2 must not be able to tell: the
 * cases' expectations are those of the native layer.
 *
 * A software interrupt is injected with RIP and nRIP both behind the instruction, which gives the right
 * frame with or without nRIP. If its delivery faults, RIP goes back to the instruction: everything is
 * intercepted, so L1 sees that.
 *
 * #DB is caught only where the exit says in DR6 what it was about; there is nothing to give back otherwise.
 */
#include "l1.h"
#include "svm.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/nested/l2_insn.h"
#include "x86/nested/reflect.h"

#define IOIO_IN (1u << 0)
#define IOIO_STRING (1u << 2)
#define IOIO_BYTES(info) ((info) >> 4 & 7)

/* Per CPU: the trap that was injected last, until it is known to have arrived. */
static struct {
	bool injected;
	uint32_t what;
	uint64_t rip, next;
} state[MAX_CPUS];

/* Two bits for each MSR: reads and writes. */
static uint8_t intercepted_msrs[2 * 4096] __attribute__((aligned(4096))) = {
	[MSR_APIC_BASE / 4] = 3 << MSR_APIC_BASE % 4 * 2,
};

static void prepare(struct l2 *v)
{
	uint32_t db = svm_db_exit_has_dr6(v) ? 0 : EXCEPTION(VECTOR_DB);

	l2_intercept_exceptions(v, SVM_ALL_EXCEPTIONS & ~db);
	svm_intercept(v, SVM_INTERCEPT_INTN);
	svm_intercept(v, SVM_INTERCEPT_ICEBP);
	svm_intercept(v, SVM_INTERCEPT_INTR);
	svm_intercept(v, SVM_INTERCEPT_CPUID);
	svm_intercept(v, SVM_INTERCEPT_IOIO);
	svm_intercept(v, SVM_INTERCEPT_MSR);
	v->vmcb->intercept_cr_read |= 1u << 8;
	v->vmcb->intercept_cr_write |= 1u << 8;
	v->vmcb->msrpm = (uint64_t)intercepted_msrs;
	svm_nmi_begin(v);
	state[v->cpu->index].injected = false;
	reflect_begin(v);
}

/* -- Traps. ------------------------------------------------------------------------------------ */

/* The event returns behind the instruction at RIP, to `next`. */
static void inject_trap(struct l2 *v, uint32_t what, uint64_t next)
{
	unsigned cpu = v->cpu->index;

	state[cpu].injected = true;
	state[cpu].what = L2_EVENT_VALID | what;
	state[cpu].rip = v->vmcb->rip;
	state[cpu].next = next;
	v->vmcb->rip = next;
	l2_set(v, L2_SHADOW, 0);
	l2_inject(v, what, 0, next);
}

/* If the trap that was injected has not arrived, L2 stands before its instruction again. */
static void rewind_trap(struct l2 *v)
{
	unsigned cpu = v->cpu->index;

	if (state[cpu].injected && v->vmcb->exit_int_info.what == state[cpu].what)
		v->vmcb->rip = state[cpu].rip;
	else
		state[cpu].injected = false;
}

/* What was being delivered, once more. */
static void inject_again(struct l2 *v)
{
	struct svm_event interrupted = v->vmcb->exit_int_info;
	uint64_t next;

	if (!(interrupted.what & L2_EVENT_VALID))
		return;
	if (state[v->cpu->index].injected) {
		inject_trap(v, interrupted.what & ~L2_EVENT_VALID, state[v->cpu->index].next);
		return;
	}
	next = v->vmcb->rip;
	v->vmcb->inject = interrupted;
	v->vmcb->next_rip = next;
}

/* INT n, INT3, INTO or INT1, whichever stands there. */
static enum l2_action reflect_trap(struct l2 *v)
{
	const uint8_t *byte = l2_opcode(v);

	switch (*byte) {
	case 0xcc:
		inject_trap(v, L2_EXCEPTION | VECTOR_BP, (uint64_t)byte + 1);
		return L2_RESUME;
	case 0xcd:
		inject_trap(v, L2_SOFT_INT | byte[1], (uint64_t)byte + 2);
		return L2_RESUME;
	case 0xce:
		inject_trap(v, L2_EXCEPTION | VECTOR_OF, (uint64_t)byte + 1);
		return L2_RESUME;
	case 0xf1:
		inject_trap(v, L2_EXCEPTION | VECTOR_DB, (uint64_t)byte + 1);
		return L2_RESUME;
	default:
		/* Another CPU has replaced it since. The exit came before any effect: run what is there. */
		return v->exits < REFLECT_MAX_EXITS ? L2_RESUME : L2_UNEXPECTED;
	}
}

/* -- The exits. -------------------------------------------------------------------------------- */

static enum l2_action do_port(struct l2 *v)
{
	uint32_t info = v->vmcb->exit_info1;

	if (info & IOIO_STRING) {
		/* Not worth an emulator: let L2 do it. */
		v->vmcb->intercept[SVM_INTERCEPT_IOIO / 32] &= ~(1u << SVM_INTERCEPT_IOIO % 32);
		return L2_RESUME;
	}
	l2_do_port(v, info >> 16, IOIO_BYTES(info), info & IOIO_IN, v->vmcb->exit_info2);
	return L2_RESUME;
}

#define MSR_WRITE 1

static enum l2_action do_msr(struct l2 *v)
{
	uint64_t next = (uint64_t)l2_opcode(v) + 2;

	if (v->vmcb->exit_info1 == MSR_WRITE)
		l2_do_wrmsr(v, next);
	else
		l2_do_rdmsr(v, next);
	return L2_RESUME;
}

/* MOV to or from CR8, with ModRM behind the opcode. */
static enum l2_action do_cr8(struct l2 *v, bool write)
{
	const uint8_t *opcode = l2_opcode(v);
	unsigned rex_b = opcode[-1] >> 4 == 4 ? opcode[-1] & 1 : 0;

	l2_do_cr8(v, (opcode[2] & 7) | rex_b << 3, write, (uint64_t)opcode + 3);
	return L2_RESUME;
}

static enum l2_action reflect_vector(struct l2 *v, unsigned vector)
{
	uint32_t has_error = exception_has_error_code(vector) ? L2_EVENT_HAS_ERROR : 0;

	if (vector == VECTOR_BP || vector == VECTOR_OF)
		return reflect_trap(v);
	if (vector == VECTOR_PF)
		v->vmcb->cr2 = v->vmcb->exit_info2;
	reflect_exception(v, L2_EXCEPTION | has_error | vector, has_error ? v->vmcb->exit_info1 : 0,
			  v->vmcb->exit_int_info.what);
	return L2_RESUME;
}

static enum l2_action answer(struct l2 *v)
{
	uint64_t code = v->vmcb->exit_code;

	if (code - SVM_EXIT_EXCEPTION < 32)
		return reflect_vector(v, code - SVM_EXIT_EXCEPTION);
	switch (code) {
	case SVM_EXIT(INTN):
	case SVM_EXIT(ICEBP):
		return reflect_trap(v);
	case SVM_EXIT(INTR):
		reflect_interrupt(v);
		return L2_RESUME;
	case SVM_EXIT(NMI):
		return svm_nmi_take(v) ? L2_RESUME : L2_UNEXPECTED;
	case SVM_EXIT(IRET):
		svm_nmi_iret(v);
		return L2_RESUME;
	case SVM_EXIT_READ_CR0 + 8:
	case SVM_EXIT_WRITE_CR0 + 8:
		return do_cr8(v, code == SVM_EXIT_WRITE_CR0 + 8);
	case SVM_EXIT(CPUID):
		l2_do_cpuid(v, (uint64_t)l2_opcode(v) + 2);
		return L2_RESUME;
	case SVM_EXIT(MSR):
		return do_msr(v);
	case SVM_EXIT(IOIO):
		return do_port(v);
	case SVM_EXIT_NPF:
		if (slat_is_mapped(v->vmcb->exit_info2))
			return L2_UNEXPECTED;
		slat_map(v->vmcb->exit_info2);
		inject_again(v);
		return L2_RESUME;
	default:
		return L2_UNEXPECTED;
	}
}

static enum l2_action reflect(struct l2 *v)
{
	enum l2_action action = L2_RESUME;

	rewind_trap(v);
	if (!svm_nmi_exit(v))
		action = answer(v);
	svm_nmi_inject(v);
	return action;
}

static bool take_l1_event(struct recording *rec, const struct event *event)
{
	return svm_nmi_is_for_l2(rec, event) || reflect_take_l1_event(rec, event);
}

static void enter(struct entry *entry)
{
	static const struct l2_hooks hooks = {.prepare = prepare, .on_exit = reflect};

	svm_enter(entry, true, &hooks);
}

const struct layer layer_svm_reflect = {
	.name = "svm-reflect",
	.obstacle = svm_obstacle_npt,
	.reset = svm_reset,
	.enter = enter,
	.make_cold = slat_unmap,
	.take_l1_event = take_l1_event,
};
