/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A paravirtual kernel that Xen starts as its first domain: its notes (xen/include/public/elfnote.h), its first
 * instructions, and the page that Xen fills with the ways into it.
 */
#define NOTE(type, content)		\
	.balign	4;			\
	.long	4, 2f - 1f, type;	\
	.asciz	"Xen";			\
1:	content;			\
2:	.balign	4

	.section .note.xen, "a", @note
	NOTE(1, .quad start)				/* ENTRY */
	NOTE(2, .quad hypercall_page)			/* HYPERCALL_PAGE */
	NOTE(3, .quad 0)				/* VIRT_BASE */
	NOTE(5, .asciz "xen-3.0")			/* XEN_VERSION */
	NOTE(6, .asciz "trapline")			/* GUEST_OS */
	NOTE(8, .asciz "generic")			/* LOADER */
	NOTE(9, .asciz "yes")				/* PAE_MODE */
	NOTE(10, .asciz "!writable_page_tables|pae_pgdir_above_4gb")	/* FEATURES */
	NOTE(17, .long 1 << 11)				/* SUPPORTED_FEATURES: dom0 */

	.section .text.start, "ax"
	.globl	start
start:
	cld
	lea	stack_end(%rip), %rsp
	mov	%rsi, %rdi			/* struct start_info */
	call	dom0
	ud2

	/* long hypercall(unsigned op, …): C has its fourth argument in RCX, which SYSCALL needs; Xen has it in R10. */
	.globl	hypercall
hypercall:
	mov	%edi, %eax
	shl	$5, %eax
	lea	hypercall_page(%rip), %r11
	add	%r11, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	jmp	*%rax

	.balign	4096
hypercall_page:
	.skip	4096

	.section .bss
	.balign	16
	.skip	65536
stack_end:
	.section .note.GNU-stack, "", @progbits
