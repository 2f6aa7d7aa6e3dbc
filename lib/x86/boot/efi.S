/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The UEFI wrap: a PE image whose code leaves boot services and starts the guest as the ROM does.
 *
 * The image is linked at 1 MiB, where the firmware may keep anything: its page tables, its stack, even this
 * file. So everything that is still needed goes into one block of pages below 4 GiB but above the guest
 * (`carried`), the rest runs from there, and the guest's bytes are put into place with paging off. That
 * also ends whatever paging the firmware used, with four levels or five.
 *
 * The file is its own image: offsets in it are RVAs. There are no relocations, as there is nothing to
 * relocate; some firmware wants to see the (empty) section all the same.
 */
#include "layout.h"

#define SECTION_ALIGN 0x1000
#define HIGHEST 0xffffffff
#define GUEST_END 0x1000000	/* guest.ld: no image reaches beyond */

#define EFER 0xc0000080
#define APIC_BASE 0x1b
#define APIC_PAGE 0xfee00000
#define COM1 0x3f8

/* Offsets in EFI_SYSTEM_TABLE and EFI_BOOT_SERVICES (UEFI, "EFI Boot Services Table"). */
#define BOOT_SERVICES 0x60
#define ALLOCATE_PAGES 0x28
#define GET_MEMORY_MAP 0x38
#define ALLOCATE_POOL 0x40
#define EXIT_BOOT_SERVICES 0xe8

#define ALLOCATE_MAX_ADDRESS 1
#define LOADER_DATA 2
#define MAP_BYTES 0x20000
#define TRIES 8

	.section .efi, "ax"
pe:
	.ascii	"MZ"
	.org	0x3c
	.long	pe_header - pe
pe_header:
	.ascii	"PE\0\0"
	.word	0x8664			/* x86-64 */
	.word	2			/* sections */
	.long	0, 0, 0
	.word	section_table - optional_header
	.word	0x0206			/* executable, no line numbers, no debugging */
optional_header:
	.word	0x20b			/* PE32+ */
	.byte	0, 0
	.long	code_end - code, 0, 0
	.long	entry - pe
	.long	code - pe
	.quad	0			/* wanted base: any */
	.long	SECTION_ALIGN, SECTION_ALIGN
	.word	0, 0, 0, 0, 0, 0
	.long	0
	.long	file_end - pe		/* size in memory */
	.long	code - pe		/* size of headers */
	.long	0
	.word	10, 0			/* EFI application */
	.quad	0, 0, 0, 0
	.long	0
	.long	6			/* data directories */
	.quad	0, 0, 0, 0, 0
	.long	reloc - pe, reloc_end - reloc
section_table:
	.ascii	".text\0\0\0"
	.long	code_end - code, code - pe, code_end - code, code - pe
	.long	0, 0, 0
	.long	0x60000020		/* code, execute, read */
	.ascii	".reloc\0\0"
	.long	reloc_end - reloc, reloc - pe, file_end - reloc, reloc - pe
	.long	0, 0, 0
	.long	0x42000040		/* data, discardable, read */

	.balign	SECTION_ALIGN
code:
	.code64
/* RCX: image handle, RDX: system table. The stack is 8 mod 16, as after any call. */
entry:
	push	%rbx
	push	%rbp
	push	%rdi
	push	%rsi
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$0x68, %rsp		/* 32 bytes for callees, a fifth argument, variables */
	mov	%rcx, %r12
	mov	BOOT_SERVICES(%rdx), %r13

	mov	$HIGHEST, %eax
	mov	%rax, 0x30(%rsp)
	mov	$ALLOCATE_MAX_ADDRESS, %ecx
	mov	$LOADER_DATA, %edx
	mov	$(carried_end - carried + 0xfff) / 0x1000, %r8d
	lea	0x30(%rsp), %r9
	call	*ALLOCATE_PAGES(%r13)
	test	%rax, %rax
	jnz	give_up
	mov	0x30(%rsp), %rbx
	mov	$0x8000000000000009, %rax	/* EFI_OUT_OF_RESOURCES */
	cmp	$GUEST_END, %rbx
	jb	give_up
	cld
	lea	carried(%rip), %rsi
	mov	%rbx, %rdi
	mov	$(carried_end - carried) / 8, %ecx
	rep movsq

	mov	$LOADER_DATA, %ecx
	mov	$MAP_BYTES, %edx
	lea	0x30(%rsp), %r8
	call	*ALLOCATE_POOL(%r13)
	test	%rax, %rax
	jnz	give_up
	mov	0x30(%rsp), %r14

	/* The map may change under our hands; then its key is refused. */
	mov	$TRIES, %ebp
1:	movq	$MAP_BYTES, 0x30(%rsp)
	lea	0x30(%rsp), %rcx
	mov	%r14, %rdx
	lea	0x38(%rsp), %r8
	lea	0x40(%rsp), %r9
	lea	0x48(%rsp), %rax
	mov	%rax, 0x20(%rsp)
	call	*GET_MEMORY_MAP(%r13)
	test	%rax, %rax
	jnz	give_up
	mov	%r12, %rcx
	mov	0x38(%rsp), %rdx
	call	*EXIT_BOOT_SERVICES(%r13)
	test	%rax, %rax
	jz	alone
	dec	%ebp
	jnz	1b
give_up:
	add	$0x68, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rsi
	pop	%rdi
	pop	%rbp
	pop	%rbx
	ret

/* The machine is ours. RBX: the block. */
alone:
	cli
	mov	%cr4, %rax
	btr	$17, %rax		/* PCIDE: not without paging */
	mov	%rax, %cr4
	lea	(gdt - carried)(%rbx), %rax
	mov	%rax, (gdt_pointer - carried + 2)(%rbx)
	lgdt	(gdt_pointer - carried)(%rbx)
	lea	(below - carried)(%rbx), %rax
	pushq	$BOOT_CS32
	push	%rax
	lretq

	.balign	16
carried:
	.code32
below:
	mov	%ebx, %ebp
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%cr0, %eax
	and	$0x7fffffff, %eax	/* PG */
	mov	%eax, %cr0
	xor	%eax, %eax
	xor	%edx, %edx
	mov	$EFER, %ecx
	wrmsr
	mov	%eax, %cr4
	mov	$0x21, %eax		/* CR0: NE, PE */
	mov	%eax, %cr0

	/* As after reset: nobody interrupts, and the APIC answers in its page. */
	mov	$0xff, %al
	out	%al, $0x21
	out	%al, $0xa1
	mov	$APIC_BASE, %ecx
	rdmsr
	test	$0x400, %eax		/* x2APIC: back by way of "off" */
	jz	1f
	and	$~0xc00, %eax
	wrmsr
	or	$0x800, %eax
	wrmsr
1:	movl	$0x10000, APIC_PAGE + 0x320	/* the timer: masked, stopped */
	movl	$0, APIC_PAGE + 0x380

	/* The firmware's console may have left COM1 in the middle of a line. */
	mov	$COM1, %edx
	mov	$'\n', %al
	out	%al, %dx
	mov	$COM1 + 5, %edx
	mov	$1000000, %ecx
2:	in	%dx, %al
	test	$0x40, %al		/* sent */
	loopz	2b

	lea	(image - carried)(%ebp), %esi
	mov	$IMAGE_BASE, %edi
	mov	$(carried_end - image) / 4, %ecx
	rep movsl
	lea	(magic - carried)(%ebp), %ebx
	mov	$IMAGE_BASE, %eax
	jmp	*%eax

	.balign	8
magic:
	.ascii	"EFI "			/* args.c */
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.quad	0
	.balign	16
image:
	.incbin	IMAGE_FILE
	.balign	8
carried_end:
	.balign	SECTION_ALIGN
code_end:
reloc:
	.long	0, 8
reloc_end:
	.balign	SECTION_ALIGN
file_end:
