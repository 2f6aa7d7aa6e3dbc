/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID under SEV-SNP: a page that the launch has filled and the AMD-SP has checked, so that a guest need
 * not believe its hypervisor.
 *
 * Sources: SEV-SNP firmware ABI, "CPUID Page"; APM 3, CPUID; Linux 6.12, arch/x86/coco/sev/shared.c, for
 * which parts of a leaf are not constant.
 */
#ifndef LIB_X86_SNP_CPUID_H
#define LIB_X86_SNP_CPUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNP_CPUID_MAX_ENTRIES 64

struct snp_cpuid_entry {
	uint32_t leaf, subleaf;
	uint64_t xcr0, xss;
	uint32_t a, b, c, d;
	uint64_t reserved;
};

struct snp_cpuid_page {
	uint32_t count, reserved0;
	uint64_t reserved1;
	struct snp_cpuid_entry entry[SNP_CPUID_MAX_ENTRIES];
};

_Static_assert(sizeof(struct snp_cpuid_entry) == 48, "SNP ABI, CPUID page");
_Static_assert(offsetof(struct snp_cpuid_page, entry) == 16, "SNP ABI, CPUID page");

/* What a CPU's answer depends on besides the leaf. */
struct snp_cpuid_state {
	uint64_t cr4, xcr0, xss; /* xcr0: 1 while CR4.OSXSAVE is clear */
	/* The hypervisor's own answer, for what snp_cpuid_asks_hypervisor() is true for; else unused. */
	uint32_t a, b, c, d;
};

/* A CPU's number and place in the machine are the hypervisor's to say, and so are its own leaves. */
bool snp_cpuid_asks_hypervisor(const struct snp_cpuid_page *page, uint32_t leaf);

/**
 * snp_cpuid - what CPUID gives
 * @page:    the CPUID page
 * @leaf:    EAX
 * @subleaf: ECX, which not every leaf looks at
 * @state:   of the CPU that executes it
 * @result:  EAX, EBX, ECX, EDX; all 0 for a leaf that is not in the page
 *
 * Returns false if the page has no table, or one that is too long: it must not be used.
 */
bool snp_cpuid(const struct snp_cpuid_page *page, uint32_t leaf, uint32_t subleaf,
	       const struct snp_cpuid_state *state, uint32_t result[4]);

/* Whether ECX is part of the question. */
bool snp_cpuid_has_subleaves(uint32_t leaf);

#endif
