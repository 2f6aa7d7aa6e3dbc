/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include "vcpu.h"

#include "string.h"
#include "x86/cpu.h"
#include "x86/paging.h"
#include "x86/panic.h"

/* Where things lie in the memory of the machine that the model itself runs on. */
#define TABLES 0x1000000ul
#define TABLES_END 0x2000000ul
#define L2_RAM 0x4000000ul

static const uint8_t *rom;
static uint64_t rom_base;
static uint64_t next_table;

static uint64_t *new_table(void)
{
	uint64_t *table = (uint64_t *)next_table;

	if (next_table == TABLES_END)
		panic("model: no nested page table left");
	next_table += PAGE_BYTES;
	memset(table, 0, PAGE_BYTES);
	return table;
}

void memory_drop_all(void)
{
	next_table = TABLES;
	new_table();
}

void memory_init(const void *bytes, uint64_t size)
{
	rom = bytes;
	rom_base = (1ul << 32) - size;
	memory_drop_all();
}

uint64_t memory_root(void)
{
	return TABLES;
}

void *memory_at(uint64_t gpa)
{
	if (gpa < L2_RAM_BYTES)
		return (void *)(L2_RAM + gpa);
	if (gpa >= rom_base && gpa >> 32 == 0)
		return (void *)(rom + (gpa - rom_base));
	return NULL;
}

static uint64_t *entry_at(uint64_t *table, uint64_t gpa, unsigned shift)
{
	return &table[gpa >> shift & 511];
}

bool memory_map(uint64_t gpa)
{
	uint64_t *table = (uint64_t *)memory_root();
	void *at = memory_at(gpa & ~(PAGE_BYTES - 1));

	if (!at)
		return false;
	for (unsigned shift = 39; shift > 12; shift -= 9) {
		uint64_t *entry = entry_at(table, gpa, shift);

		if (!*entry)
			*entry = (uint64_t)new_table() | PTE_PAGE;
		table = (uint64_t *)(*entry & PTE_ADDRESS);
	}
	*entry_at(table, gpa, 12) =
		(uint64_t)at | (gpa < L2_RAM_BYTES ? PTE_PAGE : PTE_PAGE & ~PTE_WRITABLE);
	return true;
}

void memory_unmap(uint64_t gpa)
{
	uint64_t *table = (uint64_t *)memory_root();

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		uint64_t entry = *entry_at(table, gpa, shift);

		if (!entry)
			return;
		table = (uint64_t *)(entry & PTE_ADDRESS);
	}
	*entry_at(table, gpa, 12) = 0;
}

static bool walk_level(uint64_t table, uint64_t linear, unsigned shift, uint64_t *entry)
{
	const uint64_t *at = memory_at((table & PTE_ADDRESS) + (linear >> shift & 511) * 8);

	if (!at || !(*at & PTE_PRESENT))
		return false;
	*entry = *at;
	return true;
}

/* Long mode and no paging: what the payloads use. */
bool memory_walk(const struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
	uint64_t entry = v->vmcb.cr3;

	if (!(v->vmcb.cr0 & X86_CR0_PG)) {
		*gpa = linear & 0xffffffff;
		return true;
	}
	if (!(v->vmcb.efer & EFER_LMA))
		return false;
	for (unsigned shift = 39; shift >= 12; shift -= 9) {
		if (!walk_level(entry, linear, shift, &entry))
			return false;
		if (shift == 12 || (shift < 39 && entry & PTE_LARGE)) {
			uint64_t mask = (1ul << shift) - 1;

			*gpa = (entry & PTE_ADDRESS & ~mask) | (linear & mask);
			return true;
		}
	}
	return false;
}

static size_t copy(const struct vcpu *v, uint64_t linear, uint8_t *ours, size_t bytes,
		   bool to_guest)
{
	for (size_t done = 0; done < bytes; done++) {
		uint64_t gpa;
		uint8_t *theirs;

		if (!memory_walk(v, linear + done, &gpa) || !(theirs = memory_at(gpa)))
			return done;
		if (to_guest)
			*theirs = ours[done];
		else
			ours[done] = *theirs;
	}
	return bytes;
}

size_t memory_read(const struct vcpu *v, uint64_t linear, void *to, size_t bytes)
{
	return copy(v, linear, to, bytes, false);
}

size_t memory_write(const struct vcpu *v, uint64_t linear, const void *from, size_t bytes)
{
	return copy(v, linear, (uint8_t *)from, bytes, true);
}
