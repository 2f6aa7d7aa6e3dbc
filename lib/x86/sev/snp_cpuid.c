/* SPDX-License-Identifier: BSD-2-Clause */
#include "snp_cpuid.h"

#define CR4_OSXSAVE (1u << 18)
#define CR4_PKE (1u << 22)

#define LEAF_1_C_OSXSAVE (1u << 27)
#define LEAF_1_B_APIC_ID 0xff000000u
#define LEAF_7_C_OSPKE (1u << 4)

#define LEAF_TOPOLOGY 0xb
#define LEAF_XSAVE 0xd
#define LEAF_AMD_TOPOLOGY 0x8000001e
#define LEAF_HYPERVISOR 0x40000000

/* The legacy area and the header: what XSAVE always writes. */
#define XSAVE_LEAST 0x240
#define XSAVE_COMPACTED 0xau /* leaf 0xd.1, EAX: XSAVEC, XSAVES */

bool snp_cpuid_has_subleaves(uint32_t leaf)
{
	static const uint32_t leaves[] = {0x4,	0x7,  0xb,  0xd,  0xf,	0x10,	   0x12,
					  0x14, 0x17, 0x18, 0x1d, 0x1f, 0x8000001d};

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		if (leaves[i] == leaf)
			return true;
	return false;
}

static const struct snp_cpuid_entry *find(const struct snp_cpuid_page *page, uint32_t leaf,
					  uint32_t subleaf)
{
	bool matters = snp_cpuid_has_subleaves(leaf);

	for (unsigned i = 0; i < page->count && i < SNP_CPUID_MAX_ENTRIES; i++)
		if (page->entry[i].leaf == leaf && (!matters || page->entry[i].subleaf == subleaf))
			return &page->entry[i];
	return NULL;
}

bool snp_cpuid_asks_hypervisor(const struct snp_cpuid_page *page, uint32_t leaf)
{
	return leaf == 1 || leaf == LEAF_TOPOLOGY || leaf == LEAF_AMD_TOPOLOGY ||
	       (leaf >> 28 == LEAF_HYPERVISOR >> 28 && !find(page, leaf, 0));
}

/* APM 1, "XSAVE Standard Form", "Compacted Form": bytes that the features take. */
static uint32_t xsave_bytes(const struct snp_cpuid_page *page, uint64_t features, bool compacted)
{
	uint32_t bytes = XSAVE_LEAST;

	for (unsigned i = 2; i < 63; i++) {
		const struct snp_cpuid_entry *e =
			features >> i & 1 ? find(page, LEAF_XSAVE, i) : NULL;

		if (!e)
			continue;
		if (compacted)
			bytes += e->a;
		else if (e->a + e->b > bytes)
			bytes = e->a + e->b;
	}
	return bytes;
}

static void adjust(const struct snp_cpuid_page *page, uint32_t leaf, uint32_t subleaf,
		   const struct snp_cpuid_state *s, uint32_t r[4])
{
	switch (leaf) {
	case 1:
		r[1] = (r[1] & ~LEAF_1_B_APIC_ID) | (s->b & LEAF_1_B_APIC_ID);
		r[2] &= ~LEAF_1_C_OSXSAVE;
		if (s->cr4 & CR4_OSXSAVE)
			r[2] |= LEAF_1_C_OSXSAVE;
		break;
	case 7:
		if (subleaf)
			break;
		r[2] &= ~LEAF_7_C_OSPKE;
		if (s->cr4 & CR4_PKE)
			r[2] |= LEAF_7_C_OSPKE;
		break;
	case LEAF_TOPOLOGY:
		r[3] = s->d;
		break;
	case LEAF_XSAVE:
		if (subleaf == 0)
			r[1] = xsave_bytes(page, s->xcr0, false);
		else if (subleaf == 1 && r[0] & XSAVE_COMPACTED)
			r[1] = xsave_bytes(page, s->xcr0 | s->xss, true);
		break;
	case LEAF_AMD_TOPOLOGY:
		r[0] = s->a;
		r[1] = (r[1] & ~0xffu) | (s->b & 0xff);
		r[2] = (r[2] & ~0xffu) | (s->c & 0xff);
		break;
	}
}

bool snp_cpuid(const struct snp_cpuid_page *page, uint32_t leaf, uint32_t subleaf,
	       const struct snp_cpuid_state *s, uint32_t r[4])
{
	const struct snp_cpuid_entry *e = find(page, leaf, subleaf);

	r[0] = r[1] = r[2] = r[3] = 0;
	if (page->count == 0 || page->count > SNP_CPUID_MAX_ENTRIES)
		return false;
	if (e) {
		r[0] = e->a;
		r[1] = e->b;
		r[2] = e->c;
		r[3] = e->d;
		adjust(page, leaf, subleaf, s, r);
	} else if (leaf >> 28 == LEAF_HYPERVISOR >> 28) {
		r[0] = s->a;
		r[1] = s->b;
		r[2] = s->c;
		r[3] = s->d;
	}
	return true;
}
