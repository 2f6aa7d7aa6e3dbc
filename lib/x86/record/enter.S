/* SPDX-License-Identifier: BSD-2-Clause */
#include "enter.h"
#include "x86/cpu/regs.inc"

	.code64
	.text
	.globl	snippet_enter
snippet_enter:
	pushfq
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (REGS_BYTES + 48)(%rdi)
	mov	(REGS_BYTES + 40)(%rdi), %rax
	cmp	$ENTER_JUMP, %rax
	je	.Lenter_jump
	ja	.Lenter_sysret
	pushq	(REGS_BYTES + 32)(%rdi)
	pushq	(REGS_BYTES + 24)(%rdi)
	pushq	(REGS_BYTES + 16)(%rdi)
	pushq	(REGS_BYTES + 8)(%rdi)
	pushq	(REGS_BYTES)(%rdi)
	for_each_reg load
	iretq

/* Without IRETQ nothing reads the GDT on the way, so a cold one stays cold. */
.Lenter_jump:
	mov	(REGS_BYTES + 24)(%rdi), %rsp
	pushq	(REGS_BYTES)(%rdi)
	pushq	(REGS_BYTES + 16)(%rdi)
	for_each_reg load
	popfq
	ret

.Lenter_sysret:
	cmp	$ENTER_SYSRET32, %rax
	mov	(REGS_BYTES + 24)(%rdi), %rsp
	mov	(REGS_BYTES)(%rdi), %rcx
	mov	(REGS_BYTES + 16)(%rdi), %r11
	for_each_user_reg load
	je	1f
	sysretq
1:	sysretl

	.globl	snippet_leave
snippet_leave:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	popfq
	ret
