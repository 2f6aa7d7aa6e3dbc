/* SPDX-License-Identifier: BSD-2-Clause */
#include "vcpu.h"

#include "bug.h"
#include "events/step.h"
#include "intercepts.h"
#include "memory.h"
#include "sev/ghcb.h"
#include "sev/sev.h"
#include "time.h"

#include "string.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/nested/svm/svm.h"

#define CACHE_CONTROL 0x60000000ul /* CR0: CD, NW */
#define CR4_OSFXSR 0x200
#define DEFAULT_PAT 0x0007040600070406ul
#define CODE_LONG (1u << 9)
#define CODE_DEFAULT_32 (1u << 10)

static struct svm_segment segment(uint16_t selector, uint64_t base, uint16_t attributes)
{
	return (struct svm_segment){selector, attributes, 0xffff, base};
}

/*
 * Bochs delivers to us, behind VMRUN, the single-step trap that L2 was owed when it exited; L2's own DR6
 * and ours know of it. Every other #DB is our mistake.
 */
asm("	.pushsection .text\n"
    "trap_of_l2:\n"
    "	cmpq	$svm_vmrun_next, (%rsp)\n"
    "	jne	vector_stubs + 16\n"
    "	iretq\n"
    "	.popsection");
extern const uint8_t trap_of_l2[];

static void reset(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;
	struct svm_segment data = segment(0, 0, 0x93);

	memset(b, 0, sizeof(*b));
	memset(&v->regs, 0, sizeof(v->regs));
	v->event.what = v->again.what = v->stale.what = 0;
	v->nmi_blocked = v->iret_in_step = v->stepping = v->late = v->trap_due = v->int1 = false;
	b->asid = 1;
	b->tlb_control = SVM_TLB_FLUSH_ALL;
	b->int_control = SVM_V_INTR_MASKING;
	b->nested_control = SVM_NESTED_PAGING;
	b->nested_cr3 = memory_root(false);
	b->cs = segment(0xf000, 0xffff0000, 0x9b);
	b->ds = b->es = b->ss = b->fs = b->gs = data;
	b->gdtr = b->idtr = segment(0, 0, 0);
	b->ldtr = segment(0, 0, 0x82);
	b->tr = segment(0, 0, 0x8b);
	b->efer = EFER_SVME;
	b->cr0 = 0x60000010;
	b->dr6 = DR6_CLEAR;
	b->dr7 = DR7_CLEAR;
	b->rflags = X86_EFLAGS_FIXED;
	b->rip = 0xfff0;
	b->pat = DEFAULT_PAT;
	intercepts_init(b);
	v->debugctl = 0;
	v->regs.rdx = cpuid(1, 0).a;
	v->init_came = true;
	step_debug_intercept(v);
	sev_init_intercepts(v);
}

/* Segments have hidden bases, which VMLOAD has of FS and GS. */
static void keep_segments(struct vmcb *to, const struct vmcb *from)
{
	to->fs.base = from->fs.base;
	to->gs.base = from->gs.base;
	to->idtr = from->idtr;
}

static void keep_msrs(struct vmcb *to, const struct vmcb *from)
{
	to->star = from->star;
	to->lstar = from->lstar;
	to->cstar = from->cstar;
	to->sfmask = from->sfmask;
	to->kernel_gs_base = from->kernel_gs_base;
	to->sysenter_cs = from->sysenter_cs;
	to->sysenter_esp = from->sysenter_esp;
	to->sysenter_eip = from->sysenter_eip;
	to->pat = from->pat;
}

static const struct vmcb empty = {.pat = DEFAULT_PAT};

/* What a bug forgets of a CPU that has run. */
static void forget(struct vcpu *v, const struct vcpu *before)
{
	if (bug(INIT_CR0))
		v->vmcb.cr0 |= CACHE_CONTROL;
	if (bug(INIT_KEEPS_REGISTERS)) {
		v->regs = before->regs;
		v->vmcb.cr2 = before->vmcb.cr2;
	}
	if (bug(INIT_KEEPS_SEGMENTS))
		keep_segments(&v->vmcb, &before->vmcb);
	if (bug(INIT_CLEARS_MSRS))
		keep_msrs(&v->vmcb, &empty);
	v->nmi_blocked = before->nmi_blocked && bug(INIT_NMI_BLOCKED);
}

void vcpu_init(struct vcpu *v)
{
	static struct vcpu before; /* too large for a stack; under the lock */

	before = *v;
	reset(v);
	v->vmcb.cr0 = (v->vmcb.cr0 & ~CACHE_CONTROL) | (before.vmcb.cr0 & CACHE_CONTROL);
	keep_msrs(&v->vmcb, &before.vmcb);
	if (v->ap.started)
		forget(v, &before);
}

static void clear_fpu(void)
{
	static const uint32_t mxcsr = 0x1f80;

	asm volatile("fninit; ldmxcsr %0; xorps %%xmm0, %%xmm0" : : "m"(mxcsr));
}

static void clear_xcr0(void)
{
	asm volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
}

static void with_cr4(uint32_t bits, void (*work)(void))
{
	uint64_t cr4 = read_cr4();

	write_cr4(cr4 | bits);
	work();
	write_cr4(cr4);
}

void vcpu_end_init(struct vcpu *v)
{
	v->init_came = false;
	if (!v->ap.started || !bug(INIT_KEEPS_DEBUG)) {
		write_dr0(0);
		write_dr1(0);
		write_dr2(0);
		write_dr3(0);
	}
	if (v->ap.started && bug(INIT_CLEARS_FPU))
		with_cr4(CR4_OSFXSR, clear_fpu);
	if (v->ap.started && bug(INIT_CLEARS_XCR0))
		with_cr4(X86_CR4_OSXSAVE, clear_xcr0);
}

void vcpu_power_up(struct vcpu *v, unsigned number)
{
	gate_set_handler(VECTOR_DB, trap_of_l2);
	memset(v, 0, sizeof(*v));
	v->number = number;
	v->ap.waits_for_sipi = number != 0;
	lapic_reset(&v->apic, number);
	ghcb_reset(v);
	reset(v);
}

/* FS, GS, TR, LDTR and the SYSCALL MSRs are not VMRUN's business but VMLOAD's and VMSAVE's. */
void vcpu_enter(struct vcpu *v)
{
	uint64_t ours = (uint64_t)&v->ours, theirs = (uint64_t)&v->vmcb;

	v->vmcb.tsc_offset = time_tsc_offset();
	asm volatile("vmsave %%rax" : : "a"(ours) : "memory");
	asm volatile("vmload %%rax" : : "a"(theirs) : "memory");
	/* VMRUN does it as well, but not in every emulator. */
	write_cr2(v->vmcb.cr2);
	svm_vmrun(&v->regs, theirs, X86_EFLAGS_FIXED | X86_EFLAGS_IF, false);
	/* #VMEXIT should have done it; some emulators forget, and L2's breakpoints would hit us. */
	write_dr7(DR7_CLEAR);
	asm volatile("vmsave %%rax" : : "a"(theirs) : "memory");
	asm volatile("vmload %%rax" : : "a"(ours) : "memory");
	v->vmcb.tlb_control = 0;
}

/* Whether the trap of the instruction that exited is one that a bug swallows. */
static bool step_is_lost(const struct vcpu *v)
{
	bool mmio = v->vmcb.exit_code == SVM_EXIT_NPF;

	if (bug(STEP_LOST))
		return true;
	return mmio ? bug(XEN_EMUL_TF) : bug(KVM_TF_SKIPPED) || bug(VBOX_TF_SKIPPED);
}

void vcpu_skip(struct vcpu *v, unsigned length)
{
	struct vmcb *b = &v->vmcb;

	b->rip += length;
	if (vcpu_bits(v) != 64)
		b->rip &= 0xffffffff;
	b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
	/* Behind HLT nobody has it: STI; HLT; CLI in a loop would wait for ever. */
	if (b->int_state & SVM_INTERRUPT_SHADOW &&
	    (b->exit_code == SVM_EXIT(HLT) || !bug(SKIP_KEEPS_SHADOW)))
		b->int_state &= ~SVM_INTERRUPT_SHADOW;
	if (step_emulated(v) && !step_is_lost(v)) {
		if (!bug(STEP_DR6))
			b->dr6 |= DR6_BS;
		v->trap_due = true;
		if (b->exit_code == SVM_EXIT_NPF && bug(OPENVMM_TF_MMIO))
			b->rflags &= ~(uint64_t)X86_EFLAGS_TF;
	}
	if (v->trap_due)
		vcpu_raise(v, VECTOR_DB, NO_ERROR);
	if (v->trap_due && bug(STEP_DOUBLED))
		v->again = v->event;
	v->trap_due = false;
}

void vcpu_raise(struct vcpu *v, unsigned vector, int error)
{
	v->event = (struct svm_event){SVM_EVENT_VALID | SVM_EXCEPTION | vector, 0};
	if (error != NO_ERROR) {
		v->event.what |= SVM_EVENT_HAS_ERROR;
		v->event.error = error;
	}
	/* SDM 3B, "Instruction-Breakpoint Exception Condition": in a fault's frame RF is set. */
	if (vector != VECTOR_DB)
		v->vmcb.rflags |= X86_EFLAGS_RF;
}

uint64_t *vcpu_reg(struct vcpu *v, unsigned number)
{
	struct regs *r = &v->regs;
	uint64_t *const table[] = {&v->vmcb.rax, &r->rcx, &r->rdx, &r->rbx, &v->vmcb.rsp, &r->rbp,
				   &r->rsi,	 &r->rdi, &r->r8,  &r->r9,  &r->r10,	  &r->r11,
				   &r->r12,	 &r->r13, &r->r14, &r->r15};

	return table[number & 15];
}

unsigned vcpu_bits(const struct vcpu *v)
{
	if (!(v->vmcb.cr0 & X86_CR0_PE))
		return 16;
	if (v->vmcb.efer & EFER_LMA && v->vmcb.cs.attributes & CODE_LONG)
		return 64;
	return v->vmcb.cs.attributes & CODE_DEFAULT_32 ? 32 : 16;
}
