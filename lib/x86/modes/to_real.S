/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real mode. What runs there is copied to the segment at LOW_BASE, and struct outside with it (LOW_OUTSIDE): a
 * segment of 64 KiB does not reach the image. CS may be written in real mode.
 */
#include "layout.h"
#include "x86/boot/layout.h"
#include "x86/record/enter.h"

#define CR0_PE 1
#define OFFSET(label) (label - real_code + LOW_CODE)
#define FIELD(field) %cs:(LOW_OUTSIDE + OUTSIDE_ ## field)

	.code32
	.text
	.globl	real_begin
real_begin:
	mov	outside + OUTSIDE_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	ljmp	$REAL_CS, $OFFSET(real_enter)

real_back:
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	jmp	mode_leave

	.section .rodata, "a"
	.balign	16
	.globl	real_code, real_code_end
	.code16
real_code:
	.set	vector, 0
	.rept	256
	.byte	0x68
	.word	vector
	jmp	from_real
	.balign	VECTOR_STUB_BYTES, 0xcc
	.set	vector, vector + 1
	.endr

from_real:
	mov	%eax, FIELD(EAX)
	mov	%edi, FIELD(EDI)
	mov	%esi, FIELD(ESI)
	mov	%ebp, FIELD(EBP)
	mov	%ebx, FIELD(EBX)
	mov	%edx, FIELD(EDX)
	mov	%ecx, FIELD(ECX)
	popw	FIELD(VECTOR)
	mov	%esp, FIELD(ESP)
	mov	%ss, FIELD(SS)
	mov	%ds, FIELD(DS)
	pushfl
	popl	FIELD(EFLAGS)
	lgdtl	%cs:OFFSET(real_gdt_pointer)
	mov	%cr0, %eax
	or	$CR0_PE, %eax
	mov	%eax, %cr0
	ljmpl	$BOOT_CS32, $real_back

real_enter:
	mov	%cr0, %eax
	and	$~CR0_PE, %eax
	mov	%eax, %cr0
	ljmp	$LOW_SELECTOR, $OFFSET(1f)
1:	mov	FIELD(SS), %ss
	mov	FIELD(ESP), %esp
	mov	FIELD(EDI), %edi
	mov	FIELD(ESI), %esi
	mov	FIELD(EBP), %ebp
	mov	FIELD(EBX), %ebx
	mov	FIELD(EDX), %edx
	mov	FIELD(ECX), %ecx
	mov	FIELD(EAX), %eax
	mov	FIELD(DS), %es
	mov	FIELD(DS), %fs
	mov	FIELD(DS), %gs
	mov	FIELD(DS), %ds
	cmpl	$ENTER_JUMP, FIELD(METHOD)
	je	1f
	iretw
1:	iretl

	.balign	8
real_gdt_pointer:
	.word	GDT_BYTES - 1
	.long	boot_gdt
real_code_end:
