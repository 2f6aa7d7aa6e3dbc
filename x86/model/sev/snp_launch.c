/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources: QEMU 9.1, target/i386/sev.c, for the metadata; SEV-SNP firmware
 * ABI, "CPUID Page", "Secrets Page".
 */
#include "snp_launch.h"

#include "bug.h"
#include "exits.h"
#include "memory.h"
#include "rmp.h"
#include "rom_table.h"
#include "sev.h"

#include "panic.h"
#include "string.h"
#include "x86/boot/layout.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/sev/snp.h"
#include "x86/sev/snp_cpuid.h"

#define CPUID_EXTENDED_NAME 0x80000002

static const uint8_t metadata_guid[] = {0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
					0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc};

struct metadata {
	char magic[4];
	uint32_t bytes, version, sections;
	struct {
		uint32_t base, bytes, type;
	} section[];
};

static const struct metadata *find_metadata(const uint8_t *rom, uint64_t bytes)
{
	uint32_t distance = rom_table_word(rom, bytes, metadata_guid);
	const struct metadata *m;

	if (distance > bytes || distance < sizeof(*m))
		return NULL;
	m = (const struct metadata *)(rom + bytes - distance);
	if (memcmp(m->magic, "ASEV", 4) || m->version != 1 || m->bytes > distance ||
	    m->bytes != sizeof(*m) + m->sections * sizeof(m->section[0]))
		return NULL;
	return m;
}

/* -- The two pages that are filled. ------------------------------------------------------------ */

static void add_leaf(struct snp_cpuid_page *page, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r = exits_cpuid(leaf, subleaf);

	/* What is not there reads as 0. */
	if (!(r.a | r.b | r.c | r.d) || page->count == SNP_CPUID_MAX_ENTRIES)
		return;
	if (bug(SNP_CPUID_PAGE) && leaf == CPUID_EXTENDED_NAME)
		r.b ^= 1;
	page->entry[page->count++] = (struct snp_cpuid_entry){.leaf = leaf,
							      .subleaf = subleaf,
							      .a = r.a,
							      .b = r.b,
							      .c = r.c,
							      .d = r.d};
}

static void add_leaves(struct snp_cpuid_page *page, uint32_t first)
{
	uint32_t last = exits_cpuid(first, 0).a;

	for (uint32_t leaf = first; leaf <= last; leaf++)
		for (uint32_t sub = 0; sub < (snp_cpuid_has_subleaves(leaf) ? 4 : 1); sub++)
			add_leaf(page, leaf, sub);
}

static void fill_cpuid_page(struct snp_cpuid_page *page)
{
	add_leaves(page, 0);
	add_leaves(page, 0x40000000);
	add_leaves(page, 0x80000000);
}

/* Version 3, and keys that differ from one another; nobody is there to take a message for them. */
static void fill_secrets_page(uint8_t *page)
{
	page[0] = 3;
	for (unsigned i = SNP_SECRETS_KEYS; i < SNP_SECRETS_KEYS + SNP_SECRETS_KEY_BYTES * 4; i++)
		page[i] = bug(SNP_NO_SECRETS) ? 0 : 0x5a + 37 * i;
}

static void launch_page(uint64_t gpa, uint32_t type)
{
	void *page = memory_at(gpa | 1ul << sev_c_bit_position());

	rmp_validate(NULL, gpa, true);
	memset(page, 0, PAGE_BYTES);
	if (type == ASEV_CPUID)
		fill_cpuid_page(page);
	else if (type == ASEV_SECRETS)
		fill_secrets_page(page);
}

void snp_launch(const uint8_t *rom, uint64_t bytes)
{
	const struct metadata *m = find_metadata(rom, bytes);

	if (!m)
		panic("model: the ROM has no ASEV metadata, which SEV-SNP needs");
	rmp_init();
	for (uint64_t gpa = L2_MEMORY_END - bytes; gpa < L2_MEMORY_END; gpa += PAGE_BYTES)
		rmp_validate(NULL, gpa, true);
	for (uint32_t i = 0; i < m->sections; i++) {
		uint64_t base = m->section[i].base, end = base + m->section[i].bytes;

		if (base % PAGE_BYTES || end % PAGE_BYTES || end > L2_RAM_BYTES)
			panic("model: section %u of the ASEV metadata is not pages of RAM", i);
		for (; base < end; base += PAGE_BYTES)
			launch_page(base, m->section[i].type);
	}
}
