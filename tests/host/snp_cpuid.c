/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lookup in SEV-SNP's CPUID page, against a page written down here: entries with and without
 * sub-leaves, what depends on the CPU's state, pages that must not be used.
 */
#include <string.h>

#include "demand.h"
#include "x86/sev/snp_cpuid.h"

#define OSXSAVE (1u << 18)
#define PKE (1u << 22)

static const struct snp_cpuid_page page = {
	.count = 9,
	.entry = {{.leaf = 0, .a = 0xd, .b = 1, .c = 2, .d = 3},
		  {.leaf = 1, .a = 0x830f10, .b = 0x55000800, .c = 1u << 27 | 1, .d = 5},
		  {.leaf = 7, .subleaf = 0, .b = 7, .c = 1u << 4 | 8},
		  {.leaf = 7, .subleaf = 1, .a = 9, .c = 1u << 4},
		  {.leaf = 0xb, .subleaf = 1, .a = 6, .b = 0x40, .c = 0x201, .d = 0x77},
		  {.leaf = 0xd, .subleaf = 0, .a = 7, .b = 0x999, .c = 0x988},
		  {.leaf = 0xd, .subleaf = 1, .a = 0xf, .b = 0x999},
		  {.leaf = 0xd, .subleaf = 2, .a = 0x100, .b = 0x240},
		  {.leaf = 0x8000001e, .a = 1, .b = 0x102, .c = 0x304}},
};

static void look_up(const struct snp_cpuid_page *p, uint32_t leaf, uint32_t subleaf,
		    struct snp_cpuid_state state, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	uint32_t r[4] = {~0u, ~0u, ~0u, ~0u}, expected[4] = {a, b, c, d};

	DEMAND(snp_cpuid(p, leaf, subleaf, &state, r));
	DEMAND(!memcmp(r, expected, sizeof(r)));
}

static void lookup(void)
{
	struct snp_cpuid_state plain = {.xcr0 = 1};

	/* Sub-leaves count where the leaf has them, and nowhere else. */
	look_up(&page, 0, 0, plain, 0xd, 1, 2, 3);
	look_up(&page, 0, 5, plain, 0xd, 1, 2, 3);
	look_up(&page, 7, 1, plain, 9, 0, 1u << 4, 0);
	look_up(&page, 7, 2, plain, 0, 0, 0, 0);
	look_up(&page, 0x80000000, 0, plain, 0, 0, 0, 0);
	look_up(&page, 2, 0, plain, 0, 0, 0, 0);
}

static void state(void)
{
	struct snp_cpuid_state s = {.xcr0 = 1, .a = 11, .b = 0xaa0000bb, .c = 13, .d = 14};

	/* The APIC id is the hypervisor's to say, OSXSAVE and OSPKE are CR4's. */
	look_up(&page, 1, 0, s, 0x830f10, 0xaa000800, 1, 5);
	look_up(&page, 7, 0, s, 0, 7, 8, 0);
	s.cr4 = OSXSAVE | PKE;
	look_up(&page, 1, 0, s, 0x830f10, 0xaa000800, 1u << 27 | 1, 5);
	look_up(&page, 7, 0, s, 0, 7, 1u << 4 | 8, 0);
	look_up(&page, 0xb, 1, s, 6, 0x40, 0x201, 14);
	look_up(&page, 0x8000001e, 0, s, 11, 0x1bb, 0x30d, 0);
	/* XSAVE: legacy area and header, then what XCR0 has on. */
	look_up(&page, 0xd, 0, s, 7, 0x240, 0x988, 0);
	look_up(&page, 0xd, 1, s, 0xf, 0x240, 0, 0);
	s.xcr0 = 7;
	look_up(&page, 0xd, 0, s, 7, 0x340, 0x988, 0);
	look_up(&page, 0xd, 1, s, 0xf, 0x340, 0, 0);
}

static void hypervisor(void)
{
	struct snp_cpuid_state s = {.xcr0 = 1, .a = 1, .b = 2, .c = 3, .d = 4};

	DEMAND(snp_cpuid_asks_hypervisor(&page, 1));
	DEMAND(snp_cpuid_asks_hypervisor(&page, 0xb));
	DEMAND(snp_cpuid_asks_hypervisor(&page, 0x8000001e));
	DEMAND(snp_cpuid_asks_hypervisor(&page, 0x40000000));
	DEMAND(!snp_cpuid_asks_hypervisor(&page, 0));
	DEMAND(!snp_cpuid_asks_hypervisor(&page, 0x8000001f));
	look_up(&page, 0x40000001, 0, s, 1, 2, 3, 4);
}

/* What the hypervisor might have put there in its place. */
static void bad_pages(void)
{
	static struct snp_cpuid_page bad;
	struct snp_cpuid_state s = {.xcr0 = 1};
	uint32_t r[4];

	bad = page;
	bad.count = 0;
	DEMAND(!snp_cpuid(&bad, 0, 0, &s, r));
	bad.count = SNP_CPUID_MAX_ENTRIES + 1;
	DEMAND(!snp_cpuid(&bad, 0, 0, &s, r));
	DEMAND(!snp_cpuid(&bad, 0x12345678, 0, &s, r));
	bad.count = ~0u;
	DEMAND(!snp_cpuid(&bad, 0x12345678, 0, &s, r));
	bad.count = SNP_CPUID_MAX_ENTRIES;
	DEMAND(snp_cpuid(&bad, 0x12345678, 0, &s, r) && !(r[0] | r[1] | r[2] | r[3]));
}

int main(void)
{
	lookup();
	state();
	hypervisor();
	bad_pages();
	printf("4 groups, 0 wrong\n");
	return 0;
}
