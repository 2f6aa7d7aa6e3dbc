/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start of the runner's own test guests: 64 KiB of real-mode firmware.
 *
 * The reset vector jumps to the start of the ROM (0xf000:0, the copy below 1 MiB), which copies
 * all of it to linear 0x10000 and runs it there with CS = DS = SS = 0x1000, so that the C code
 * of tests/guests has one flat 64 KiB segment.  Offsets in ROM and RAM are the same.
 *
 * The argument block and the case table are laid out as docs/contract.md says.
 */
	.code16
	.section .start, "ax"
	.globl	_start
_start:
	cli
	cld
	movw	$0xf000, %ax
	movw	%ax, %ds
	movw	$0x1000, %ax
	movw	%ax, %es
	movw	%ax, %ss
	xorw	%si, %si
	xorw	%di, %di
	movw	$0x8000, %cx
	rep movsw
	movw	%ax, %ds
	movl	$0xeff0, %esp
	ljmpw	$0x1000, $1f
1:	calll	guest_main
2:	hlt
	jmp	2b

	.section .args, "aw"
	.globl	args_block
args_block:
	.ascii	"TRAPLINE-ARGS-1\n"
	.zero	4096 - 16

	.section .reset, "ax"
	ljmpw	$0xf000, $0
	.org	16, 0
