/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From flat 32-bit protected mode, paging off, to C in long mode.
 *
 * Both containers arrive here: the PVH loader at pvh_start with EBX = start_info, the ROM's reset code
 * at image_start with EBX = 0 after it has copied the image to IMAGE_BASE. The page tables are part of
 * the image, with accessed and dirty bits set, so nothing has to be built: 4 GiB, one to one, 2 MiB
 * pages, open to CPL3 (tests that need a closed page close one). Under SEV, sev_boot makes RAM and ROM
 * private in them.
 */
#include "layout.h"
#include "long_mode.inc"

	.section .note.pvh, "a", @note
	.long	4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	image_start

	.section .text.start, "ax"
	.code32
	.globl	image_start
image_start:
	cli
	cld
	lgdt	boot_gdt_pointer
	mov	%ebx, %ebp
	mov	$bss_begin, %edi
	mov	$bss_dwords, %ecx
	xor	%eax, %eax
	rep stosl
	mov	$cpu_stacks + STACK_BYTES, %esp
	call	sev_boot

	enable_long_mode
	ljmp	$KERNEL_CS, $start64

	.code64
start64:
	load_data_segments
	mov	$cpu_stacks + STACK_BYTES, %esp
	mov	%ebp, %edi
	call	guest_main
	ud2

	.section .rodata, "a"
	.balign	8
	.globl	boot_gdt, boot_gdt_pointer
boot_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* BOOT_CS32 */
	.quad	0x00af9b000000ffff	/* KERNEL_CS */
	.quad	0x00cf93000000ffff	/* KERNEL_DS */
	.quad	0x00cffb000000ffff	/* USER_CS32 */
	.quad	0x00cff3000000ffff	/* USER_DS */
	.quad	0x00affb000000ffff	/* USER_CS */
	.quad	0x00009b020000ffff	/* REAL_CS */
	.quad	0, 0			/* the TSS */
	.quad	0x000093000000ffff	/* REAL_DS */
boot_gdt_pointer:
	.word	GDT_BYTES - 1
	.long	boot_gdt
	.long	0

#define TABLE 0x67			/* present, writable, user, accessed, dirty */
#define LARGE (TABLE | 0x80)
#define LARGE_UNCACHED (LARGE | 0x18)	/* PWT, PCD */

	.section .data.page_tables, "aw"
	.balign	4096
	.globl	boot_pml4, boot_pdpt, boot_pd
boot_pml4:
	.quad	boot_pdpt + TABLE
	.fill	511, 8, 0
boot_pdpt:
	.set	i, 0
	.rept	4
	.quad	boot_pd + i * 4096 + TABLE
	.set	i, i + 1
	.endr
	.fill	508, 8, 0
boot_pd:
	.set	i, 0
	.rept	3 * 512
	.quad	(i << 21) + LARGE
	.set	i, i + 1
	.endr
	.rept	512			/* the last GiB holds the devices */
	.quad	(i << 21) + LARGE_UNCACHED
	.set	i, i + 1
	.endr
