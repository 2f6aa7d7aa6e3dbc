/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include "bug.h"
#include "vcpu.h"

#include "panic.h"
#include "string.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"

/* Where things lie in the memory of the machine that the model itself runs on. */
#define TABLES 0x1000000ul
#define TABLES_END 0x2000000ul
#define L2_RAM 0x4000000ul
#define L2_SHARED 0x8000000ul

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

/* SEV's C-bit, or 0; the view of an L2 with paging off is a root of its own, with the private tables. */
static uint64_t c_bit;

#define ROOT TABLES
#define ROOT_UNPAGED (TABLES + PAGE_BYTES)

static uint64_t *entry_at(uint64_t *table, uint64_t gpa, unsigned shift)
{
	return &table[gpa >> shift & 511];
}

void memory_drop_all(void)
{
	uint64_t *root, *other;

	next_table = TABLES;
	root = new_table();
	if (!c_bit)
		return;
	other = new_table();
	*entry_at(root, c_bit, 39) = other[0] = (uint64_t)new_table() | PTE_PAGE;
}

void memory_init(const void *bytes, uint64_t size)
{
	rom = bytes;
	rom_base = (1ul << 32) - size;
	memory_drop_all();
}

uint64_t memory_root(bool paged)
{
	return c_bit && !paged ? ROOT_UNPAGED : ROOT;
}

/* What nobody has written through the shared view reads as this: on hardware, as ciphertext. */
static void fill_with_garbage(uint64_t *page)
{
	for (unsigned i = 0; i < PAGE_BYTES / 8; i++)
		page[i] = 0xa5c3e7195b3d7f21ul * ((uint64_t)page + i + 1);
}

static void *shared_at(uint64_t gpa)
{
	static uint64_t rom_garbage[PAGE_BYTES / 8] __attribute__((aligned(PAGE_BYTES)));
	static uint8_t filled[L2_RAM_BYTES / PAGE_BYTES / 8];
	uint64_t number = gpa / PAGE_BYTES, page;

	if (gpa < L2_RAM_BYTES) {
		page = L2_SHARED + number * PAGE_BYTES;
		if (!(filled[number / 8] >> number % 8 & 1))
			fill_with_garbage((uint64_t *)page);
		filled[number / 8] |= 1u << number % 8;
		return (void *)(L2_SHARED + gpa);
	}
	if (gpa < rom_base || gpa >= L2_MEMORY_END)
		return NULL;
	fill_with_garbage(rom_garbage);
	return (uint8_t *)rom_garbage + gpa % PAGE_BYTES;
}

void *memory_at(uint64_t gpa)
{
	if (c_bit && !(gpa & c_bit) && !bug(C_BIT_IGNORED))
		return shared_at(gpa);
	gpa &= ~c_bit;
	if (gpa < L2_RAM_BYTES)
		return (void *)(L2_RAM + gpa);
	if (gpa >= rom_base && gpa >> 32 == 0)
		return (void *)(rom + (gpa - rom_base));
	return NULL;
}

static bool map(uint64_t gpa, void *at, uint64_t flags)
{
	uint64_t *table = (uint64_t *)ROOT;

	if (!at)
		return false;
	for (unsigned shift = 39; shift > 12; shift -= 9) {
		uint64_t *entry = entry_at(table, gpa, shift);

		if (!*entry)
			*entry = (uint64_t)new_table() | PTE_PAGE;
		table = (uint64_t *)(*entry & PTE_ADDRESS);
	}
	if ((gpa & ~c_bit) >= L2_RAM_BYTES)
		flags &= ~PTE_WRITABLE;
	*entry_at(table, gpa, 12) = (uint64_t)at | flags;
	return true;
}

/* Nothing is executed from shared memory: memory_map_private is asked for it. */
bool memory_map(uint64_t gpa)
{
	return map(gpa, memory_at(gpa & ~(PAGE_BYTES - 1)),
		   c_bit && !(gpa & c_bit) ? PTE_PAGE | PTE_NX : PTE_PAGE);
}

bool memory_map_private(uint64_t gpa)
{
	return map(gpa & ~c_bit, memory_at((gpa | c_bit) & ~(PAGE_BYTES - 1)), PTE_PAGE);
}

void memory_set_c_bit(uint64_t bit)
{
	c_bit = bit;
	memory_drop_all();
}

bool memory_unmap(uint64_t gpa)
{
	uint64_t *table = (uint64_t *)ROOT, *last;
	bool was_mapped;

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		uint64_t entry = *entry_at(table, gpa, shift);

		if (!entry)
			return false;
		table = (uint64_t *)(entry & PTE_ADDRESS);
	}
	last = entry_at(table, gpa, 12);
	was_mapped = *last;
	*last = 0;
	return was_mapped;
}

bool memory_forget(uint64_t gpa)
{
	bool shared = memory_unmap(gpa);

	return memory_unmap(gpa | c_bit) || shared;
}

void memory_lose(uint64_t gpa)
{
	if (gpa >= L2_RAM_BYTES)
		return;
	gpa &= ~(PAGE_BYTES - 1);
	fill_with_garbage((uint64_t *)(L2_RAM + gpa));
	fill_with_garbage((uint64_t *)(L2_SHARED + gpa));
}

bool memory_is_rom(uint64_t gpa)
{
	return gpa >= rom_base && gpa < L2_MEMORY_END;
}

static bool walk_level(uint64_t table, uint64_t linear, unsigned shift, uint64_t *entry)
{
	const uint64_t *at =
		memory_at(((table & PTE_ADDRESS) + (linear >> shift & 511) * 8) | c_bit);

	if (!at || !(*at & PTE_PRESENT))
		return false;
	*entry = *at;
	return true;
}

/* What CR3 points to in PAE paging: four entries, which have no flags but one. */
static bool walk_pointers(const struct vcpu *v, uint64_t linear, uint64_t *entry)
{
	const uint64_t *at =
		memory_at(((v->vmcb.cr3 & 0xffffffe0) + (linear >> 30 & 3) * 8) | c_bit);

	if (!at || !(*at & PTE_PRESENT))
		return false;
	*entry = *at;
	return true;
}

/* 4 MiB pages are all that is used of 32-bit paging. */
static bool walk_32(const struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
	const uint32_t *at =
		memory_at(((v->vmcb.cr3 & 0xfffff000) + (linear >> 22 & 1023) * 4) | c_bit);

	if (!at || (*at & (PTE_PRESENT | PTE_LARGE)) != (PTE_PRESENT | PTE_LARGE))
		return false;
	*gpa = (*at & 0xffc00000) | (linear & 0x3fffff);
	return true;
}

/* What the payloads use: long mode, the paging of 32-bit protected mode, and none. */
bool memory_walk(const struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
	uint64_t entry = v->vmcb.cr3;
	bool is_long = v->vmcb.efer & EFER_LMA;

	if (!(v->vmcb.cr0 & X86_CR0_PG)) {
		*gpa = (linear & 0xffffffff) | c_bit;
		return true;
	}
	if (!is_long && !(v->vmcb.cr4 & X86_CR4_PAE))
		return walk_32(v, linear, gpa);
	if (!is_long && !walk_pointers(v, linear & 0xffffffff, &entry))
		return false;
	for (unsigned shift = is_long ? 39 : 21; shift >= 12; shift -= 9) {
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

#define CR4_SMAP (1u << 21)

/* In long mode: what all levels allow; false: not mapped. */
static bool walk_rights(const struct vcpu *v, uint64_t linear, uint64_t *rights)
{
	uint64_t entry = v->vmcb.cr3;
	unsigned shift = 48;

	*rights = PTE_WRITABLE | PTE_USER;
	do {
		shift -= 9;
		if (!walk_level(entry, linear, shift, &entry))
			return false;
		*rights &= entry;
	} while (shift > 12 && (shift == 39 || !(entry & PTE_LARGE)));
	return true;
}

bool memory_closed_by_smap(const struct vcpu *v, uint64_t linear)
{
	uint64_t rights;

	return v->vmcb.cr4 & CR4_SMAP && walk_rights(v, linear, &rights) && rights & PTE_USER;
}

uint32_t memory_write_fault(const struct vcpu *v, uint64_t linear, bool user)
{
	uint32_t error = PF_WRITE | (user ? PF_USER : 0);
	uint64_t rights;

	if (!walk_rights(v, linear, &rights))
		return error;
	if ((!(rights & PTE_WRITABLE) && (user || v->vmcb.cr0 & X86_CR0_WP)) ||
	    (user && !(rights & PTE_USER)) ||
	    (!user && !(v->vmcb.rflags & X86_EFLAGS_AC) && memory_closed_by_smap(v, linear)))
		return error | PF_PRESENT;
	return 0;
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
