/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include "base/cpu.h"
#include "base/sev_cpuid.h"
#include "boot.h"
#include "rmp.h"
#include "views.h"

#include "string.h"

#define CR4_LA57 (1u << 12)
#define LEGACY_LARGE_MASK 0x3ffffful
#define PAE_TABLE 0xffffffe0ul
#define MAX_CODE 15

static bool pae(const struct vmcb *b)
{
	return b->cr0 & X86_CR0_PG && b->cr4 & X86_CR4_PAE;
}

bool memory_is_l1s(uint64_t at, uint64_t bytes)
{
	return at + bytes >= at && at + bytes <= boot_memory_end() && !boot_is_reserved(at, bytes);
}

/* What the RMP says to an access of an SNP guest. */
static int rmp_miss(const struct space *s, uint64_t at, uint64_t gpa, bool private, bool write,
		    bool large)
{
	if (!s->snp_asid)
		return MISS_NONE;
	if (!private)
		return write && !rmp_allows_shared_write(at) ? MISS_RMP : MISS_NONE;
	switch (rmp_check(at, gpa, s->snp_asid, large)) {
	case RMP_MISMATCH:
		return MISS_RMP;
	case RMP_NOT_VALIDATED:
		return MISS_NOT_VALIDATED;
	default:
		return MISS_NONE;
	}
}

void *space_physical(const struct space *s, uint64_t gpa, bool private, bool write,
		     struct miss *miss)
{
	uint64_t table = s->ncr3 & PTE_ADDRESS;

	gpa &= ~C_BIT;
	miss->gpa = gpa;
	miss->kind = MISS_NESTED;
	miss->private = private;
	if (!s->ncr3) {
		if (!memory_is_l1s(gpa & ~(PAGE - 1), PAGE))
			return NULL;
		miss->kind = MISS_NONE;
		return (void *)gpa;
	}
	for (unsigned shift = 39;; shift -= 9) {
		uint64_t entry, mask = (1ul << shift) - 1, at;

		if (!memory_is_l1s(table, PAGE))
			return NULL;
		entry = ((uint64_t *)table)[gpa >> shift & 511];
		/* KVM marks devices by reserved bits. */
		if (!(entry & PTE_PRESENT) || entry & PTE_ADDRESS & RESERVED_BITS ||
		    (write && !(entry & PTE_WRITABLE)))
			return NULL;
		if (shift > 12 && !(shift < 39 && entry & PTE_LARGE)) {
			table = entry & PTE_ADDRESS;
			continue;
		}
		at = (entry & PTE_ADDRESS & ~mask) | (gpa & mask);
		if (!memory_is_l1s(at & ~(PAGE - 1), PAGE))
			return NULL;
		miss->kind = rmp_miss(s, at, gpa, private, write, shift > 12);
		if (miss->kind != MISS_NONE)
			return NULL;
		if (s->key)
			views_show(at, private ? s->key : 0);
		return (void *)at;
	}
}

/* An entry of a page table, which is private whatever its C-bit says. */
static uint64_t *entry_at(const struct space *s, uint64_t gpa, struct miss *miss)
{
	uint64_t *at = space_physical(s, gpa, true, false, miss);

	miss->of_table = true;
	return at;
}

static void *leaf(const struct space *s, uint64_t gpa, bool write, uint64_t *result,
		  struct miss *miss)
{
	void *at = space_physical(s, gpa, !pae(s->state) || gpa & C_BIT, write, miss);

	miss->of_table = false;
	*result = gpa & ~C_BIT;
	return at;
}

static void *two_levels(const struct space *s, uint32_t linear, bool write, uint64_t *gpa,
			struct miss *miss)
{
	uint64_t table = s->state->cr3 & 0xfffff000;

	for (unsigned shift = 22;; shift -= 10) {
		uint32_t *entry =
			(uint32_t *)entry_at(s, table + (linear >> shift & 1023) * 4, miss);

		if (!entry)
			return NULL;
		if (!(*entry & PTE_PRESENT) || (write && !(*entry & PTE_WRITABLE)))
			break;
		*entry |= PTE_ACCESSED;
		if (shift == 22 && !(*entry & PTE_LARGE)) {
			table = *entry & 0xfffff000;
			continue;
		}
		if (write)
			*entry |= PTE_DIRTY;
		if (shift == 22)
			return leaf(s, (*entry & ~LEGACY_LARGE_MASK) | (linear & LEGACY_LARGE_MASK),
				    write, gpa, miss);
		return leaf(s, (*entry & 0xfffff000) | (linear & 0xfff), write, gpa, miss);
	}
	miss->kind = MISS_OWN;
	return NULL;
}

static void *long_levels(const struct space *s, uint64_t linear, bool write, uint64_t *gpa,
			 struct miss *miss)
{
	const struct vmcb *b = s->state;
	uint64_t table = b->cr3 & PTE_ADDRESS;
	unsigned shift = b->cr4 & CR4_LA57 ? 48 : 39;

	if (!(b->efer & EFER_LMA)) {
		uint64_t *pointer;

		linear &= 0xffffffff;
		pointer = entry_at(s, (b->cr3 & PAE_TABLE) + (linear >> 30) * 8, miss);
		if (!pointer)
			return NULL;
		miss->kind = MISS_OWN;
		if (!(*pointer & PTE_PRESENT))
			return NULL;
		table = *pointer & PTE_ADDRESS;
		shift = 21;
	}
	for (;; shift -= 9) {
		uint64_t *entry = entry_at(s, table + (linear >> shift & 511) * 8, miss);
		uint64_t mask = (1ul << shift) - 1;

		if (!entry)
			return NULL;
		if (!(*entry & PTE_PRESENT) || (write && !(*entry & PTE_WRITABLE)))
			break;
		*entry |= PTE_ACCESSED;
		if (shift > 12 && !(shift <= 30 && *entry & PTE_LARGE)) {
			table = *entry & PTE_ADDRESS;
			continue;
		}
		if (write)
			*entry |= PTE_DIRTY;
		return leaf(s, (*entry & PTE_ADDRESS & ~mask) | (linear & mask), write, gpa, miss);
	}
	miss->kind = MISS_OWN;
	return NULL;
}

void *space_linear(const struct space *s, uint64_t linear, bool write, uint64_t *gpa,
		   struct miss *miss)
{
	if (!(s->state->cr0 & X86_CR0_PG))
		return leaf(s, (uint32_t)linear, write, gpa, miss);
	if (!(s->state->cr4 & X86_CR4_PAE))
		return two_levels(s, linear, write, gpa, miss);
	return long_levels(s, linear, write, gpa, miss);
}

static unsigned part_of_page(uint64_t address, unsigned bytes)
{
	unsigned left = PAGE - (address & (PAGE - 1));

	return bytes < left ? bytes : left;
}

/* Between linear addresses and a buffer, page by page; the bytes that could be moved. */
static unsigned move(const struct space *s, uint64_t linear, uint8_t *buffer, unsigned bytes,
		     bool write, struct miss *miss)
{
	unsigned done = 0;
	uint64_t gpa;

	while (done < bytes) {
		unsigned part = part_of_page(linear + done, bytes - done);
		void *at = space_linear(s, linear + done, write, &gpa, miss);

		if (!at)
			break;
		memcpy(write ? at : buffer + done, write ? buffer + done : at, part);
		done += part;
	}
	return done;
}

unsigned space_read(const struct space *s, uint64_t linear, void *to, unsigned bytes,
		    struct miss *miss)
{
	return move(s, linear, to, bytes, false, miss);
}

unsigned space_write(const struct space *s, uint64_t linear, const void *from, unsigned bytes,
		     struct miss *miss)
{
	return move(s, linear, (uint8_t *)from, bytes, true, miss);
}

unsigned space_code(const struct space *s, uint8_t *bytes)
{
	const struct vmcb *b = s->state;
	uint64_t linear = code_bits(b) == 64 ? b->rip : (uint32_t)(b->rip + b->cs.base);
	unsigned done = 0;
	struct miss miss;
	uint64_t gpa;

	while (done < MAX_CODE) {
		unsigned part = part_of_page(linear + done, MAX_CODE - done);
		uint8_t *at = space_linear(s, linear + done, false, &gpa, &miss);

		if (!at)
			break;
		if (s->key)
			views_show((uint64_t)at, s->key);
		memcpy(bytes + done, at, part);
		done += part;
	}
	return done;
}
