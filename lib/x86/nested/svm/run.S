/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VMRUN: struct regs *regs in RDI, address of the VMCB in RSI, L1's RFLAGS for VMRUN in RDX, whether an
 * STI stands right before it in ECX. L2's registers come from *regs and go back there, but for RAX and RSP,
 * which are the VMCB's. Returns with GIF clear.
 */
#include "x86/nested/l2_regs.inc"

	.code64
	.text

	.globl	svm_vmrun, svm_vmrun_insn, svm_vmrun_next
svm_vmrun:
	pushfq
	push_preserved
	push	%rdi
	push	%rdx
	mov	%rsi, %rax
	test	%ecx, %ecx
	for_each_reg load		/* and no flags */
	mov	8 * 5(%rdi), %rdi
	jnz	1f
	popfq
svm_vmrun_insn:
	vmrun	%rax
svm_vmrun_next:
	push	%rdi
	mov	8(%rsp), %rdi
	for_each_reg save
	pop	8 * 5(%rdi)
	pop	%rdi
	pop_preserved
	popfq
	ret

1:	popfq
	sti
	vmrun	%rax
	jmp	svm_vmrun_next

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
