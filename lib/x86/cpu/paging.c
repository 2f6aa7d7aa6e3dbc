/* SPDX-License-Identifier: BSD-2-Clause */
#include "paging.h"

#include "cpu.h"

#include "panic.h"
#include "string.h"

#define POOL_TABLES 32

extern uint64_t boot_pd[4 * 512];

static uint64_t pool[POOL_TABLES][512] __attribute__((section(".noinit"), aligned(4096)));
static unsigned pool_used;
static uint64_t table_of_window[512] __attribute__((aligned(4096)));

static uint64_t *split(uint64_t *pde)
{
	uint64_t base = *pde & PTE_ADDRESS, flags = *pde & ~PTE_ADDRESS & ~PTE_LARGE;
	uint64_t *table;

	if (pool_used == POOL_TABLES)
		panic("no page table left to split a 2 MiB page at %#lx", base);
	table = pool[pool_used++];
	for (unsigned i = 0; i < 512; i++)
		table[i] = (base + i * PAGE_BYTES) | flags;
	*pde = (uint64_t)table | PTE_PAGE;
	write_cr3(read_cr3());
	return table;
}

uint64_t *paging_pte(uint64_t address)
{
	uint64_t *pde = &boot_pd[address / BLOCK_BYTES];
	uint64_t *table;

	if (address >> 32)
		panic("%#lx is not identity-mapped", address);
	table = *pde & PTE_LARGE ? split(pde) : (uint64_t *)(*pde & PTE_ADDRESS);
	return &table[address / PAGE_BYTES % 512];
}

uint64_t *window_pde(void)
{
	return &boot_pd[WINDOW / BLOCK_BYTES];
}

uint64_t *window_table(void)
{
	return table_of_window;
}

void window_map(unsigned page, uint64_t entry)
{
	*window_pde() = (uint64_t)table_of_window | PTE_PAGE;
	table_of_window[page] = entry;
	invlpg(WINDOW + page * PAGE_BYTES);
}

void window_reset(void)
{
	if (*window_pde() & PTE_LARGE)
		return;
	memset(table_of_window, 0, sizeof(table_of_window));
	*window_pde() = (uint64_t)table_of_window | PTE_PAGE;
	write_cr3(read_cr3());
}
