/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the boot protocol enters a 64-bit kernel: RSI has the boot parameters; a stack is the kernel's to find. */
	.section .text.start, "ax"
	.globl	_start
_start:
	lea	stack_top(%rip), %rsp
	mov	%rsi, %rdi
	call	kernel
	ud2

	.bss
	.balign	16
	.skip	8192
stack_top:
