/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the boot has made of the page tables: plain, under SEV, SEV-ES and SEV-SNP.
 *
 * The rule. Under SEV the C-bit of the entry that maps a page says whose it is: with it the page is the guest's,
 * encrypted; without it, shared with the hypervisor. So memory and ROM are mapped with it, devices without, and
 * of memory the GHCB alone, by an entry of 4 KiB, so that its neighbours stay private. Which bit that is, CPUID
 * says (Fn8000_001F, EBX). Without SEV there is no such bit, and each entry is the address that it maps.
 *
 * So each case runs everywhere. It walks the tables by itself, from CR3, with nothing of the library.
 *
 * A guest that maps too little with the C-bit leaves its memory readable for the hypervisor, and works; that is why
 * this is looked at and not only tried. One that maps a device with it waits for ever.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "vc.h"

#define RULE_C_BIT "APM 2, Determining Support for SEV: CPUID Fn8000_001F, EBX bits 5:0; SEV_STATUS"
#define RULE_MEMORY \
	"APM 2, SEV Encryption Behavior: memory is private by the C-bit of its leaf entry"
#define RULE_DEVICES "APM 2, SEV Encryption Behavior: an access to a device must not be encrypted"
#define RULE_GHCB "GHCB 2.6: the page is shared; it lies in a 4 KiB page of its own"

#define CPUID_SEV 0x8000001f
#define RAM_END (64ul << 20)
#define HOLE 0xa0000ul /* video memory and option ROMs, which nobody uses */
#define HOLE_END 0x100000ul
#define DEVICES 0x80000000ul
#define FOUR_GIB (1ul << 32)
#define ADDRESS_BITS 0x000ffffffffff000ul

struct leaf {
	uint64_t entry, bytes; /* 0: not mapped */
	bool tables_private;   /* the tables on the way to it, each through its own mapping */
};

static struct leaf walk(uint64_t linear, bool with_tables)
{
	struct leaf l = {.entry = read_cr3(), .tables_private = true};

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t table = l.entry & ADDRESS_BITS & ~sev_c_bit;

		if (with_tables && sev_is_on())
			l.tables_private &= !!(walk(table, false).entry & sev_c_bit);
		l.entry = ((const uint64_t *)table)[linear >> shift & 511];
		l.bytes = 1ul << shift;
		if (!(l.entry & PTE_PRESENT))
			return (struct leaf){0};
		if (shift == 12 || l.entry & PTE_LARGE)
			return l;
	}
}

/* Of [from, to), what is mapped otherwise than said; *other is an address of it. */
static unsigned count_others(uint64_t from, uint64_t to, bool private, uint64_t *other)
{
	unsigned others = 0;

	for (uint64_t at = from; at < to;) {
		struct leaf l = walk(at, true);
		uint64_t wanted = at & ~(l.bytes - 1);

		if (private)
			wanted |= sev_c_bit;
		if (!l.entry || (l.entry & ADDRESS_BITS & ~(l.bytes - 1)) != wanted ||
		    !l.tables_private) {
			others++;
			*other = at;
		}
		at = l.entry ? (at & ~(l.bytes - 1)) + l.bytes : at + PAGE_BYTES;
	}
	return others;
}

CASE(c_bit, CPL0, RULE_C_BIT, "")
{
	bool has_leaf = cpuid(0x80000000, 0).a >= CPUID_SEV;
	struct cpuid r = has_leaf ? cpuid(CPUID_SEV, 0) : (struct cpuid){0};

	need_native(GUEST_NEEDS_NATIVE);
	if (!sev_is_on()) {
		check(!sev_c_bit, "without SEV the C-bit is %#lx", sev_c_bit);
		return;
	}
	check(r.a >> 1 & 1, "SEV_STATUS is %#lx, and CPUID says no SEV", sev_status);
	check(sev_c_bit == 1ul << (r.b & 63), "the C-bit is %#lx, and bit %u by CPUID", sev_c_bit,
	      r.b & 63);
	check(rdmsr(MSR_SEV_STATUS) == sev_status, "SEV_STATUS is %#lx, was %#lx at boot",
	      rdmsr(MSR_SEV_STATUS), sev_status);
}

CASE(memory, CPL0, RULE_MEMORY, "")
{
	uint64_t other = 0, expected = sev_is_es() ? 1 : 0, others;

	need_native(GUEST_NEEDS_NATIVE);
	others =
		count_others(0, HOLE, true, &other) + count_others(HOLE_END, RAM_END, true, &other);
	check(others == expected, "%lu pages are not mapped as memory, %#lx among them", others,
	      other);
	check(!expected || other == ghcb_gpa(), "%#lx is not mapped as memory; the GHCB is %#lx",
	      other, ghcb_gpa());
	others = count_others(FOUR_GIB - BLOCK_BYTES, FOUR_GIB, true, &other);
	check(!others, "%#lx, in the ROM, is not mapped as memory", other);
}

CASE(devices, CPL0, RULE_DEVICES, "")
{
	uint64_t other = 0, end = FOUR_GIB - 8 * BLOCK_BYTES;

	need_native(GUEST_NEEDS_NATIVE);
	check(!count_others(DEVICES, end, false, &other), "%#lx is not mapped as a device", other);
}

CASE(ghcb, CPL0, RULE_GHCB, "")
{
	struct leaf l;

	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	l = walk(ghcb_gpa(), true);
	check(l.bytes == PAGE_BYTES, "its entry maps %#lx bytes", l.bytes);
	check(!(l.entry & sev_c_bit), "it is private: %#lx", l.entry);
	check(walk(ghcb_gpa() - PAGE_BYTES, true).entry & sev_c_bit, "the page before is shared");
	check(walk(ghcb_gpa() + PAGE_BYTES, true).entry & sev_c_bit, "the page behind is shared");
}

/* -- For the host. ----------------------------------------------------------------------------- */

/* The run of entries of a table that begins with entry `first`: each the one before plus the same step. */
static unsigned run_end(const uint64_t *table, unsigned first)
{
	unsigned last = first;

	while (last < 510 && table[last + 2] - table[last + 1] == table[first + 1] - table[first])
		last++;
	return last == first ? first : last + 1;
}

/* A note for each run of entries of the table at `at` and of those below it: "table AT FIRST-LAST ENTRY +STEP". */
static void tell_table(uint64_t at, unsigned shift)
{
	const uint64_t *table = (const uint64_t *)at;

	for (unsigned i = 0, last; i < 512; i = last + 1) {
		last = run_end(table, i);
		if (table[i] || table[last])
			note("table %#lx %u-%u %#lx +%#lx", at, i, last, table[i],
			     last == i ? 0 : table[i + 1] - table[i]);
	}
	for (unsigned i = 0; i < 512 && shift > 12; i++)
		if (table[i] & PTE_PRESENT && !(table[i] & PTE_LARGE)) {
			check((table[i] & sev_c_bit) == sev_c_bit,
			      "entry %u of %#lx is %#lx: no C-bit", i, at, table[i]);
			tell_table(table[i] & ADDRESS_BITS & ~sev_c_bit, shift - 9);
		}
}

/* Told as they are: tests/test_page_tables.py walks them with nothing of ours. */
CASE(tables, CPL0, RULE_MEMORY, "")
{
	need_native(GUEST_NEEDS_NATIVE);
	note("cr3 %#lx", read_cr3());
	note("c-bit %#lx", sev_c_bit);
	note("ghcb %#lx", sev_is_es() ? ghcb_gpa() : 0);
	tell_table(read_cr3(), 39);
}
