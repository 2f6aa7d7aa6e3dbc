/* SPDX-License-Identifier: BSD-2-Clause */
#include "exits.h"

#include "bug.h"
#include "devices/sensors.h"
#include "events/breakpoints.h"
#include "events/events.h"
#include "events/fault.h"
#include "events/soft_int.h"
#include "events/step.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "ports.h"
#include "sev/sev.h"
#include "smp.h"
#include "time.h"

#include "panic.h"
#include "string.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/devices/apic.h"

#define NOP_BYTES 3 /* of the one that a case replaces an INT3 with */
#define X2APIC_FIRST 0x800
#define X2APIC_LAST 0x8ff

#define CPUID_6_A_SENSOR (1u << 0)

#define IOIO_IN (1u << 0)
#define IOIO_STRING (1u << 2)

/* L2's SVME, which is ours, is 0 to L2; all are three bytes long. */
static void undefined(struct vcpu *v)
{
	if (bug(SVM_NOT_HIDDEN))
		vcpu_skip(v, 3);
	else
		vcpu_raise(v, VECTOR_UD, NO_ERROR);
}

static void set_pair(struct vcpu *v, uint64_t value)
{
	v->vmcb.rax = (uint32_t)value;
	v->regs.rdx = value >> 32;
}

#define CPUID_1_D_APIC (1u << 9)

/* SVM is ours; the hypervisor's leaf says who we are. */
struct cpuid exits_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r = cpuid(leaf, subleaf);

	/* Its processor's number is that of the CPU of ours that runs it. */
	if (leaf == 1) {
		r.c |= 1u << 31 | 1u << 21;
	} else if (leaf == 6 && !l2_is_sev()) {
		r.a |= CPUID_6_A_SENSOR;
	} else if (leaf == 0x40000000) {
		r = (struct cpuid){0x40000000, 0x70617254, 0x656e696c, 0x6c646f4d};
	} else if (leaf == 0x80000001) {
		r.c &= ~(1u << 2);
	} else if (leaf == 0x8000000a || leaf == 0x8000001f) {
		r = (struct cpuid){0, 0, 0, 0};
	}
	if (l2_is_sev())
		sev_cpuid(leaf, &r);
	return r;
}

static void exit_cpuid(struct vcpu *v)
{
	struct cpuid r = exits_cpuid(v->vmcb.rax, v->regs.rcx);
	static uint32_t calls;

	if (bug(NMI_SPURIOUS))
		v->nmi_pending = true;
	if ((uint32_t)v->vmcb.rax == 0 && bug(CPUID_UNSTEADY))
		r.b += calls++;
	if ((uint32_t)v->vmcb.rax == 1 && !lapic_is_on(&v->apic) && !bug(APIC_OFF_SHOWN))
		r.d &= ~CPUID_1_D_APIC;
	v->vmcb.rax = r.a;
	v->regs.rbx = r.b;
	v->regs.rcx = r.c;
	v->regs.rdx = r.d;
	vcpu_skip(v, 2);
}

bool exits_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;

	if (msr == MSR_APIC_BASE) {
		*value = v->apic.base;
		return true;
	}
	if (msr == MSR_DEBUGCTL && !l2_is_sev()) {
		*value = v->debugctl;
		return true;
	}
	if (msr == MSR_EFER) {
		*value = v->vmcb.efer & ~(uint64_t)EFER_SVME;
		return true;
	}
	if (l2_is_sev() ? sev_read_msr(v, msr, value) : sensors_read_msr(v, msr, value))
		return true;
	if (msr < X2APIC_FIRST || msr > X2APIC_LAST)
		return false;
	if (!lapic_is_x2(&v->apic) && !(lapic_is_on(&v->apic) && bug(X2APIC_IN_XAPIC)))
		return false;
	msr = (msr - X2APIC_FIRST) * 16;
	if (msr == APIC_EOI || msr == X2APIC_SELF_IPI || !lapic_read(v, msr, &low))
		return false;
	if (msr == APIC_ICR)
		high = v->apic.icr_high;
	*value = (uint64_t)high << 32 | low;
	return true;
}

bool exits_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	if (msr == MSR_APIC_BASE)
		return lapic_write_base(&v->apic, value);
	if (msr == MSR_DEBUGCTL && !l2_is_sev()) {
		if (value & ~DEBUGCTL_BTF)
			return false;
		v->debugctl = value;
		v->branch_rip = 0;
		step_debug_intercept(v);
		return true;
	}
	if (msr == MSR_EFER) {
		/* LMA is the CPU's to set; VMRUN wants SVME. */
		v->vmcb.efer =
			(value & ~(uint64_t)EFER_LMA) | (v->vmcb.efer & EFER_LMA) | EFER_SVME;
		return true;
	}
	if (l2_is_sev() ? sev_write_msr(v, msr, value) : sensors_write_msr(v, msr, value))
		return true;
	if (msr < X2APIC_FIRST || msr > X2APIC_LAST)
		return false;
	if (!lapic_is_x2(&v->apic) && !(lapic_is_on(&v->apic) && bug(X2APIC_IN_XAPIC)))
		return false;
	msr = (msr - X2APIC_FIRST) * 16;
	if (msr == APIC_ID)
		return false;
	return lapic_write(v, msr, value, value >> 32);
}

static void exit_msr(struct vcpu *v)
{
	uint64_t value = (uint64_t)(uint32_t)v->regs.rdx << 32 | (uint32_t)v->vmcb.rax;
	uint32_t msr = v->regs.rcx;
	bool write = v->vmcb.exit_info1;

	if (write ? !exits_write_msr(v, msr, value) : !exits_read_msr(v, msr, &value)) {
		vcpu_raise(v, VECTOR_GP, 0);
		return;
	}
	if (!write)
		set_pair(v, value);
	vcpu_skip(v, 2);
}

static unsigned io_bytes(uint64_t info)
{
	return info >> 4 & 7;
}

static void exit_io(struct vcpu *v)
{
	uint64_t info = v->vmcb.exit_info1;
	unsigned bytes = io_bytes(info), port = info >> 16;
	struct insn insn;
	uint64_t mask = bytes == 4 ? 0xffffffff : (1ul << 8 * bytes) - 1;

	if (!insn_at_rip(v, &insn))
		panic("model: the I/O instruction at %#lx is not known", v->vmcb.rip);
	if (info & IOIO_STRING && bug(KVM_SEV_NOBUF_UD)) {
		vcpu_raise(v, VECTOR_UD, NO_ERROR);
		return;
	}
	if (breakpoints_hit(v, port, bytes, ACCESS_PORT))
		v->trap_due = true;
	if (info & IOIO_STRING) {
		if (!insn_string_io(v, port))
			panic("model: string I/O at %#lx cannot be emulated", v->vmcb.rip);
		return;
	}
	if (info & IOIO_IN) {
		uint64_t kept = bytes == 4 ? 0 : v->vmcb.rax & ~mask;

		v->vmcb.rax = kept | (port_read(port, bytes) & mask);
	} else {
		port_write(v, port, bytes, v->vmcb.rax & mask);
	}
	vcpu_skip(v, insn.length);
}

static void exit_npf(struct vcpu *v)
{
	uint64_t gpa = v->vmcb.exit_info2;

	if (l2_is_sev() ? sev_map(v) : memory_map(gpa)) {
		breakpoints_page_touched(v, gpa);
		/* The breakpoint on the instruction that is run again has had its turn; Bochs does not say so. */
		if (!(v->vmcb.exit_int_info.what & SVM_EVENT_VALID) && breakpoints_on_code(v))
			v->vmcb.rflags |= X86_EFLAGS_RF;
		if (v->vmcb.rflags & X86_EFLAGS_TF && !(v->event.what & SVM_EVENT_VALID) &&
		    bug(STEP_LOST))
			step_swallow(v);
		return;
	}
	if (!insn_mmio(v))
		panic("model: the access to %#lx by the instruction at %#lx is not known", gpa,
		      v->vmcb.rip);
}

/* INT n everywhere; on TCG also INT3 and INTO, which elsewhere are exceptions. */
static void exit_soft_int(struct vcpu *v)
{
	unsigned length;
	bool int_n;
	int vector = insn_soft_int(v, &length, &int_n);

	/* This one needs somebody to overwrite it meanwhile. */
	for (unsigned i = 0; vector >= 0 && bug_is_set(KVM_INT3_REPLACED) && i < 40; i++) {
		smp_let_others_run();
		vector = insn_soft_int(v, &length, &int_n);
	}
	/* Another processor has overwritten it: what stands there now is run. */
	if (vector < 0) {
		if (bug(KVM_INT3_REPLACED))
			soft_int(v, VECTOR_BP, NOP_BYTES, false);
		return;
	}
	soft_int(v, vector, length, int_n);
}

static void exit_cr8(struct vcpu *v, bool write)
{
	unsigned length;
	int reg = insn_mov_cr(v, &length);

	if (reg < 0)
		panic("model: no MOV CR8 at %#lx", v->vmcb.rip);
	if (write && *vcpu_reg(v, reg) & ~15ul) {
		vcpu_raise(v, VECTOR_GP, 0);
		return;
	}
	if (write)
		v->apic.tpr = *vcpu_reg(v, reg) << 4;
	else
		*vcpu_reg(v, reg) = v->apic.tpr >> 4;
	vcpu_skip(v, length);
}

/* Only a bug intercepts it. */
static void exit_write_dr7(struct vcpu *v)
{
	unsigned length;
	int reg = insn_mov_cr(v, &length);
	uint64_t value;

	if (reg < 0)
		panic("model: no MOV DR7 at %#lx", v->vmcb.rip);
	value = *vcpu_reg(v, reg);
	if (value >> 32) {
		vcpu_raise(v, VECTOR_GP, 0);
		return;
	}
	v->vmcb.dr7 = (value & 0xffff2fff) | DR7_CLEAR;
	vcpu_skip(v, length);
	breakpoints_by_page(v);
}

/* For a bug alone. */
static void exit_rdtsc(struct vcpu *v)
{
	set_pair(v, bug(TSC_STANDS) ? 0x5453430000000000 : time_now());
	vcpu_skip(v, 2);
}

/* Only who is in a hurry intercepts it. */
static void exit_pause(struct vcpu *v)
{
	v->spins = true;
	time_waits(v);
	vcpu_skip(v, 2);
}

/* No call is offered; under SEV-ES they come by the GHCB. */
static void exit_vmmcall(struct vcpu *v)
{
	struct insn insn;

	if (!insn_at_rip(v, &insn))
		panic("model: the hypercall at %#lx is not known", v->vmcb.rip);
	v->vmcb.rax = v->vmcb.cpl ? NOT_PERMITTED : NO_SUCH_CALL;
	vcpu_skip(v, insn.length);
}

static void exit_hlt(struct vcpu *v)
{
	bool shadow = vcpu_in_shadow(v);

	v->halted = true;
	if (shadow || !bug(HALT_RIP))
		vcpu_skip(v, 1);
	v->overslept = events_due(v) && bug(HLT_SLEEPS);
}

/* A machine without a CPU that runs: as the real one, a reset, which ends QEMU under -no-reboot. */
static void shut_down(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing;

	asm volatile("lidt %0; ud2" : : "m"(nothing));
}

void exit_handle(struct vcpu *v)
{
	uint64_t code = v->vmcb.exit_code;

	v->spins = false;
	if (events_shadow_holds(v) && bug(SHADOW_LOST)) {
		v->vmcb.int_state &= ~SVM_INTERRUPT_SHADOW;
		return;
	}
	if (step_faulted(v))
		return;
	if (l2_is_sev() && sev_exit(v))
		return;
	if (code >= SVM_EXIT(INTR) && v->vmcb.dr6 != DR6_CLEAR && bug(EXIT_DR6))
		v->vmcb.dr6 = DR6_CLEAR;
	switch (code) {
	case SVM_EXIT(INTR):
	case SVM_EXIT(NMI):
		return;
	case SVM_EXIT(VINTR):
		v->late = bug(SHADOW_LATE);
		return;
	case SVM_EXIT(CPUID):
		return exit_cpuid(v);
	case SVM_EXIT(MSR):
		return exit_msr(v);
	case SVM_EXIT(IOIO):
		return exit_io(v);
	case SVM_EXIT(RDTSC):
		return exit_rdtsc(v);
	case SVM_EXIT(PAUSE):
		return exit_pause(v);
	case SVM_EXIT(HLT):
		return exit_hlt(v);
	case SVM_EXIT_READ_CR0 + 8:
	case SVM_EXIT_WRITE_CR0 + 8:
		return exit_cr8(v, code == SVM_EXIT_WRITE_CR0 + 8);
	case SVM_EXIT_WRITE_DR0 + 7:
		return exit_write_dr7(v);
	case SVM_EXIT(IRET):
		return step_iret(v);
	case SVM_EXIT(INTN):
	case SVM_EXIT_EXCEPTION + VECTOR_BP:
	case SVM_EXIT_EXCEPTION + VECTOR_OF:
		return exit_soft_int(v);
	case SVM_EXIT(ICEBP):
		return soft_int1(v, insn_int1(v));
	case SVM_EXIT_EXCEPTION + VECTOR_DB:
		if (!step_done(v))
			step_debug(v);
		return;
	case SVM_EXIT_EXCEPTION + VECTOR_NP:
	case SVM_EXIT_EXCEPTION + VECTOR_SS:
	case SVM_EXIT_EXCEPTION + VECTOR_GP:
	case SVM_EXIT_EXCEPTION + VECTOR_BR:
	case SVM_EXIT_EXCEPTION + VECTOR_UD:
	case SVM_EXIT_EXCEPTION + VECTOR_PF:
		return fault_reflect(v, code - SVM_EXIT_EXCEPTION);
	case SVM_EXIT_NPF:
		return exit_npf(v);
	case SVM_EXIT(SHUTDOWN):
		return shut_down();
	case SVM_EXIT(VMMCALL):
		return exit_vmmcall(v);
	case SVM_EXIT(VMRUN):
	case SVM_EXIT(VMLOAD):
	case SVM_EXIT(VMSAVE):
	case SVM_EXIT(STGI):
	case SVM_EXIT(CLGI):
	case SVM_EXIT(SKINIT):
	case SVM_EXIT(INVLPGA):
		return undefined(v);
	}
	panic("model: exit %#lx at %#lx, info %#lx %#lx", code, v->vmcb.rip, v->vmcb.exit_info1,
	      v->vmcb.exit_info2);
}
