/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware wrap: the guest's flat image, and behind it, below 4 GiB, the code that the reset vector
 * jumps to: real mode to flat 32-bit, copy the image to where it was linked, go.
 */
#include "../layout.h"

	.section .rom.image, "a"
	.balign	16
image:
	.incbin	IMAGE_FILE
	.balign	4
image_end:

	.section .rom.reset, "ax"
	.code16
reset16:
	cli
	lgdtl	%cs:(rom_gdt_pointer - reset16 + RESET_OFFSET)
	mov	$0x21, %eax		/* CR0: NE, PE; CD and NW off */
	mov	%eax, %cr0
	ljmpl	$BOOT_CS32, $reset32

	.code32
reset32:
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	cld
	mov	$image, %esi
	mov	$IMAGE_BASE, %edi
	mov	$(image_end - image) / 4, %ecx
	rep movsl
	xor	%ebx, %ebx
	mov	$IMAGE_BASE, %eax
	jmp	*%eax

	.balign	8
rom_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
rom_gdt_pointer:
	.word	rom_gdt_pointer - rom_gdt - 1
	.long	rom_gdt

	.section .rom.vector, "ax"
	.code16
	jmp	reset16
	.balign	16, 0
