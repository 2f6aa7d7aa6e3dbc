/* SPDX-License-Identifier: BSD-2-Clause */
/* The layers `svm`, `svm-nonpt` and `svm-reflect`: what cases use of SVM besides l2.h. */
#ifndef LIB_X86_SVM_SVM_H
#define LIB_X86_SVM_SVM_H

#include "x86/arch/vmcb.h"
#include "x86/nested/l2.h"

#include <stdbool.h>
#include <stdint.h>

void svm_intercept(struct l2 *v, unsigned intercept);

static inline void stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

static inline void clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

/* L1 executes STI right before VMRUN. Reset before each case. */
extern bool svm_sti_before_vmrun;

/* What CPUID Fn8000_000A says of this CPU. */
bool svm_has_next_rip(void);

/* Skips the case where traps cannot be injected. */
#define need_soft_injection() need_of_machine(svm_has_next_rip(), "NRIPS")

/* The name of an exit code: "NPF", "SHUTDOWN"; NULL for exceptions and for codes without one. */
const char *svm_exit_name(uint64_t code);

/* run.S */
void svm_vmrun(struct regs *regs, uint64_t vmcb, uint64_t host_rflags, bool behind_sti);
extern const uint8_t svm_vmrun_insn[], svm_vmrun_next[], svm_l2_return[], svm_l2_done[];

#endif
