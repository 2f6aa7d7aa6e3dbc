/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VM entry: struct regs *regs in RDI, whether the VMCS was launched in ESI, in EDX whether it is to stand in
 * the shadow of MOV SS (1) or of STI (3), which is for launched ones. L2's registers come from *regs and go back there, but for RSP, which is the
 * VMCS's. Returns 0 behind a VM exit; else 1 for VMfailInvalid, 2 for VMfailValid.
 */
#include "x86/nested/l2_regs.inc"
#include "x86/boot/layout.h"

	.code64
	.text

	.globl	vmx_entry, vmx_exit
vmx_entry:
	push_preserved
	push	%rdi
	mov	$0x6c14, %eax		/* VMCS_HOST_RSP */
	vmwrite	%rsp, %rax
	lea	(%esi, %edx, 2), %eax
	cmp	$1, %eax
	for_each_reg load
	mov	(%rdi), %rax
	mov	8 * 5(%rdi), %rdi
	je	1f
	ja	2f
	vmlaunch
	jmp	5f
1:	vmresume
	jmp	5f
2:	jp	4f			/* 1 + 2 * 3 - 1 has two bits, 1 + 2 * 1 - 1 has one */
	mov	host_ss(%rip), %ss
	vmresume
	jmp	5f
4:	sti
	vmresume
5:	pushfq
	cli
	popq	vmx_flags_of_failure(%rip)
	mov	$1, %eax		/* VMfailInvalid: CF; VMfailValid: ZF */
	adc	$0, %eax
	xor	$3, %eax
	pop	%rdi
	pop_preserved
	ret

vmx_exit:
	push	%rdi
	mov	8(%rsp), %rdi
	for_each_reg save
	mov	%rax, (%rdi)
	pop	8 * 5(%rdi)
	pop	%rdi
	pop_preserved
	xor	%eax, %eax
	ret

	.globl	vmx_flags_of_failure
	.bss
	.balign	8
vmx_flags_of_failure:
	.quad	0

	.section .rodata
host_ss:
	.word	KERNEL_DS
	.text

/*
 * snippet_enter, run as L2, returns here. VMCALL exits anyway; the address tells this one from a case's. The
 * segment registers that snippets load become what vmcs_returned() then knows of them.
 */
	.globl	vmx_l2_return, vmx_l2_end
vmx_l2_return:
	mov	host_ss(%rip), %ss
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
vmx_l2_end:
	vmcall
	ud2
