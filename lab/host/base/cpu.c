/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu.h"

#include "log.h"

#include "x86/nested/svm/svm.h"

#define CPUID_80000001_C_SVM (1u << 2)
#define SVM_D_NESTED_PAGING (1u << 0)

#define EFLAGS_VM (1u << 17)
#define CS_LONG (1u << 9)
#define CS_DEFAULT32 (1u << 10)

struct cpu cpu0;

void cpu_enable_svm(void)
{
	static uint8_t host_save_area[PAGE] __attribute__((aligned(4096)));

	if (!(cpuid(0x80000001, 0).c & CPUID_80000001_C_SVM))
		stop("the CPU has no SVM, on which L1 would run");
	if (!(cpuid(0x8000000a, 0).d & SVM_D_NESTED_PAGING))
		stop("the CPU's SVM has no nested paging, on which L1 would run");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	clgi();
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save_area);
}

uint64_t *cpu_gpr(struct cpu *c, struct vmcb *b, unsigned number)
{
	struct regs *r = &c->regs;
	uint64_t *const table[] = {&b->rax, &r->rcx, &r->rdx, &r->rbx, &b->rsp, &r->rbp,
				   &r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
				   &r->r12, &r->r13, &r->r14, &r->r15};

	return table[number & 15];
}

struct insn_regs cpu_insn_regs(struct cpu *c, struct vmcb *b)
{
	struct insn_regs regs = {.rip = b->rip};

	for (unsigned i = 0; i < 16; i++)
		regs.gpr[i] = *cpu_gpr(c, b, i);
	return regs;
}

uint64_t cpu_segment_base(void *b, unsigned segment)
{
	const struct vmcb *v = b;
	const struct svm_segment *const table[] = {&v->es, &v->cs, &v->ss, &v->ds, &v->fs, &v->gs};

	return table[segment]->base;
}

unsigned code_bits(const struct vmcb *b)
{
	if (!(b->cr0 & X86_CR0_PE) || b->rflags & EFLAGS_VM)
		return 16;
	if (b->efer & EFER_LMA && b->cs.attributes & CS_LONG)
		return 64;
	return b->cs.attributes & CS_DEFAULT32 ? 32 : 16;
}

enum insn_mode code_mode(const struct vmcb *b)
{
	unsigned bits = code_bits(b);

	return bits == 64 ? INSN_MODE_64 : bits == 32 ? INSN_MODE_32 : INSN_MODE_16;
}

void move_rip(struct vmcb *b, uint64_t rip)
{
	b->rip = code_bits(b) == 64 ? rip : (uint32_t)rip;
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
}

void l1_skip(struct cpu *c, unsigned bytes)
{
	move_rip(&c->l1, c->l1.rip + bytes);
}

void l1_gp(struct cpu *c)
{
	c->l1.inject = (struct svm_event){
		SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | VECTOR_GP, 0};
}

void cpu_run(struct cpu *c, struct vmcb *b, bool host_if)
{
	svm_vmrun(&c->regs, (uint64_t)b, X86_EFLAGS_FIXED | (host_if ? X86_EFLAGS_IF : 0), false);
}
