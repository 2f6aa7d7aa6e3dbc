/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest runs under, found out in flat 32-bit mode with paging off, where all memory is private
 * whatever it is: nothing, SEV, SEV-ES or SEV-SNP. The same code runs in every guest.
 *
 * Under SEV-ES the first CPUID already raises #VC, and there is no GHCB yet. So a small IDT has one gate
 * for vector 29 that serves CPUID by the GHCB MSR protocol, under SEV-SNP from the CPUID page that the
 * launch has filled; and one for #GP, which the read of SEV_STATUS raises where a CPU lies about SEV.
 * Whatever does not fit together ends in a request to terminate: nothing could be printed.
 *
 * Sources: GHCB specification, "Boot-Time Detection", "GHCB MSR Protocol"; APM 2, "Determining Support
 * for SEV", "SEV_STATUS MSR".
 */
#include "x86/arch/exceptions.h"
#include "layout.h"
#include "reasons.h"

#define MSR_GHCB 0xc0010130
#define MSR_SEV_STATUS 0xc0010131
#define CPUID_REQUEST 4
#define CPUID_RESPONSE 5
#define SEV_INFO_REQUEST 2
#define SEV_INFO 1
#define TERMINATE 0x100
#define STATUS_SNP 4
#define CPUID_PAGE_ENTRIES 16
#define CPUID_PAGE_MOST 64
#define CPUID_ENTRY_BYTES 48
#define CPUID_ENTRY_RESULT 24
#define SVM_EXIT_CPUID 0x72
#define CPUID_SEV 0x8000001f
#define INTERRUPT_GATE32 0x8e00
#define C_BIT_LEAST 32
#define C_BIT_MOST 51

	.macro	vmgexit
	rep
	vmmcall
	.endm

	.text
	.code32

/* Keeps EBP. Leaves its findings in sev_status and sev_c_bit, and the C-bit in the page tables. */
	.globl	sev_boot
sev_boot:
	mov	$early_idt + 8 * VECTOR_VC, %edi
	mov	$early_vc, %eax
	call	set_gate
	mov	$early_idt + 8 * VECTOR_GP, %edi
	mov	$early_gp, %eax
	call	set_gate
	lidt	early_idt_pointer

	mov	$0x80000000, %eax
	xor	%ecx, %ecx
	cpuid
	cmp	$CPUID_SEV, %eax
	jb	no_sev
	mov	$CPUID_SEV, %eax
	xor	%ecx, %ecx
	cpuid
	test	$2, %al
	jz	no_sev
	and	$63, %ebx
	mov	$MSR_SEV_STATUS, %ecx
read_status:
	rdmsr
	test	$1, %al
	jz	no_sev
	mov	%eax, sev_status
	test	$2, %al
	jnz	1f
	cmpl	$0, early_vc_count
	mov	$REASON_STATUS, %esi
	jne	terminate
	jmp	2f

1:	mov	$SEV_INFO_REQUEST, %eax
	call	msr_protocol
	mov	$REASON_C_BIT, %esi
	movzwl	%ax, %ecx
	and	$0xfff, %ecx
	cmp	$SEV_INFO, %ecx
	jne	terminate
	shr	$24, %eax
	cmp	%ebx, %eax
	jne	terminate

2:	mov	$REASON_C_BIT, %esi
	cmp	$C_BIT_LEAST, %ebx
	jb	terminate
	cmp	$C_BIT_MOST, %ebx
	ja	terminate
	lea	-32(%ebx), %ecx
	mov	$1, %eax
	shl	%cl, %eax
	mov	%eax, sev_c_bit + 4

	/* All tables but the directories; the first 2 GiB, where RAM is; the ROM. */
	mov	$boot_pml4 + 4, %edi
	mov	$1, %ecx
	call	set_c_bit
	mov	$boot_pdpt + 4, %edi
	mov	$4, %ecx
	call	set_c_bit
	mov	$boot_pd + 4, %edi
	mov	$2 * 512, %ecx
	call	set_c_bit
	mov	$boot_pd + 4 + 8 * (4 * 512 - ROM_BLOCKS), %edi
	mov	$ROM_BLOCKS, %ecx
	jmp	set_c_bit

no_sev:
	cmpl	$0, early_vc_count
	mov	$REASON_NO_SEV, %esi
	jne	terminate
	ret

/* EAX into the high halves of ECX entries from EDI. */
set_c_bit:
	or	%eax, (%edi)
	add	$8, %edi
	loop	set_c_bit
	ret

/* The gate at EDI leads to EAX. */
set_gate:
	mov	%ax, (%edi)
	movw	$BOOT_CS32, 2(%edi)
	mov	$INTERRUPT_GATE32, %ax
	mov	%eax, 4(%edi)
	ret

/* One request: EDX:EAX to the hypervisor and back. Clobbers ECX. */
msr_protocol:
	cmpl	$SEV_INFO_REQUEST, %eax
	jne	1f
	xor	%edx, %edx
1:	mov	$MSR_GHCB, %ecx
	wrmsr
	vmgexit
	rdmsr
	ret

/*
 * CPUID, and nothing else. The MSR protocol has no sub-leaves, and one request for each register. On the
 * stack: error code, EIP, CS, EFLAGS.
 */
early_vc:
	incl	early_vc_count
	push	%esi
	mov	$REASON_EARLY_VC, %esi
	cmpl	$SVM_EXIT_CPUID, 4(%esp)
	jne	terminate
	push	%edi
	mov	12(%esp), %edi
	cmpw	$0xa20f, (%edi)
	jne	terminate
	push	%ebp
	sub	$16, %esp
	mov	%eax, %ebp		/* the leaf */
	mov	$REASON_EARLY_CPUID, %esi
	mov	$MSR_SEV_STATUS, %ecx	/* is there: this is a #VC */
	rdmsr
	test	$STATUS_SNP, %al
	jnz	cpuid_page
	xor	%edi, %edi		/* the register */
1:	mov	%edi, %eax
	shl	$30, %eax
	or	$CPUID_REQUEST, %eax
	mov	%ebp, %edx
	call	msr_protocol
	mov	%eax, %ecx
	and	$0xfff, %ecx
	cmp	$CPUID_RESPONSE, %ecx
	jne	terminate
	shr	$30, %eax
	cmp	%edi, %eax
	jne	terminate
	mov	%edx, (%esp, %edi, 4)
	inc	%edi
	cmp	$4, %edi
	jb	1b
served:
	pop	%eax
	pop	%ebx
	pop	%ecx
	pop	%edx
	pop	%ebp
	pop	%edi
	pop	%esi
	add	$4, %esp
	addl	$2, (%esp)
	iret

/* The leaf in EBP, into the four words at ESP; the leaves of the boot code have no sub-leaves. */
cpuid_page:
	mov	$SNP_CPUID_PAGE, %edi
	mov	(%edi), %ecx
	lea	-1(%ecx), %eax
	cmp	$CPUID_PAGE_MOST, %eax
	jae	terminate
	add	$CPUID_PAGE_ENTRIES, %edi
1:	cmp	%ebp, (%edi)
	je	2f
	add	$CPUID_ENTRY_BYTES, %edi
	loop	1b
	jmp	terminate
2:	lea	CPUID_ENTRY_RESULT(%edi), %esi
	mov	%esp, %edi
	mov	$4, %ecx
	rep movsl
	jmp	served

/* A CPU that says SEV and has no SEV_STATUS has no SEV. */
early_gp:
	mov	$REASON_EARLY_EVENT, %esi
	cmpl	$read_status, 4(%esp)
	jne	terminate
	xor	%eax, %eax
	xor	%edx, %edx
	add	$4, %esp
	addl	$2, (%esp)
	iret

/* For the reason in ESI. Without SEV-ES the MSR may be missing: #GP, and back here. */
terminate:
	mov	%esi, %eax
	shl	$16, %eax
	or	$REASON_SET_TRAPLINE << 12 | TERMINATE, %eax
	xor	%edx, %edx
	mov	$MSR_GHCB, %ecx
	cmpl	$0, early_vc_count
	je	1f
	wrmsr
	vmgexit
1:	cli
	hlt
	jmp	1b

	.section .rodata, "a"
	.balign	8
	.globl	early_idt_pointer
early_idt_pointer:
	.word	8 * (VECTOR_VC + 1) - 1
	.long	early_idt

	.bss
	.balign	8
early_idt:
	.skip	8 * (VECTOR_VC + 1)
	.globl	early_vc_count
early_vc_count:
	.skip	4
	.balign	8
	.globl	sev_status, sev_c_bit
sev_status:
	.skip	8
sev_c_bit:
	.skip	8
