/* SPDX-License-Identifier: BSD-2-Clause */
#include "npt.h"

#include "../paging.h"
#include "../panic.h"

#include "../../string.h"

#define POOL_TABLES 40
#define MAX_TAKEN 64
#define DEVICES (3ul << 30) /* the last GiB, as in boot/start.S */
#define NPT_UNCACHED 0x18

static uint64_t pml4[512] __attribute__((section(".noinit"), aligned(4096)));
static uint64_t pdpt[512] __attribute__((section(".noinit"), aligned(4096)));
static uint64_t pd[4 * 512] __attribute__((section(".noinit"), aligned(4096)));
static uint64_t pool[POOL_TABLES][512] __attribute__((section(".noinit"), aligned(4096)));
static unsigned pool_used;
static bool built;

/* Pages that were taken away since the last reset, as far as they fit. */
static uint64_t taken[MAX_TAKEN];
static unsigned taken_used;

static void build(void)
{
	memset(pml4, 0, sizeof(pml4));
	memset(pdpt, 0, sizeof(pdpt));
	pml4[0] = (uint64_t)pdpt | PTE_PAGE;
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)&pd[i * 512] | PTE_PAGE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * BLOCK_BYTES | PTE_PAGE | PTE_LARGE |
			(i * BLOCK_BYTES >= DEVICES ? NPT_UNCACHED : 0);
	pool_used = 0;
	built = true;
	taken_used = 0;
}

uint64_t npt_root(void)
{
	if (!built)
		build();
	return (uint64_t)pml4;
}

void npt_reset(void)
{
	if (taken_used > MAX_TAKEN)
		build();
	while (taken_used)
		npt_map(taken[--taken_used]);
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
	*pde = (uint64_t)table | PTE_PAGE;
	return table;
}

static uint64_t *entry_of(uint64_t address)
{
	uint64_t *pde = &pd[address / BLOCK_BYTES], *table;

	npt_root();
	if (address >> 32)
		panic("%#lx is not in the nested page tables", address);
	table = *pde & PTE_LARGE ? split(pde) : (uint64_t *)(*pde & PTE_ADDRESS);
	return &table[address / PAGE_BYTES % 512];
}

void npt_unmap(uint64_t address)
{
	*entry_of(address) &= ~PTE_PRESENT;
	if (taken_used < MAX_TAKEN)
		taken[taken_used++] = address;
	else
		taken_used = MAX_TAKEN + 1;
}

void npt_map(uint64_t address)
{
	*entry_of(address) |= PTE_PRESENT;
}

bool npt_is_mapped(uint64_t address)
{
	const uint64_t *pde = &pd[address / BLOCK_BYTES];

	return address >> 32 == 0 && (*pde & PTE_LARGE || *entry_of(address) & PTE_PRESENT);
}
