/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way into every handler.
 *
 * Whether the CPU pushed an error code is read off the stack and not assumed from the vector: in
 * 64-bit mode the CPU aligns RSP to 16 before it pushes the frame (SDM 3A, "64-Bit Mode Stack
 * Frame"), so RSP is 8 mod 16 after five quadwords and 0 mod 16 after six.
 */
#include "regs.inc"
#include "x86/boot/layout.h"

	.code64
	.text

/* Position-independent, so that one stub can be copied to a cold page. */
	.balign	VECTOR_STUB_BYTES
	.globl	vector_stubs
vector_stubs:
	.set	vector, 0
	.rept	256
	.byte	0x68			/* push imm32; the assembler would pick the short form below 128 */
	.long	vector
	jmp	*event_entry_pointer
	.balign	VECTOR_STUB_BYTES, 0xcc
	.set	vector, vector + 1
	.endr

event_entry:
	pushfq				/* as the CPU has left them */
	testb	$8, %spl		/* with the vector on the frame: 8 mod 16 without an error code */
	jz	1f
	pushq	(%rsp)			/* make room for one */
	pushq	16(%rsp)
	popq	8(%rsp)
	movq	$0, 16(%rsp)
	jmp	2f
1:	orl	$FRAME_HAS_ERROR, 8(%rsp)
2:	cld
	testb	$2, 1(%rsp)		/* IF: behind a trap gate nothing has cleared it */
	jz	3f
	cli
3:	sub	$REGS_BYTES, %rsp
	for_each_reg save
	mov	%rsp, %rdi
	call	event_record
	for_each_reg restore
	add	$(REGS_BYTES + FRAME_ABOVE_REGS), %rsp
	.globl	event_iret
event_iret:
	iretq

	.data
	.balign	8
event_entry_pointer:
	.quad	event_entry
