/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VMRUN: struct regs *regs in RDI, address of the VMCB in RSI, L1's RFLAGS for VMRUN in RDX. L2's
 * registers come from *regs and go back there, but for RAX and RSP, which are the VMCB's. Returns with
 * GIF clear.
 */
#include "../layout.h"

	.code64
	.text

	.macro	for_each_reg op
	\op	%rbx, 1
	\op	%rcx, 2
	\op	%rdx, 3
	\op	%rsi, 4
	\op	%rbp, 6
	\op	%r8, 7
	\op	%r9, 8
	\op	%r10, 9
	\op	%r11, 10
	\op	%r12, 11
	\op	%r13, 12
	\op	%r14, 13
	\op	%r15, 14
	.endm
	.macro	load reg, slot
	mov	8 * \slot(%rdi), \reg
	.endm
	.macro	save reg, slot
	mov	\reg, 8 * \slot(%rdi)
	.endm

	.globl	svm_vmrun, svm_vmrun_insn, svm_vmrun_next
svm_vmrun:
	pushfq
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	push	%rdx
	mov	%rsi, %rax
	for_each_reg load
	mov	8 * 5(%rdi), %rdi
	popfq
svm_vmrun_insn:
	vmrun	%rax
svm_vmrun_next:
	push	%rdi
	mov	8(%rsp), %rdi
	for_each_reg save
	pop	8 * 5(%rdi)
	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	popfq
	ret

/*
 * snippet_enter, run as L2, returns here. VMRUN is the one instruction that must be intercepted; VMMCALL
 * stays free for the cases.
 */
	.globl	svm_l2_return, svm_l2_done
svm_l2_return:
	xor	%eax, %eax		/* what is no address of a VMCB is #GP, before the intercept */
svm_l2_done:
	vmrun	%rax
	ud2
