/* SPDX-License-Identifier: BSD-2-Clause */
#include "shadow.h"

#include "base/log.h"
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "boot.h"
#include "memory.h"
#include "rmp.h"
#include "views.h"

#include "string.h"

#define ROOTS 16
#define TABLES 1536
#define LEAVES 65536
#define ENTRIES 512

/* EXITINFO1 of a nested page fault. */
#define NPF_PRESENT (1ul << 0)
#define NPF_WRITE (1ul << 1)
#define NPF_RESERVED (1ul << 3)
#define NPF_FETCH (1ul << 4)
#define NPF_RMP (1ul << 31)
#define NPF_TABLE_WALK (1ul << 33)
#define NPF_ENCRYPTED (1ul << 34) /* the C-bit, as it counts */

#define TABLE_ENTRY (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED)

struct root {
	uint64_t ncr3;
	uint32_t asid;
	unsigned key;
	bool unpaged;	/* without paging all memory is private */
	bool stale;	/* to be compared with L1's tables first */
	uint32_t first; /* of its leaves; 0: none */
	uint64_t *table;
};

/* One page that is mapped. Leaf 0 is not used. */
struct leaf {
	uint64_t *entry; /* NULL: forgotten meanwhile */
	uint64_t gpa;	 /* with the C-bit as L2 had it */
	uint32_t frame, next_of_frame, next_of_root;
};

static struct root roots[ROOTS];
static unsigned root_count;
static uint64_t (*tables)[ENTRIES];
static unsigned tables_used;
static struct leaf *leaves;
static uint32_t leaves_used;
static uint32_t *leaf_of_frame;
static uint64_t frames;

uint64_t shadow_bytes(uint64_t n)
{
	return TABLES * PAGE + LEAVES * sizeof(struct leaf) + n * sizeof(leaf_of_frame[0]) +
	       3 * PAGE;
}

void shadow_init(void)
{
	frames = boot_memory_end() / PAGE;
	tables = arena_take(TABLES * PAGE);
	leaves = arena_take(LEAVES * sizeof(leaves[0]));
	leaf_of_frame = arena_take(frames * sizeof(leaf_of_frame[0]));
	leaves_used = 1;
}

static void throw_all_away(void)
{
	for (uint32_t i = 1; i < leaves_used; i++)
		leaf_of_frame[leaves[i].frame] = 0;
	root_count = tables_used = 0;
	leaves_used = 1;
	cpu0.count.flushed++;
}

static uint64_t *new_table(void)
{
	memset(tables[tables_used], 0, PAGE);
	return tables[tables_used++];
}

/* -- Leaves. ------------------------------------------------------------------------------------- */

static void unlink_from_frame(uint32_t n)
{
	uint32_t *link = &leaf_of_frame[leaves[n].frame];

	while (*link && *link != n)
		link = &leaves[*link].next_of_frame;
	if (*link)
		*link = leaves[n].next_of_frame;
}

void shadow_forget(uint64_t frame)
{
	for (uint32_t n = leaf_of_frame[frame]; n; n = leaves[n].next_of_frame) {
		*leaves[n].entry = 0;
		leaves[n].entry = NULL;
	}
	leaf_of_frame[frame] = 0;
}

static void forget_entry(uint64_t *entry)
{
	uint32_t n = leaf_of_frame[(*entry & PTE_ADDRESS) / PAGE];

	while (n && leaves[n].entry != entry)
		n = leaves[n].next_of_frame;
	if (n) {
		unlink_from_frame(n);
		leaves[n].entry = NULL;
	}
	*entry = 0;
}

static uint64_t *entry_of(const struct root *r, uint64_t gpa)
{
	uint64_t *entry = &r->table[gpa >> 39 & 511];

	for (unsigned shift = 30;; shift -= 9) {
		if (!*entry)
			*entry = (uint64_t)new_table() | TABLE_ENTRY;
		entry = &((uint64_t *)(*entry & PTE_ADDRESS))[gpa >> shift & 511];
		if (shift == 12)
			return entry;
	}
}

static void add_leaf(struct root *r, uint64_t gpa, uint64_t value)
{
	uint64_t *entry = entry_of(r, gpa);
	uint64_t frame = (value & PTE_ADDRESS) / PAGE;
	bool known = *entry && (*entry & PTE_ADDRESS) == (value & PTE_ADDRESS);
	uint32_t n;

	/* L1 has put another frame there, and sees no need for a flush. */
	if (*entry && !known)
		forget_entry(entry);
	*entry = value;
	if (known)
		return;
	n = leaves_used++;
	leaves[n] = (struct leaf){entry, gpa, frame, leaf_of_frame[frame], r->first};
	leaf_of_frame[frame] = r->first = n;
	cpu0.count.mapped++;
}

/* -- L1's tables. -------------------------------------------------------------------------------- */

struct walk {
	uint64_t at;
	bool present, reserved, writable, executable, accessed, dirty, large;
	uint64_t *entry;
};

/* Where L1's tables lead. `access`: accessed bits are set, as the CPU's walk sets them. */
static struct walk walk(uint64_t ncr3, uint64_t gpa, bool access)
{
	struct walk w = {.writable = true, .executable = true, .accessed = true};
	uint64_t table = ncr3 & PTE_ADDRESS;

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t mask = (1ul << shift) - 1;

		if (!memory_is_l1s(table, PAGE))
			stop("L1's nested tables go through %#lx, which is no memory of its own",
			     table);
		w.entry = &((uint64_t *)table)[gpa >> shift & 511];
		if (!(*w.entry & PTE_PRESENT))
			return w;
		if (*w.entry & PTE_ADDRESS & RESERVED_BITS) {
			w.reserved = true;
			return w;
		}
		w.writable &= !!(*w.entry & PTE_WRITABLE);
		w.executable &= !(*w.entry & PTE_NO_EXECUTE);
		if (access)
			*w.entry |= PTE_ACCESSED;
		w.accessed &= !!(*w.entry & PTE_ACCESSED);
		if (shift == 12 || (shift < 39 && *w.entry & PTE_LARGE)) {
			w.present = true;
			w.large = shift > 12;
			w.dirty = *w.entry & PTE_DIRTY;
			w.at = (*w.entry & PTE_ADDRESS & ~mask & ~C_BIT) |
			       (gpa & mask & PTE_ADDRESS);
			return w;
		}
		table = *w.entry & PTE_ADDRESS & ~C_BIT;
	}
}

/* A page becomes writable here once it is dirty there; by the raw view, only where the RMP has it as the hypervisor's. */
static uint64_t leaf_value(const struct walk *w)
{
	bool writable = w->writable && w->dirty;

	if (!views_owner(w->at) && !rmp_allows_shared_write(w->at))
		writable = false;
	return w->at | PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_DIRTY |
	       (writable ? PTE_WRITABLE : 0) | (w->executable ? 0 : PTE_NO_EXECUTE);
}

/* Each leaf as L1's tables have it now, or not at all. */
static void bring_up_to_date(struct root *r)
{
	uint32_t *link = &r->first;

	while (*link) {
		struct leaf *l = &leaves[*link];
		struct walk w;

		if (l->entry) {
			w = walk(r->ncr3, l->gpa & ~C_BIT, false);
			if (w.present && w.accessed && w.at == (uint64_t)l->frame * PAGE) {
				*l->entry = leaf_value(&w);
				link = &l->next_of_root;
				continue;
			}
			*l->entry = 0;
			unlink_from_frame(*link);
		}
		*link = l->next_of_root;
	}
	r->stale = false;
	cpu0.count.synced++;
}

/* -- Roots. -------------------------------------------------------------------------------------- */

static bool is_unpaged(const struct vmcb *b, unsigned key)
{
	return key && !(b->cr0 & X86_CR0_PG && b->cr4 & X86_CR4_PAE);
}

static struct root *find(const struct vmcb *b, uint64_t ncr3, unsigned key)
{
	bool unpaged = is_unpaged(b, key);

	for (unsigned i = 0; i < root_count; i++)
		if (roots[i].ncr3 == ncr3 && roots[i].asid == b->asid && roots[i].key == key &&
		    roots[i].unpaged == unpaged)
			return &roots[i];
	return NULL;
}

static struct root *find_or_make(const struct vmcb *b, uint64_t ncr3, unsigned key)
{
	struct root *r = find(b, ncr3, key);

	if (r)
		return r;
	if (root_count == ROOTS || tables_used == TABLES)
		throw_all_away();
	r = &roots[root_count++];
	*r = (struct root){.ncr3 = ncr3,
			   .asid = b->asid,
			   .key = key,
			   .unpaged = is_unpaged(b, key),
			   .table = new_table()};
	return r;
}

static void flush(const struct vmcb *b)
{
	for (unsigned i = 0; i < root_count; i++)
		if (b->tlb_control == SVM_TLB_FLUSH_ALL ||
		    (b->tlb_control && roots[i].asid == b->asid))
			roots[i].stale = true;
}

uint64_t shadow_root(const struct vmcb *b, uint64_t ncr3, unsigned key)
{
	struct root *r;

	if (b->tlb_control)
		flush(b);
	r = find_or_make(b, ncr3, key);
	if (r->stale)
		bring_up_to_date(r);
	return (uint64_t)r->table;
}

/* What the RMP says; RMP_FINE also where it is not asked. */
static enum rmp_check ask_rmp(const struct walk *w, const struct space *s, uint64_t gpa,
			      bool private, bool write)
{
	if (s->snp_asid && private)
		return rmp_check(w->at, gpa, s->snp_asid, w->large);
	return write && !rmp_allows_shared_write(w->at) ? RMP_MISMATCH : RMP_FINE;
}

enum shadow_answer shadow_fault(struct vmcb *b, const struct space *s)
{
	uint64_t gpa = b->exit_info2, error = b->exit_info1 & ~(NPF_PRESENT | NPF_RESERVED);
	uint64_t ncr3 = s->ncr3;
	unsigned key = s->key;
	bool with_c = key && (is_unpaged(b, key) || gpa & C_BIT);
	/* Page tables and code are private whatever their C-bit says. */
	bool private = key && (with_c || error & (NPF_TABLE_WALK | NPF_FETCH));
	struct walk w;

	if (key)
		gpa &= ~C_BIT;
	b->exit_info2 = gpa;
	if (s->snp_asid && private)
		error |= NPF_ENCRYPTED;
	w = walk(ncr3, gpa, true);
	if (!w.present) {
		b->exit_info1 = error | (w.reserved ? NPF_PRESENT | NPF_RESERVED : 0);
		return SHADOW_L1S;
	}
	if ((error & NPF_WRITE && !w.writable) || (error & NPF_FETCH && !w.executable)) {
		b->exit_info1 = error | NPF_PRESENT;
		return SHADOW_L1S;
	}
	if (!memory_is_l1s(w.at, PAGE))
		stop("L1 gives L2 the memory at %#lx, which is not its own", w.at);
	switch (ask_rmp(&w, s, gpa, private, error & NPF_WRITE)) {
	case RMP_MISMATCH:
		b->exit_info1 = error | NPF_PRESENT | NPF_RMP;
		return SHADOW_L1S;
	case RMP_NOT_VALIDATED:
		b->exit_info1 = error | NPF_PRESENT;
		return SHADOW_NOT_VALIDATED;
	default:
		break;
	}
	if (error & NPF_WRITE && !w.dirty) {
		*w.entry |= PTE_DIRTY;
		w.dirty = true;
	}
	if (tables_used + 4 > TABLES || leaves_used == LEAVES)
		throw_all_away();
	views_show(w.at, private ? key : 0);
	add_leaf(find_or_make(b, ncr3, key),
		 (gpa & PTE_ADDRESS) | (with_c && !is_unpaged(b, key) ? C_BIT : 0), leaf_value(&w));
	if (tracing)
		say("map %s %#lx -> %#lx error %#lx\n", private ? "private" : "raw", gpa, w.at,
		    error);
	return SHADOW_MAPPED;
}
