/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layer `svm-reflect`: L1 catches whatever happens in L2 and gives it back, as a hypervisor does
 * that wants to see everything. Exceptions, INT n, INT3, INTO and INT1 come back by EVENTINJ, interrupts
 * too, after L1 has taken them from the APIC; CPUID and port I/O are done in L2's place. What a case
 * makes cold is taken away in the nested page tables, so its deliveries fault in L1's sight and are
 * injected again. L2 must not be able to tell: the cases' expectations are those of the native layer.
 *
 * A software interrupt is injected with RIP and nRIP both behind the instruction, which gives the right
 * frame with or without nRIP. If its delivery faults, RIP goes back to the instruction: everything is
 * intercepted, so L1 sees that.
 *
 * NMIs are not intercepted: an injected NMI does not block the next, and to do that by hand L1 would have
 * to single-step L2 over its IRET.
 */
#include "l1.h"
#include "svm.h"

#include "../cpu.h"
#include "../event.h"
#include "../percpu.h"

#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_DF 8
#define VECTOR_PF 14

/* Bits 2 and 9 are not implemented, and setting them is undefined. */
#define ALL_EXCEPTIONS (~(1u << 2 | 1u << 9))

/* SDM 3A, "Conditions for Generating a Double Fault". */
#define CONTRIBUTORY (1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13)

/* More exits than any case has: whoever makes so many is going round in circles. */
#define MAX_EXITS 10000

#define IOIO_IN (1u << 0)
#define IOIO_STRING (1u << 2)
#define IOIO_8 (1u << 4)
#define IOIO_16 (1u << 5)

/* Per CPU: the trap that was injected last, until it is known to have arrived. */
static struct {
	bool injected;
	uint32_t what;
	uint64_t rip, next;
	int interrupt; /* vector that L1 has taken for L2, or -1 */
} state[MAX_CPUS];

static void prepare(struct svm_vcpu *v)
{
	svm_intercept_exceptions(v, ALL_EXCEPTIONS);
	svm_intercept(v, SVM_INTERCEPT_INTN);
	svm_intercept(v, SVM_INTERCEPT_ICEBP);
	svm_intercept(v, SVM_INTERCEPT_INTR);
	svm_intercept(v, SVM_INTERCEPT_CPUID);
	svm_intercept(v, SVM_INTERCEPT_IOIO);
	state[v->cpu->index].injected = false;
	state[v->cpu->index].interrupt = -1;
}

/* -- Injection. ------------------------------------------------------------------------------------ */

static void inject(struct svm_vcpu *v, uint32_t what, uint32_t error)
{
	v->vmcb->int_state &= ~SVM_INTERRUPT_SHADOW;
	svm_inject(v, what, error);
}

/* The event returns behind the instruction of so many bytes at RIP. */
static void inject_trap(struct svm_vcpu *v, uint32_t what, uint64_t next)
{
	unsigned cpu = v->cpu->index;

	state[cpu].injected = true;
	state[cpu].what = SVM_EVENT_VALID | what;
	state[cpu].rip = v->vmcb->rip;
	state[cpu].next = next;
	v->vmcb->rip = v->vmcb->next_rip = next;
	inject(v, what, 0);
}

/* If the trap that was injected has not arrived, L2 stands before its instruction again. */
static void rewind_trap(struct svm_vcpu *v)
{
	unsigned cpu = v->cpu->index;

	if (state[cpu].injected && v->vmcb->exit_int_info.what == state[cpu].what)
		v->vmcb->rip = state[cpu].rip;
	else
		state[cpu].injected = false;
}

/* What was being delivered, once more. */
static void inject_again(struct svm_vcpu *v)
{
	struct svm_event interrupted = v->vmcb->exit_int_info;
	uint64_t next;

	if (!(interrupted.what & SVM_EVENT_VALID))
		return;
	if (state[v->cpu->index].injected) {
		inject_trap(v, interrupted.what & ~SVM_EVENT_VALID, state[v->cpu->index].next);
		return;
	}
	next = v->vmcb->rip;
	v->vmcb->inject = interrupted;
	v->vmcb->next_rip = next;
}

/* -- Instructions. --------------------------------------------------------------------------------- */

static bool is_prefix(uint8_t byte, bool wide)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64 ... 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return wide && byte >> 4 == 4; /* REX */
	}
}

/* The opcode at L2's RIP; L2's addresses are L1's. */
static const uint8_t *opcode(const struct svm_vcpu *v)
{
	const uint8_t *byte = (const uint8_t *)v->vmcb->rip;

	while (is_prefix(*byte, v->vmcb->cs.attributes >> 9 & 1))
		byte++;
	return byte;
}

/* INT n, INT3, INTO or INT1, whichever stands there. */
static enum svm_action reflect_trap(struct svm_vcpu *v)
{
	const uint8_t *byte = opcode(v);

	switch (*byte) {
	case 0xcc:
		inject_trap(v, SVM_EXCEPTION | VECTOR_BP, (uint64_t)byte + 1);
		return SVM_RESUME;
	case 0xcd:
		inject_trap(v, SVM_SOFT_INT | byte[1], (uint64_t)byte + 2);
		return SVM_RESUME;
	case 0xce:
		inject_trap(v, SVM_EXCEPTION | VECTOR_OF, (uint64_t)byte + 1);
		return SVM_RESUME;
	case 0xf1:
		inject_trap(v, SVM_EXCEPTION | VECTOR_DB, (uint64_t)byte + 1);
		return SVM_RESUME;
	default:
		/* Another CPU has replaced it since. The exit came before any effect: run what is there. */
		return v->exits < MAX_EXITS ? SVM_RESUME : SVM_UNEXPECTED;
	}
}

/* L1 has done the instruction: on behind it, and with TF set into the handler of the step. */
static enum svm_action done(struct svm_vcpu *v, uint64_t next)
{
	v->vmcb->rip = next;
	v->vmcb->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	v->vmcb->int_state &= ~SVM_INTERRUPT_SHADOW;
	if (v->vmcb->rflags & X86_EFLAGS_TF) {
		v->vmcb->dr6 |= DR6_BS;
		inject(v, SVM_EXCEPTION | VECTOR_DB, 0);
	}
	return SVM_RESUME;
}

static enum svm_action do_cpuid(struct svm_vcpu *v)
{
	struct cpuid r = cpuid(v->vmcb->rax, v->regs.rcx);

	v->vmcb->rax = r.a;
	v->regs.rbx = r.b;
	v->regs.rcx = r.c;
	v->regs.rdx = r.d;
	return done(v, (uint64_t)opcode(v) + 2);
}

static enum svm_action do_port(struct svm_vcpu *v)
{
	uint32_t info = v->vmcb->exit_info1;
	uint16_t port = info >> 16;
	uint64_t *rax = &v->vmcb->rax;

	if (info & IOIO_STRING) {
		/* Not worth an emulator: let L2 do it. */
		v->vmcb->intercept[SVM_INTERCEPT_IOIO / 32] &= ~(1u << SVM_INTERCEPT_IOIO % 32);
		return SVM_RESUME;
	}
	if (!(info & IOIO_IN))
		info &IOIO_8	? outb(port, *rax)
		: info &IOIO_16 ? outw(port, *rax)
				: outl(port, *rax);
	else if (info & IOIO_8)
		*rax = (*rax & ~0xfful) | inb(port);
	else if (info & IOIO_16)
		*rax = (*rax & ~0xfffful) | inw(port);
	else
		*rax = inl(port);
	return done(v, v->vmcb->exit_info2);
}

/* -- Exceptions and interrupts. -------------------------------------------------------------------- */

static bool makes_double_fault(uint32_t interrupted, unsigned second)
{
	uint32_t first = 1u << (interrupted & 31), page_fault = 1u << VECTOR_PF;

	if (!(interrupted & SVM_EVENT_VALID) || (interrupted & SVM_EVENT_TYPE) != SVM_EXCEPTION)
		return false;
	if (first & CONTRIBUTORY)
		return 1u << second & CONTRIBUTORY;
	return first & page_fault && 1u << second & (CONTRIBUTORY | page_fault);
}

static enum svm_action reflect_exception(struct svm_vcpu *v, unsigned vector)
{
	uint32_t has_error = 1u << vector & EXCEPTIONS_WITH_ERROR ? SVM_EVENT_HAS_ERROR : 0;

	if (vector == VECTOR_BP || vector == VECTOR_OF)
		return reflect_trap(v);
	if (makes_double_fault(v->vmcb->exit_int_info.what, vector)) {
		inject(v, SVM_EXCEPTION | SVM_EVENT_HAS_ERROR | VECTOR_DF, 0);
		return SVM_RESUME;
	}
	if (vector == VECTOR_PF)
		v->vmcb->cr2 = v->vmcb->exit_info2;
	inject(v, SVM_EXCEPTION | has_error | vector, has_error ? v->vmcb->exit_info1 : 0);
	return SVM_RESUME;
}

/* L1's handler lets the vector in service and tells nobody: L2's own will find it there. */
static bool take_l1_event(struct percpu *cpu, const struct event *event)
{
	if (event->origin != FROM_APIC || state[cpu->index].interrupt >= 0)
		return svm_take_l1_event(cpu, event);
	cpu->in_service[event->vector / 8] &= ~(1 << event->vector % 8);
	state[cpu->index].interrupt = event->vector;
	return true;
}

static enum svm_action reflect_interrupt(struct svm_vcpu *v)
{
	int *interrupt = &state[v->cpu->index].interrupt;

	svm_window(true);
	if (*interrupt >= 0)
		inject(v, SVM_INTR | *interrupt, 0);
	*interrupt = -1;
	return SVM_RESUME;
}

static enum svm_action reflect(struct svm_vcpu *v)
{
	uint64_t code = v->vmcb->exit_code;

	rewind_trap(v);
	if (code - SVM_EXIT_EXCEPTION < 32)
		return reflect_exception(v, code - SVM_EXIT_EXCEPTION);
	switch (code) {
	case SVM_EXIT(INTN):
	case SVM_EXIT(ICEBP):
		return reflect_trap(v);
	case SVM_EXIT(INTR):
		return reflect_interrupt(v);
	case SVM_EXIT(CPUID):
		return do_cpuid(v);
	case SVM_EXIT(IOIO):
		return do_port(v);
	case SVM_EXIT_NPF:
		if (npt_is_mapped(v->vmcb->exit_info2))
			return SVM_UNEXPECTED;
		npt_map(v->vmcb->exit_info2);
		inject_again(v);
		return SVM_RESUME;
	default:
		return SVM_UNEXPECTED;
	}
}

static void enter(struct entry *entry)
{
	svm_enter(entry, true, prepare, reflect);
}

const struct layer layer_svm_reflect = {
	.name = "svm-reflect",
	.obstacle = svm_obstacle_npt,
	.reset = svm_reset,
	.enter = enter,
	.make_cold = npt_unmap,
	.take_l1_event = take_l1_event,
};
