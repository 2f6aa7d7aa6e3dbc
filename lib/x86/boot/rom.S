/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware wrap: the guest's flat image, and behind it, below 4 GiB, the code that the reset vector
 * jumps to: real mode to flat 32-bit, copy the image to where it was linked, go.
 */
#include "layout.h"

	.section .rom.image, "a"
	.balign	16
image:
	.incbin	IMAGE_FILE
	.balign	4
image_bytes_end:

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
	mov	$(image_bytes_end - image) / 4, %ecx
	rep movsl
	xor	%ebx, %ebx
	mov	$IMAGE_BASE, %eax
	jmp	*%eax

/* The code of ap.S is where the SIPI would have sent this CPU. */
	.code16
ap_reset16:
	ljmp	$AP_START_PAGE >> 4, $0

	.balign	16
	.globl	asev, asev_end, ap_reset16
asev:
	.ascii	"ASEV"
	.long	asev_end - asev
	.long	1
	.long	(asev_end - asev - 16) / 12
	/*
	 * What the guest uses, so that it has nothing to validate: low memory with the two pages, the image with its pools and
	 * stacks, and of each cold block (cold.c) the first pages. A launch takes a command for each page.
	 */
	.long	0, SNP_SECRETS_PAGE, ASEV_VALIDATED
	.long	SNP_SECRETS_PAGE, 0x1000, ASEV_SECRETS
	.long	SNP_CPUID_PAGE, 0x1000, ASEV_CPUID
	.long	SNP_CPUID_PAGE + 0x1000, 0xa0000 - SNP_CPUID_PAGE - 0x1000, ASEV_VALIDATED
	.long	IMAGE_BASE, guest_bytes, ASEV_VALIDATED
	.set	block, COLD_BASE
	.rept	(SNP_RAM_END - COLD_BASE) / COLD_BLOCK_BYTES
	.long	block, SNP_COLD_PAGES * 0x1000, ASEV_VALIDATED
	.set	block, block + COLD_BLOCK_BYTES
	.endr
asev_end:

	.balign	8
rom_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
rom_gdt_pointer:
	.word	rom_gdt_pointer - rom_gdt - 1
	.long	rom_gdt

/*
 * Where QEMU looks for what a SEV guest's firmware must tell: a list of entries that ends 32 bytes before
 * the end of the ROM and is read from there backwards; each is data, length (with itself and the name),
 * GUID. Other machines see bytes that nothing jumps to.
 */
	.section .rom.table, "a"
table:
	/* Sections of memory that a launch prepares (SNP). */
	.long	asev_distance
	.word	4 + 2 + 16
	.byte	0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47
	.byte	0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc
	/* Where other CPUs start under SEV-ES: the registers are sealed, so not where the SIPI says. */
	.long	ap_reset16
	.word	4 + 2 + 16
	.byte	0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f
	.byte	0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e
	.word	table_end - table
	.byte	0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45
	.byte	0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d
table_end:

	.section .rom.vector, "ax"
	.code16
	jmp	reset16
	.balign	16, 0
