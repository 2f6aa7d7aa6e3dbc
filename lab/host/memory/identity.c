/* SPDX-License-Identifier: BSD-2-Clause */
#include "identity.h"

#include "boot.h"
#include "memory.h"

#define TABLE (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED)
#define SMALL (TABLE | PTE_DIRTY)
#define LARGE (SMALL | PTE_LARGE)
#define ENTRIES 512

static uint64_t *root;

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(entry & PTE_ADDRESS);
}

static void add_512g(uint64_t at)
{
	uint64_t *entry = &root[at >> 39 & 511], *table = arena_take(PAGE);

	for (uint64_t i = 0; i < ENTRIES; i++)
		table[i] = (at & ~((1ul << 39) - 1)) | i << 30 | LARGE;
	*entry = (uint64_t)table | TABLE;
}

/* The last entry on the way to an address, with all large pages on the way split. */
static uint64_t *small_entry(uint64_t at)
{
	uint64_t *entry = &root[at >> 39 & 511];

	if (!*entry)
		add_512g(at);
	for (unsigned shift = 30;; shift -= 9) {
		entry = &table_of(*entry)[at >> shift & 511];
		if (shift == 12)
			return entry;
		if (*entry & PTE_LARGE) {
			uint64_t from = at & ~((1ul << shift) - 1), *table = arena_take(PAGE);

			for (uint64_t i = 0; i < ENTRIES; i++)
				table[i] = from | i << (shift - 9) | (shift == 21 ? SMALL : LARGE);
			*entry = (uint64_t)table | TABLE;
		}
	}
}

void identity_unmap(uint64_t at)
{
	*small_entry(at) = 0;
}

void identity_give(uint64_t at, bool writable)
{
	*small_entry(at) = (at & ~(PAGE - 1)) | (writable ? SMALL : SMALL & ~PTE_WRITABLE);
}

bool identity_extend(uint64_t at)
{
	if (root[at >> 39 & 511])
		return false;
	add_512g(at);
	return true;
}

uint64_t identity_make(void)
{
	root = arena_take(PAGE);
	add_512g(0);
	for (unsigned i = 0; i < BOOT_TABLES; i++)
		for (uint64_t at = boot_reserved[i].begin; at < boot_reserved[i].end; at += PAGE)
			identity_unmap(at);
	return (uint64_t)root;
}
