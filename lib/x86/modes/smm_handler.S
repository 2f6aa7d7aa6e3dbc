/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handler of an SMI, copied to SMBASE + 8000h: writes down what it finds, does what the plan says and executes
 * RSM, which loads all registers again. SDM 3C, "SMI Handler Execution Environment": 16-bit code, CS at SMBASE, other
 * segments at 0 with limits of 4 GiB.
 */
#include "smm_layout.h"

#define MSR_EFER 0xc0000080
#define APIC_ICR 0xfee00300
#define OFFSET(label) (label - smm_code + SMM_ENTRY)
#define PLAN(field) SMM_PLAN + PLAN_##field
#define VECTORS 0x22
#define PTE_ACCESSED 0x20

	.section .rodata, "a"
	.balign	16
	.globl	smm_code, smm_code_end, smm_stubs
	.code16
smm_code:
	mov	$SMM_SELECTOR, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$SMM_STACK, %esp
	pushfl
	cld
	lidtl	PLAN(TABLE)
	mov	PLAN(COUNT), %ebp
	mov	%ebp, %ebx
	incl	PLAN(COUNT)
	cmp	$SMM_MAX_SEEN, %ebx
	jae	1f
	imul	$SEEN_BYTES, %ebx, %ebx
	add	$SMM_SEEN, %ebx
	mov	$SMM_STATE, %esi
	mov	%ebx, %edi
	mov	$(SMM_STATE_BYTES / 4), %ecx
	rep movsl
	pop	%eax
	mov	%eax, SEEN_EFLAGS(%bx)
	mov	%cr0, %eax
	mov	%eax, SEEN_CR0(%bx)
	mov	%cr4, %eax
	mov	%eax, SEEN_CR4(%bx)
	mov	%dr7, %eax
	mov	%eax, SEEN_DR7(%bx)
	mov	$MSR_EFER, %ecx
	rdmsr
	mov	%eax, SEEN_EFER(%bx)
	mov	PLAN(DELIVERED_AT), %esi
	mov	%fs:(%esi), %eax
	mov	%eax, SEEN_DELIVERED(%bx)
	mov	%cs, SEEN_CS(%bx)
1:	mov	$SMM_STACK, %esp
	cmp	$SMM_MAX_ACTIONS, %ebp
	jae	leave
	mov	SMM_PLAN + PLAN_ACTIONS(, %ebp, 4), %ebx
	mov	$APIC_ICR, %edi
	mov	PLAN(ICR), %eax
	test	$SMM_SEND, %bx
	jz	1f
	mov	%eax, %fs:(%edi)
1:	test	$SMM_SEND_AGAIN, %bx
	jz	1f
	mov	%eax, %fs:(%edi)
1:	test	$SMM_IRET, %bx
	jz	1f
	pushfw
	push	%cs
	pushw	$OFFSET(1f)
	iretw
1:	test	$SMM_INT3, %bx
	jz	1f
	int3
1:	test	$SMM_INT_N, %bx
	jz	1f
	int	$0x20
1:	test	$SMM_UD2, %bx
	jz	1f
	ud2
1:	test	$SMM_DIVIDE, %bx
	jz	1f
	xor	%cx, %cx
	div	%cx
1:	mov	PLAN(POKE_AT), %di
	mov	PLAN(POKE), %eax
	test	$SMM_POKE, %bx
	jz	1f
	mov	%eax, (%di)
1:	test	$SMM_POKE_BYTE, %bx
	jz	1f
	mov	%al, (%di)
1:	test	$SMM_POKE_HALF, %bx
	jz	leave
	mov	%ax, (%di)
leave:
	/* As mode_leave (switch.S): a hypervisor that executes RSM refuses the bit that QEMU has set. */
	mov	PLAN(PAE), %edi
	test	%edi, %edi
	jz	1f
	andl	$~PTE_ACCESSED, %fs:(%edi)
	andl	$~PTE_ACCESSED, %fs:8(%edi)
	andl	$~PTE_ACCESSED, %fs:16(%edi)
	andl	$~PTE_ACCESSED, %fs:24(%edi)
1:	rsm

	/* 8 bytes for each vector. */
	.balign	8
smm_stubs:
	.set	vector, 0
	.rept	VECTORS
	.byte	0x68
	.word	vector
	.byte	0xe9
	.word	event - . - 2
	.balign	8
	.set	vector, vector + 1
	.endr

	/* An event in SMM; UD2 and DIV have 2 bytes. */
event:	mov	%sp, %bp
	push	%eax
	push	%esi
	mov	PLAN(EVENTS), %si
	incl	PLAN(EVENTS)
	cmp	$SMM_MAX_EVENTS, %si
	jae	1f
	shl	$3, %si
	mov	(%bp), %ax
	mov	%ax, SMM_PLAN + PLAN_EVENT_LIST(%si)
	mov	2(%bp), %ax
	mov	%ax, SMM_PLAN + PLAN_EVENT_LIST + 2(%si)
	mov	4(%bp), %ax
	mov	%ax, SMM_PLAN + PLAN_EVENT_LIST + 4(%si)
	mov	6(%bp), %ax
	mov	%ax, SMM_PLAN + PLAN_EVENT_LIST + 6(%si)
1:	mov	(%bp), %ax
	test	%ax, %ax
	jz	2f
	cmp	$6, %ax
	jne	3f
2:	addw	$2, 2(%bp)
3:	pop	%esi
	pop	%eax
	add	$2, %sp
	iretw
smm_code_end:

	/*
	 * Where an event lands that is delivered in SMM before the handler has loaded its own table: the IDT of protected
	 * or long mode, taken for one of real mode, has this at vector 1.
	 */
	.globl	smm_stray, smm_stray_end
smm_stray:
	mov	$(SMBASE + PLAN(EVENTS)), %ebx
	incl	(%ebx)
	iretw
smm_stray_end:
