/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An application processor's first instructions, copied to AP_START_PAGE: real mode straight to long
 * mode on the boot CPU's page tables, then ap_main on the stack that ap_stack names.
 */
#include "layout.h"
#include "long_mode.inc"

	.section .rodata, "a"
	.globl	ap_code, ap_code_end
	.code16
ap_code:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	AP_START_PAGE + (ap_gdt_pointer - ap_code)
	enable_long_mode
	ljmpl	$KERNEL_CS, $ap_start64
	.balign	4
ap_gdt_pointer:
	.word	GDT_BYTES - 1
	.long	boot_gdt
ap_code_end:

	.text
	.code64
ap_start64:
	load_data_segments
	mov	ap_stack, %rsp
	call	ap_main
	ud2

	.bss
	.balign	8
	.globl	ap_stack
ap_stack:
	.quad	0
