/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * #VC from legacy code: 32-bit protected mode without paging, where EFER.LMA is 0.
 *
 * The rule. Outside of long mode #VC goes through a 32-bit gate; the frame has four words with the error code,
 * and all memory is private, so there is no GHCB: the handler can ask by the MSR alone, one register of
 * CPUID at a time, without sub-leaves (under SEV-SNP it looks into the CPUID page). Every firmware needs
 * that before it can have page tables, and OpenBSD's kernel has such a handler for its 32-bit start.
 *
 * The handler under test is the one that this guest itself has booted with (lib/x86/boot/sev.S). The case leaves
 * long mode for it and comes back: if anything of that is wrong, nothing comes back.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#define GUEST_LAYERS(do) \
	do               \
	(native, "native")
#include "trapline.h"

#include "x86/sev/ghcb_msr.h"

#define RULE \
	"GHCB 2.3.1, CPUID Request: by the MSR, from 32-bit code without paging, as CPUID in long mode"

/* Of the boot code: how many #VCs it has served. */
extern volatile uint32_t early_vc_count;

volatile struct table_pointer legacy_kept_idt;
volatile uint64_t legacy_kept_rsp;
volatile uint32_t legacy_leaf, legacy_result[4];

void legacy_cpuid(void);

/* By way of compatibility mode to 32-bit protected mode, CPUID there, and back. Interrupts are off. */
asm(".pushsection .text\n"
    "legacy_cpuid:\n"
    "	push	%rbx\n"
    "	push	%rbp\n"
    "	sidt	legacy_kept_idt\n"
    "	mov	%rsp, legacy_kept_rsp\n"
    "	pushq	$" STRING_OF(
	    BOOT_CS32) "\n"
		       "	pushq	$1f\n"
		       "	lretq\n"
		       ".code32\n"
		       "1:	mov	$" STRING_OF(
			       KERNEL_DS) ", %eax\n"
					  "	mov	%eax, %ds\n"
					  "	mov	%eax, %es\n"
					  "	mov	%eax, %ss\n"
					  "	mov	%cr0, %eax\n"
					  "	and	$0x7fffffff, %eax\n"
					  "	mov	%eax, %cr0\n"
					  "	jmp	2f\n"
					  "2:	mov	$0xc0000080, %ecx\n"
					  "	rdmsr\n"
					  "	and	$~0x100, %eax\n"
					  "	wrmsr\n"
					  "	lidt	early_idt_pointer\n"
					  "	mov	legacy_leaf, %eax\n"
					  "	xor	%ecx, %ecx\n"
					  "	cpuid\n"
					  "	mov	%eax, legacy_result\n"
					  "	mov	%ebx, legacy_result + 4\n"
					  "	mov	%ecx, legacy_result + 8\n"
					  "	mov	%edx, legacy_result + 12\n"
					  "	mov	$0xc0000080, %ecx\n"
					  "	rdmsr\n"
					  "	or	$0x100, %eax\n"
					  "	wrmsr\n"
					  "	mov	%cr0, %eax\n"
					  "	or	$0x80000000, %eax\n"
					  "	mov	%eax, %cr0\n"
					  "	ljmp	$" STRING_OF(
						  KERNEL_CS) ", $3f\n"
							     ".code64\n"
							     "3:	xor	%eax, %eax\n"
							     "	mov	%eax, %ds\n"
							     "	mov	%eax, %es\n"
							     "	mov	legacy_kept_rsp, %rsp\n"
							     "	lidt	legacy_kept_idt\n"
							     "	pop	%rbp\n"
							     "	pop	%rbx\n"
							     "	ret\n"
							     ".popsection\n");

/* The boot's handler has no GHCB to put back. */
static void run_legacy(uint32_t leaf)
{
	uint64_t flags = read_rflags(), ghcb = sev_is_es() ? rdmsr(MSR_GHCB) : 0;

	legacy_leaf = leaf;
	asm volatile("cli");
	legacy_cpuid();
	if (sev_is_es())
		wrmsr(MSR_GHCB, ghcb);
	write_rflags(flags);
}

CASE(cpuid, LEGACY, RULE, CATCHES("model-ghcb-msr-cpuid-mixed"))
{
	/* Not 0x80000001: Intel's CPUs have SYSCALL there in 64-bit mode alone. */
	static const uint32_t leaves[] = {0, 0x80000000, 0x80000002, 0x80000003, 0x8000001f};

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		struct cpuid r = cpuid(leaves[i], 0);
		uint32_t there[] = {r.a, r.b, r.c, r.d}, before = early_vc_count;

		if (leaves[i] > 0x80000000 && cpuid(0x80000000, 0).a < leaves[i])
			continue;
		run_legacy(leaves[i]);
		witness(early_vc_count - before == sev_is_es(), "%u #VCs for leaf %#x",
			early_vc_count - before, leaves[i]);
		for (unsigned n = 0; n < 4; n++)
			check(legacy_result[n] == there[n],
			      "leaf %#x, register %u: %#x in legacy mode, %#x in long mode",
			      leaves[i], n, legacy_result[n], there[n]);
	}
}
