/* SPDX-License-Identifier: BSD-2-Clause */
#include "rmp.h"

#include "base/cpu.h"
#include "identity.h"
#include "memory.h"
#include "shadow.h"
#include "views.h"

#define PAGE_MASK (PAGE - 1)
#define LARGE_BYTES (RMP_LARGE_FRAMES * PAGE)
#define MOST_VMPL 3
#define RIGHTS_BITS 8

/* The second half of an entry is the processor's own: what RMPADJUST has given to VMPL 1 to 3, a byte for each. */
struct entry {
	uint64_t what, rights;
};

static struct entry *table;
static uint64_t base, frames;
static bool enabled;

uint64_t rmp_bytes(uint64_t n)
{
	return (RMP_HEAD_BYTES + n * RMP_ENTRY_BYTES + PAGE_MASK) & ~PAGE_MASK;
}

void rmp_init(uint64_t at, uint64_t n)
{
	base = at;
	frames = n;
	table = (struct entry *)(at + RMP_HEAD_BYTES);
}

uint64_t rmp_base(void)
{
	return base;
}

uint64_t rmp_last(void)
{
	return base + rmp_bytes(frames) - 1;
}

bool rmp_is_enabled(void)
{
	return enabled;
}

/* -- Entries. -------------------------------------------------------------------------------------- */

static bool covers(uint64_t at)
{
	return enabled && at / PAGE < frames;
}

static struct entry *own_entry(uint64_t at)
{
	return covers(at) ? &table[at / PAGE] : NULL;
}

/* Of a large page, the first entry counts. */
static struct entry *entry_of(uint64_t at)
{
	struct entry *first = own_entry(at & ~(LARGE_BYTES - 1));

	return first && first->what & RMP_LARGE ? first : own_entry(at);
}

uint64_t rmp_entry(uint64_t at)
{
	const struct entry *e = entry_of(at);

	return e ? e->what : 0;
}

bool rmp_is_assigned(uint64_t at)
{
	return rmp_entry(at) & RMP_ASSIGNED;
}

static bool is_table(uint64_t at)
{
	return enabled && at >= base && at <= rmp_last();
}

bool rmp_allows_shared_write(uint64_t at)
{
	return !rmp_is_assigned(at) && !is_table(at);
}

/* What anybody has mapped by the old entry goes; L1 keeps what it may read. */
static void changed(uint64_t at, bool large)
{
	uint64_t end = at + (large ? LARGE_BYTES : PAGE);

	for (; at < end; at += PAGE) {
		shadow_forget(at / PAGE);
		if (!views_owner(at))
			identity_give(at, rmp_allows_shared_write(at));
	}
}

void rmp_clear(void)
{
	for (uint64_t i = 0; enabled && i < frames; i++) {
		bool large = table[i].what & RMP_LARGE;

		if (!table[i].what)
			continue;
		table[i] = (struct entry){0};
		changed(i * PAGE, large);
	}
}

void rmp_fix(uint64_t at, uint64_t pages)
{
	for (struct entry *e; pages && (e = own_entry(at)); pages--, at += PAGE)
		e->what |= RMP_IMMUTABLE;
}

void rmp_enable(void)
{
	enabled = true;
	for (uint64_t at = base; at <= rmp_last(); at += PAGE)
		identity_give(at, false);
}

void rmp_change(uint64_t at, uint64_t clear, uint64_t set)
{
	struct entry *e = entry_of(at);

	if (!e)
		return;
	e->what = (e->what & ~clear) | set;
	changed(e->what & RMP_LARGE ? at & ~(LARGE_BYTES - 1) : at & ~PAGE_MASK,
		e->what & RMP_LARGE);
}

/* -- Accesses. ------------------------------------------------------------------------------------- */

static unsigned asid_of(uint64_t what)
{
	return (what & RMP_ASID) >> RMP_ASID_SHIFT;
}

/* The gpa of a frame in a large page is that of the page and the distance. */
static uint64_t gpa_of(uint64_t what, uint64_t at)
{
	uint64_t gpa = what & RMP_GPA;

	return what & RMP_LARGE ? gpa + (at & (LARGE_BYTES - 1) & ~PAGE_MASK) : gpa;
}

enum rmp_check rmp_check(uint64_t at, uint64_t gpa, unsigned asid, bool large)
{
	uint64_t what = rmp_entry(at);

	if (!(what & RMP_ASSIGNED) || what & RMP_IMMUTABLE || asid_of(what) != asid ||
	    gpa_of(what, at) != (gpa & ~PAGE_MASK) || !!(what & RMP_LARGE) != large)
		return RMP_MISMATCH;
	return what & RMP_VALIDATED ? RMP_FINE : RMP_NOT_VALIDATED;
}

bool rmp_is_vmsa(uint64_t at, unsigned asid)
{
	const uint64_t wanted = RMP_ASSIGNED | RMP_VALIDATED | RMP_VMSA;
	uint64_t what = rmp_entry(at);

	return (what & (wanted | RMP_IMMUTABLE | RMP_LARGE)) == wanted && asid_of(what) == asid;
}

/* -- RMPUPDATE, PSMASH. ---------------------------------------------------------------------------- */

static bool overlaps(uint64_t at, bool large)
{
	const struct entry *e = entry_of(at);

	/* A small page in the midst of a large one. */
	if (!large)
		return e->what & RMP_LARGE && e != own_entry(at);
	for (uint64_t i = 1; i < RMP_LARGE_FRAMES; i++)
		if (own_entry(at + i * PAGE)->what & (RMP_ASSIGNED | RMP_IMMUTABLE))
			return true;
	return false;
}

enum rmp_result rmp_update(uint64_t at, const struct rmp_state *new)
{
	uint64_t bytes = new->large ? LARGE_BYTES : PAGE;
	struct entry *e = own_entry(at);
	bool was_large;

	if (at & (bytes - 1) || !e || !covers(at + bytes - 1) || new->asid > 0x3ff ||
	    new->gpa & ~RMP_GPA || new->gpa &(bytes - 1))
		return RMP_FAIL_INPUT;
	/* The table, and what is no memory of L1's at all. */
	if (is_table(at) || !memory_is_l1s(at, bytes) || e->what & RMP_IMMUTABLE)
		return RMP_FAIL_PERMISSION;
	was_large = e->what & RMP_LARGE;
	if (overlaps(at, new->large))
		return RMP_FAIL_OVERLAP;
	*e = (struct entry){
		.what = (new->assigned ? RMP_ASSIGNED : 0) | (new->large ? RMP_LARGE : 0) |
			(new->immutable ? RMP_IMMUTABLE : 0) | new->gpa |
			(uint64_t) new->asid << RMP_ASID_SHIFT,
	};
	changed(at, new->large || was_large);
	return RMP_DONE;
}

enum rmp_result rmp_smash(uint64_t at)
{
	struct entry *e = own_entry(at), was;

	if (at & (LARGE_BYTES - 1) || !e)
		return RMP_FAIL_INPUT;
	if ((e->what & (RMP_ASSIGNED | RMP_LARGE)) != (RMP_ASSIGNED | RMP_LARGE))
		return RMP_FAIL_BAD_ADDRESS;
	if (e->what & RMP_IMMUTABLE)
		return RMP_FAIL_PERMISSION;
	was = *e;
	was.what &= ~RMP_LARGE;
	for (uint64_t i = 0; i < RMP_LARGE_FRAMES; i++)
		e[i] = (struct entry){was.what + i * PAGE, was.rights};
	changed(at, true);
	return RMP_DONE;
}

/* -- PVALIDATE, RMPADJUST. ------------------------------------------------------------------------- */

enum rmp_result rmp_validate(uint64_t at, bool valid, bool large, bool *unchanged)
{
	struct entry *e = entry_of(at);

	*unchanged = false;
	if (large && !(e->what & RMP_LARGE))
		return RMP_FAIL_SIZE;
	*unchanged = !!(e->what & RMP_VALIDATED) == valid;
	if (*unchanged)
		return RMP_DONE;
	/* VMPL 0 has all rights; nobody else has any yet. */
	e->what = (e->what & ~(RMP_VALIDATED | RMP_VMSA)) | (valid ? RMP_VALIDATED : 0);
	e->rights = 0;
	changed(at & ~PAGE_MASK, large);
	return RMP_DONE;
}

enum rmp_result rmp_adjust(uint64_t at, bool large, unsigned vmpl, unsigned rights, bool vmsa)
{
	struct entry *e = entry_of(at);
	unsigned shift = vmpl * RIGHTS_BITS;

	if (vmpl > MOST_VMPL)
		return RMP_FAIL_INPUT;
	if (!vmpl)
		return RMP_FAIL_PERMISSION;
	if (large && !(e->what & RMP_LARGE))
		return RMP_FAIL_SIZE;
	e->rights = (e->rights & ~(0xfful << shift)) | (uint64_t)(rights & 0xff) << shift;
	e->what = (e->what & ~RMP_VMSA) | (vmsa ? RMP_VMSA : 0);
	changed(at & ~PAGE_MASK, large);
	return RMP_DONE;
}
