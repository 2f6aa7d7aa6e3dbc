/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way into every handler, and the way into and out of a snippet.
 *
 * Whether the CPU pushed an error code is read off the stack and not assumed from the vector: in
 * 64-bit mode the CPU aligns RSP to 16 before it pushes the frame (SDM 3A, "64-Bit Mode Stack
 * Frame"), so RSP is 8 mod 16 after five quadwords and 0 mod 16 after six.
 */
#include "x86/arch/exceptions.h"
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

	.macro	for_each_reg op
	\op	%rcx, 2
	\op	%r11, 10
	for_each_user_reg \op
	.endm

/* All but the two that SYSRET takes. */
	.macro	for_each_user_reg op
	\op	%rax, 0
	\op	%rbx, 1
	\op	%rdx, 3
	\op	%rsi, 4
	\op	%rbp, 6
	\op	%r8, 7
	\op	%r9, 8
	\op	%r10, 9
	\op	%r12, 11
	\op	%r13, 12
	\op	%r14, 13
	\op	%r15, 14
	\op	%rdi, 5			/* last: it may hold the address */
	.endm

	.macro	save reg, slot
	mov	\reg, 8 * \slot(%rsp)
	.endm
	.macro	restore reg, slot
	mov	8 * \slot(%rsp), \reg
	.endm
	.macro	load reg, slot
	mov	8 * \slot(%rdi), \reg
	.endm

event_entry:
	testb	$8, %spl		/* the vector lies on the frame: 0 mod 16 without an error code */
	jnz	1f
	pushq	(%rsp)			/* make room for one */
	movq	$0, 8(%rsp)
	jmp	2f
1:	orl	$FRAME_HAS_ERROR, (%rsp)
2:	cld
	sub	$REGS_BYTES, %rsp
	for_each_reg save
	mov	%rsp, %rdi
	call	event_record
	for_each_reg restore
	add	$(REGS_BYTES + 16), %rsp
	.globl	event_iret
event_iret:
	iretq

/*
 * #VC, on a stack of its own, which a second one must not overwrite: the IST entry moves at once. Until
 * it has, and after it has moved back, an NMI's handler keeps it away (vc_hold_stack). INT 29 and the
 * like come here as well, without an error code.
 */
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
2:	cld
	sub	$REGS_BYTES, %rsp
	for_each_reg save
	mov	%rsp, %rdi
	call	vc_handle
	for_each_reg restore
	add	$(REGS_BYTES + 16), %rsp
	addq	$VC_STACK_BYTES, %gs:PERCPU_VC_IST
vc_exit:
	iretq
vc_exit_end:

	.globl	snippet_enter
snippet_enter:
	pushfq
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (REGS_BYTES + 48)(%rdi)
	mov	(REGS_BYTES + 40)(%rdi), %rax
	cmp	$ENTER_JUMP, %rax
	je	.Lenter_jump
	ja	.Lenter_sysret
	pushq	(REGS_BYTES + 32)(%rdi)
	pushq	(REGS_BYTES + 24)(%rdi)
	pushq	(REGS_BYTES + 16)(%rdi)
	pushq	(REGS_BYTES + 8)(%rdi)
	pushq	(REGS_BYTES)(%rdi)
	for_each_reg load
	iretq

/* Without IRETQ nothing reads the GDT on the way, so a cold one stays cold. */
.Lenter_jump:
	mov	(REGS_BYTES + 24)(%rdi), %rsp
	pushq	(REGS_BYTES)(%rdi)
	pushq	(REGS_BYTES + 16)(%rdi)
	for_each_reg load
	popfq
	ret

.Lenter_sysret:
	cmp	$ENTER_SYSRET32, %rax
	mov	(REGS_BYTES + 24)(%rdi), %rsp
	mov	(REGS_BYTES)(%rdi), %rcx
	mov	(REGS_BYTES + 16)(%rdi), %r11
	for_each_user_reg load
	je	1f
	sysretq
1:	sysretl

	.globl	snippet_leave
snippet_leave:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	popfq
	ret

	.data
	.balign	8
event_entry_pointer:
	.quad	event_entry
