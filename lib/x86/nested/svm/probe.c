/* SPDX-License-Identifier: BSD-2-Clause */
/* What no CPUID bit says of this CPU's SVM: found out by running L2 for an instruction. */
#include "l1.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"

asm(".text\n"
    "svm_probe: nop; nop\n");
extern const uint8_t svm_probe[];

/* A step over a NOP that L1 intercepts, with nothing else of the VMCB changed in the end. */
static bool steps_with_dr6(struct l2 *v)
{
	static struct vmcb saved[MAX_CPUS] __attribute__((section(".noinit")));
	struct vmcb *vmcb = v->vmcb, *before = &saved[v->cpu->index];
	struct regs regs = {0};
	bool has_dr6;

	*before = *vmcb;
	vmcb->intercept_exceptions = EXCEPTION(VECTOR_DB);
	vmcb->rip = (uint64_t)svm_probe;
	vmcb->rflags |= X86_EFLAGS_TF;
	vmcb->dr6 = DR6_CLEAR;
	vmcb->dr7 = DR7_CLEAR;
	svm_vmrun(&regs, (uint64_t)vmcb, X86_EFLAGS_FIXED, false);
	has_dr6 = vmcb->exit_code == SVM_EXIT_EXCEPTION + VECTOR_DB && vmcb->dr6 & DR6_BS;
	*vmcb = *before;
	return has_dr6;
}

bool svm_db_exit_has_dr6(struct l2 *v)
{
	static enum { UNKNOWN, NO, YES } known;

	if (known == UNKNOWN)
		known = steps_with_dr6(v) ? YES : NO;
	return known == YES;
}
