/* SPDX-License-Identifier: BSD-2-Clause */
#include "slat.h"

#include "x86/cpu/paging.h"

#include "panic.h"
#include "string.h"

#define POOL_TABLES 40
#define MAX_TAKEN 64
#define DEVICES (3ul << 30) /* the last GiB, as in boot/start.S */

/* APM 2, "Nested Paging": entries are those of ordinary page tables, all of them of user pages. */
const struct slat_format slat_npt = {
	.access = PTE_PRESENT | PTE_WRITABLE | PTE_USER,
	.table = PTE_ACCESSED | PTE_DIRTY,
	.memory = PTE_ACCESSED | PTE_DIRTY,
	.devices = PTE_ACCESSED | PTE_DIRTY | 0x18, /* PWT, PCD */
};

/* SDM 3C, "EPT Translation Mechanism": read, write and execute; the memory type in bits 5:3. */
const struct slat_format slat_ept = {.access = 7, .table = 0, .memory = 6 << 3, .devices = 0};

static uint64_t pml4[512] __attribute__((section(".noinit"), aligned(4096)));
static uint64_t pdpt[512] __attribute__((section(".noinit"), aligned(4096)));
static uint64_t pd[4 * 512] __attribute__((section(".noinit"), aligned(4096)));
static uint64_t pool[POOL_TABLES][512] __attribute__((section(".noinit"), aligned(4096)));
static unsigned pool_used;
static const struct slat_format *format;
static bool built;
static unsigned changes;

/* Pages that were taken away since the last reset, as far as they fit. */
static uint64_t taken[MAX_TAKEN];
static unsigned taken_used;

static uint64_t table_entry(const uint64_t *table)
{
	return (uint64_t)table | format->access | format->table;
}

static void build(void)
{
	memset(pml4, 0, sizeof(pml4));
	memset(pdpt, 0, sizeof(pdpt));
	pml4[0] = table_entry(pdpt);
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = table_entry(&pd[i * 512]);
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * BLOCK_BYTES | format->access | PTE_LARGE |
			(i * BLOCK_BYTES >= DEVICES ? format->devices : format->memory);
	pool_used = 0;
	built = true;
	changes++;
}

uint64_t slat_root(void)
{
	if (!built)
		build();
	return (uint64_t)pml4;
}

void slat_reset(const struct slat_format *wanted)
{
	if (format != wanted || taken_used > MAX_TAKEN) {
		format = wanted;
		built = false;
		taken_used = 0;
	}
	while (taken_used)
		slat_map(taken[--taken_used]);
}

static uint64_t *split(uint64_t *pde)
{
	uint64_t base = *pde & PTE_ADDRESS, flags = *pde & ~PTE_ADDRESS & ~PTE_LARGE;
	uint64_t *table;

	if (pool_used == POOL_TABLES)
		panic("no table left to split a nested 2 MiB page at %#lx", base);
	table = pool[pool_used++];
	for (unsigned i = 0; i < 512; i++)
		table[i] = (base + i * PAGE_BYTES) | flags;
	*pde = table_entry(table);
	return table;
}

static uint64_t *entry_of(uint64_t address)
{
	uint64_t *pde = &pd[address / BLOCK_BYTES], *table;

	slat_root();
	if (address >> 32)
		panic("%#lx is not in the nested page tables", address);
	table = *pde & PTE_LARGE ? split(pde) : (uint64_t *)(*pde & PTE_ADDRESS);
	return &table[address / PAGE_BYTES % 512];
}

uint64_t *slat_entry(uint64_t address)
{
	changes++;
	return entry_of(address);
}

unsigned slat_changes(void)
{
	return changes;
}

void slat_unmap(uint64_t address)
{
	*slat_entry(address) &= ~format->access;
	if (taken_used < MAX_TAKEN)
		taken[taken_used++] = address;
	else
		taken_used = MAX_TAKEN + 1;
}

void slat_map(uint64_t address)
{
	*slat_entry(address) |= format->access;
}

bool slat_is_mapped(uint64_t address)
{
	const uint64_t *pde = &pd[address / BLOCK_BYTES];

	return address >> 32 == 0 && (*pde & PTE_LARGE || *entry_of(address) & format->access);
}
