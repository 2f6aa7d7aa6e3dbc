/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor's way from the PVH loader's 32-bit entry to C in long mode, on tables that map 512 GiB one to one in
 * pages of 1 GiB; and a stub for each exception of its own, all of which end the machine. PVH: Xen's
 * docs/misc/pvh.pandoc, "x86/HVM direct boot ABI".
 */
	.section .note.pvh, "a", @note
	.long	4, 4, 18		/* name, value, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start

	.section .text.start, "ax"
	.code32
	.globl	start
start:
	cli
	cld
	lgdt	gdt_pointer
	mov	%ebx, %ebp		/* struct start_info */
	mov	$bss_begin, %edi
	mov	$bss_dwords, %ecx
	xor	%eax, %eax
	rep stosl

	mov	$one_to_one_pdpt, %edi
	lea	0x67(%edi), %eax
	mov	%eax, one_to_one
	xor	%ecx, %ecx
1:	mov	%ecx, %eax
	shl	$30, %eax
	or	$0xe7, %eax		/* present, writable, user, accessed, dirty, large */
	mov	%eax, (%edi)
	mov	%ecx, %eax
	shr	$2, %eax
	mov	%eax, 4(%edi)
	add	$8, %edi
	inc	%ecx
	cmp	$512, %ecx
	jb	1b

	mov	$0x40620, %eax		/* CR4: PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
	mov	%eax, %cr4
	mov	$one_to_one, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER: SCE, LME, NXE. NXE is what NX in nested tables goes by. */
	mov	$0x901, %eax
	xor	%edx, %edx
	wrmsr
	mov	$0x80010033, %eax	/* CR0: PG, WP, NE, ET, MP, PE */
	mov	%eax, %cr0
	ljmp	$0x10, $start64

	.code64
start64:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %esp
	mov	%ebp, %edi
	call	host_main
	ud2

	.macro	stub number, has_error
	.balign	16
	.if \has_error == 0
	push	$0
	.endif
	push	$\number
	jmp	fault_common
	.endm

	.globl	fault_stubs
	.balign	16
fault_stubs:
	.set	n, 0
	.rept	32
	.if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17) || (n == 21) || (n == 29) || (n == 30)
	stub	n, 1
	.else
	stub	n, 0
	.endif
	.set	n, n + 1
	.endr
fault_common:
	mov	%rsp, %rdi
	call	host_fault
	ud2

	.section .rodata, "a"
	.balign	8
	.globl	host_gdt
host_gdt:				/* also L1's first */
	.quad	0
	.quad	0x00cf9b000000ffff	/* 08: 32-bit code */
	.quad	0x00af9b000000ffff	/* 10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 18: data */
gdt_pointer:
	.word	31
	.long	host_gdt, 0

	.bss
	.balign	4096
one_to_one:
	.skip	4096
one_to_one_pdpt:
	.skip	4096
	.skip	32768
stack_top:
