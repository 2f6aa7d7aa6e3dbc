/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From long mode to 32-bit protected mode and back. The image is mapped one to one in every mode, and lies below
 * 4 GiB: paging may be switched under the code's feet.
 */
#include "layout.h"
#include "x86/boot/layout.h"
#include "x86/record/enter.h"

#define MSR_SYSENTER_CS 0x174
#define MSR_EFER 0xc0000080
#define MSR_GS_BASE 0xc0000101
#define EFER_LME 0x100
#define CR0_PG 0x80000000
#define PTE_ACCESSED 0x20

	.code64
	.text
	.globl	mode_switch
mode_switch:
	pushfq
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, inside_rsp
	mov	%cr0, %rax
	mov	%eax, inside_cr0
	mov	%cr3, %rax
	mov	%eax, inside_cr3
	mov	%cr4, %rax
	mov	%eax, inside_cr4
	mov	$MSR_GS_BASE, %ecx
	rdmsr
	mov	%eax, inside_gs
	sidt	inside_idtr
	sgdt	inside_gdtr
	lgdt	boot_gdt_pointer
	lidt	outside + OUTSIDE_IDTR
	pushq	$BOOT_CS32
	pushq	$to_legacy
	lretq

	.code32
to_legacy:
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	inside_cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	$MSR_EFER, %ecx
	rdmsr
	and	$~EFER_LME, %eax
	wrmsr
	mov	outside + OUTSIDE_CR3, %eax
	mov	%eax, %cr3
	mov	outside + OUTSIDE_CR4, %eax
	cmp	inside_cr4, %eax
	je	1f
	mov	%eax, %cr4
1:	cmpl	$0, outside + OUTSIDE_DATA
	jne	real_begin
	mov	outside + OUTSIDE_CR0, %eax
	mov	%eax, %cr0
	jmp	2f
2:	mov	outside + OUTSIDE_DS, %es
	mov	outside + OUTSIDE_DS, %ds
	lgdt	outside + OUTSIDE_GDTR
	cmpl	$ENTER_SYSEXIT, outside + OUTSIDE_METHOD
	jne	3f
	mov	$MSR_SYSENTER_CS, %ecx
	mov	$KERNEL_CS, %eax
	xor	%edx, %edx
	wrmsr
3:	mov	outside + OUTSIDE_EDI, %edi
	mov	outside + OUTSIDE_ESI, %esi
	mov	outside + OUTSIDE_EBP, %ebp
	mov	outside + OUTSIDE_EBX, %ebx
	mov	outside + OUTSIDE_EDX, %edx
	mov	outside + OUTSIDE_ECX, %ecx
	mov	outside + OUTSIDE_EAX, %eax
	/* No descriptor is read below but for IRET: a cold GDT stays cold. */
	cmpl	$ENTER_JUMP, outside + OUTSIDE_METHOD
	je	enter_by_jump
	ja	enter_by_sysexit
	lss	outside + OUTSIDE_ESP, %esp
	iretl

enter_by_jump:
	mov	outside + OUTSIDE_ESP, %esp
	popfl
	ret

/* ECX and EDX are lost on this way. */
enter_by_sysexit:
	mov	outside + OUTSIDE_ESP, %esp
	mov	(%esp), %edx
	mov	12(%esp), %ecx
	add	$8, %esp
	popfl
	sysexit

/* As vector_stubs (cpu/entry.S). Behind virtual-8086 mode DS is null. */
	.balign	VECTOR_STUB_BYTES
	.globl	mode_stubs32
mode_stubs32:
	.set	vector, 0
	.rept	256
	.byte	0x68
	.long	vector
	jmp	*%cs:from_legacy_pointer
	.balign	VECTOR_STUB_BYTES, 0xcc
	.set	vector, vector + 1
	.endr

from_legacy:
	mov	%eax, %ss:outside + OUTSIDE_EAX
	mov	%ds, %eax
	mov	%eax, %ss:outside + OUTSIDE_DS
	mov	%ss, %eax
	mov	%eax, %ss:outside + OUTSIDE_SS
	mov	%cs, %eax
	mov	%eax, %ss:outside + OUTSIDE_HANDLER
	mov	%es, %eax
	mov	%eax, %ss:outside + OUTSIDE_HANDLER + 4
	mov	%fs, %eax
	mov	%eax, %ss:outside + OUTSIDE_HANDLER + 8
	mov	%gs, %eax
	mov	%eax, %ss:outside + OUTSIDE_HANDLER + 12
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	pop	outside + OUTSIDE_VECTOR
	mov	%esp, outside + OUTSIDE_ESP
	pushfl
	pop	outside + OUTSIDE_EFLAGS
	mov	%edi, outside + OUTSIDE_EDI
	mov	%esi, outside + OUTSIDE_ESI
	mov	%ebp, outside + OUTSIDE_EBP
	mov	%ebx, outside + OUTSIDE_EBX
	mov	%edx, outside + OUTSIDE_EDX
	mov	%ecx, outside + OUTSIDE_ECX
	.globl	mode_leave
mode_leave:
	cld
	mov	outside + OUTSIDE_CR0, %eax
	and	$~CR0_PG, %eax
	/*
	 * QEMU marks the entries that CR3 points to as accessed, where PAE has a reserved bit. A hypervisor that executes
	 * the next MOV for us walks these tables itself and finds it.
	 */
	mov	outside + OUTSIDE_CR3, %ecx
	andl	$~PTE_ACCESSED, (%ecx)
	andl	$~PTE_ACCESSED, 8(%ecx)
	andl	$~PTE_ACCESSED, 16(%ecx)
	andl	$~PTE_ACCESSED, 24(%ecx)
	mov	%eax, %cr0
	mov	inside_cr4, %eax
	cmp	outside + OUTSIDE_CR4, %eax
	je	1f
	mov	%eax, %cr4
1:	mov	inside_cr3, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	inside_cr0, %eax
	mov	%eax, %cr0
	lgdt	boot_gdt_pointer
	ljmp	$KERNEL_CS, $2f

	.code64
2:	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$KERNEL_DS, %eax
	mov	%eax, %ss
	mov	inside_rsp, %rsp
	lidt	inside_idtr
	lgdt	inside_gdtr
	mov	$MSR_GS_BASE, %ecx
	mov	inside_gs, %eax
	xor	%edx, %edx
	wrmsr
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
from_legacy_pointer:
	.quad	from_legacy

	.bss
	.balign	16
	.globl	outside
outside:
	.skip	OUTSIDE_BYTES
inside_rsp:
	.skip	8
inside_cr0:
	.skip	4
inside_cr3:
	.skip	4
inside_cr4:
	.skip	4
inside_gs:
	.skip	4
inside_idtr:
	.skip	16
inside_gdtr:
	.skip	16
