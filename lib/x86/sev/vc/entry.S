/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * #VC, on a stack of its own, which a second one must not overwrite: the IST entry moves at once. Until
 * it has, and after it has moved back, an NMI's handler keeps it away (vc_hold_stack). INT 29 and the
 * like come here as well, without an error code.
 */
#include "x86/arch/exceptions.h"
#include "x86/boot/layout.h"
#include "x86/cpu/regs.inc"

	.code64
	.text
	.globl	vc_entry, vc_entry_held, vc_exit, vc_exit_end
vc_entry:
	subq	$VC_STACK_BYTES, %gs:PERCPU_VC_IST
vc_entry_held:
	testb	$8, %spl		/* the frame alone: 8 mod 16 without an error code */
	jz	1f
	pushq	$0
	pushq	$VECTOR_VC
	jmp	2f
1:	pushq	$VECTOR_VC | FRAME_HAS_ERROR
2:	pushfq
	cld
	sub	$REGS_BYTES, %rsp
	for_each_reg save
	mov	%rsp, %rdi
	call	vc_handle
	for_each_reg restore
	add	$(REGS_BYTES + FRAME_ABOVE_REGS), %rsp
	addq	$VC_STACK_BYTES, %gs:PERCPU_VC_IST
vc_exit:
	iretq
vc_exit_end:
