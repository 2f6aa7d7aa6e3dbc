/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reverse map table (lab/host/memory/rmp.c): the four instructions by APM 3, which accesses of L1 and L2 it lets
 * through, and that those who had a page mapped lose it.
 */
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "memory/rmp.h"
#include "memory/views.h"
#include "memory_ground.h"

#include "string.h"

#include <sys/mman.h>

#define TABLE (BASE + 0x2c00000)
#define ASID 7u
#define FRAME (BASE + 0x200000)
#define LARGE (BASE + 0x400000)
#define GPA 0x5000ul
#define NPT (BASE + 0x100000)
#define RIGHTS 0x67ul

struct features features = {.sev = true, .es = true, .views = true, .snp = true};

static uint64_t *const npt = (uint64_t *)NPT;
static uint64_t *const last = (uint64_t *)(NPT + 3 * PAGE + GPA / PAGE * 8);
static struct vmcb b;

_Noreturn void stop(const char *format, ...)
{
	fprintf(stderr, "stopped: %s\n", format);
	abort();
}

static unsigned update(uint64_t at, bool assigned, unsigned asid, uint64_t gpa, bool immutable,
		       bool large)
{
	const struct rmp_state state = {.assigned = assigned,
					.asid = asid,
					.gpa = gpa,
					.immutable = immutable,
					.large = large};

	return rmp_update(at, &state);
}

static void l1s_instructions(void)
{
	CHECK(update(FRAME, true, ASID, GPA, false, false) ==
	      1); /* not enabled: nothing is covered */
	rmp_enable();
	CHECK(l1_reads[TABLE / PAGE] && l1_reads[(rmp_last() - 1) / PAGE]);
	CHECK(update(FRAME + 8, true, ASID, GPA, false, false) == 1);
	CHECK(update(LARGE + PAGE, true, ASID, 0, false, true) == 1);
	CHECK(update(BASE + BYTES, true, ASID, 0, false, false) == 1);
	CHECK(update(TABLE, true, ASID, 0, false, false) == 2); /* the table itself */
	CHECK(update(MONITOR, true, ASID, 0, false, false) == 2);
	CHECK(update(FRAME, true, ASID, GPA, false, false) == 0);
	CHECK(rmp_entry(FRAME) == (1 | GPA | (uint64_t)ASID << 51));
	CHECK(rmp_is_assigned(FRAME) && !rmp_allows_shared_write(FRAME) && l1_reads[FRAME / PAGE]);
	CHECK(rmp_allows_shared_write(FRAME + PAGE));
	/* Back. */
	CHECK(update(FRAME, false, 0, 0, false, false) == 0 && !l1_reads[FRAME / PAGE]);
	/* What is immutable, L1 does not change. */
	CHECK(update(FRAME, true, 0, 0, true, false) == 0 &&
	      update(FRAME, false, 0, 0, false, false) == 2);
	rmp_change(FRAME, RMP_IMMUTABLE, 0);
	CHECK(update(FRAME, false, 0, 0, false, false) == 0);
	/* Large pages: over small ones, small ones in them, PSMASH. */
	CHECK(update(LARGE + 3 * PAGE, true, ASID, GPA, false, false) == 0);
	CHECK(update(LARGE, true, ASID, 0x600000, false, true) == 4);
	CHECK(update(LARGE + 3 * PAGE, false, 0, 0, false, false) == 0);
	CHECK(rmp_smash(LARGE) == 5 && rmp_smash(LARGE + PAGE) == 1);
	CHECK(update(LARGE, true, ASID, 0x600000, false, true) == 0);
	CHECK(l1_reads[LARGE / PAGE + 511] && !rmp_allows_shared_write(LARGE + 0x1ff000));
	CHECK(update(LARGE + PAGE, true, ASID, 0x601000, false, false) == 4);
	CHECK(rmp_check(LARGE + PAGE, 0x601000, ASID, true) == RMP_NOT_VALIDATED);
	CHECK(rmp_check(LARGE + PAGE, 0x601000, ASID, false) == RMP_MISMATCH);
	CHECK(rmp_smash(LARGE) == 0);
	CHECK(rmp_check(LARGE + PAGE, 0x601000, ASID, false) == RMP_NOT_VALIDATED);
	CHECK(rmp_check(LARGE + PAGE, 0x601000, ASID, true) == RMP_MISMATCH);
}

static void l2s_instructions(void)
{
	bool unchanged;

	CHECK(update(FRAME, true, ASID, GPA, false, false) == 0);
	CHECK(rmp_check(FRAME, GPA, ASID, false) == RMP_NOT_VALIDATED);
	CHECK(rmp_check(FRAME, GPA + PAGE, ASID, false) == RMP_MISMATCH);
	CHECK(rmp_check(FRAME, GPA, ASID + 1, false) == RMP_MISMATCH);
	CHECK(rmp_validate(FRAME, true, true, &unchanged) == 6);
	CHECK(rmp_validate(FRAME, false, false, &unchanged) == 0 && unchanged);
	CHECK(rmp_validate(FRAME, true, false, &unchanged) == 0 && !unchanged);
	CHECK(rmp_check(FRAME, GPA, ASID, false) == RMP_FINE);
	CHECK(rmp_adjust(FRAME, false, 0, 0, false) == 2 &&
	      rmp_adjust(FRAME, false, 4, 0, false) == 1);
	CHECK(rmp_adjust(FRAME, true, 1, 0, false) == 6);
	CHECK(!rmp_is_vmsa(FRAME, ASID) && rmp_adjust(FRAME, false, 1, 0, true) == 0);
	CHECK(rmp_is_vmsa(FRAME, ASID) && !rmp_is_vmsa(FRAME, ASID + 1));
	/* RMPUPDATE takes back what the guest has said. */
	CHECK(update(FRAME, true, ASID, GPA, false, false) == 0);
	CHECK(rmp_check(FRAME, GPA, ASID, false) == RMP_NOT_VALIDATED && !rmp_is_vmsa(FRAME, ASID));
}

static enum shadow_answer fault(uint64_t gpa, uint64_t error, const struct space *s)
{
	b.exit_info1 = error;
	b.exit_info2 = gpa;
	return shadow_fault(&b, s);
}

static uint64_t found(uint64_t gpa, const struct space *s)
{
	uint64_t table = shadow_root(&b, s->ncr3, s->key);

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t entry = ((uint64_t *)table)[gpa >> shift & 511];

		if (!(entry & PTE_PRESENT) || shift == 12)
			return entry & PTE_PRESENT ? entry : 0;
		table = entry & PTE_ADDRESS;
	}
}

/* An SNP guest's accesses, with the bits that an #NPF has: 31 RMP, 34 C-bit. */
static void accesses(void)
{
	struct space s = {.state = &b, .ncr3 = NPT, .snp_asid = ASID};
	const uint64_t rmp = 1ul << 31, encrypted = 1ul << 34;
	struct miss miss;
	bool unchanged;

	memset(npt, 0, 4 * PAGE);
	npt[0] = (NPT + PAGE) | 7;
	npt[512] = (NPT + 2 * PAGE) | 7;
	npt[1024] = (NPT + 3 * PAGE) | 7;
	*last = FRAME | RIGHTS;
	b = (struct vmcb){.asid = ASID,
			  .cr0 = X86_CR0_PG | X86_CR0_PE,
			  .cr4 = X86_CR4_PAE,
			  .efer = EFER_LMA};
	views_new_key(ASID);
	s.key = views_key(ASID);
	CHECK(update(FRAME, false, 0, 0, false, false) == 0);
	CHECK(fault(GPA | C_BIT, 6, &s) == SHADOW_L1S && b.exit_info1 == (6 | 1 | rmp | encrypted));
	CHECK(fault(0x9000 | C_BIT, 4, &s) == SHADOW_L1S && b.exit_info1 == (4 | encrypted));
	CHECK(fault(GPA, 6, &s) == SHADOW_MAPPED && found(GPA, &s) & PTE_WRITABLE);
	/* The page becomes the guest's: nobody has it any more, and the shared view is there to read. */
	CHECK(update(FRAME, true, ASID, GPA, false, false) == 0 && !found(GPA, &s));
	CHECK(fault(GPA, 6, &s) == SHADOW_L1S && b.exit_info1 == (6 | 1 | rmp));
	CHECK(fault(GPA, 4, &s) == SHADOW_MAPPED && found(GPA, &s) &&
	      !(found(GPA, &s) & PTE_WRITABLE));
	CHECK(fault(GPA | C_BIT, 6, &s) == SHADOW_NOT_VALIDATED);
	CHECK(!space_physical(&s, GPA, true, true, &miss) && miss.kind == MISS_NOT_VALIDATED);
	CHECK(rmp_validate(FRAME, true, false, &unchanged) == 0);
	CHECK(fault(GPA | C_BIT, 6, &s) == SHADOW_MAPPED && found(GPA | C_BIT, &s) & PTE_WRITABLE);
	CHECK(space_physical(&s, GPA, true, true, &miss) == (void *)FRAME);
	CHECK(!space_physical(&s, GPA, false, true, &miss) && miss.kind == MISS_RMP);
	/* A flush leaves it as writable as it was. */
	b.tlb_control = 1;
	CHECK(found(GPA | C_BIT, &s) & PTE_WRITABLE);
	b.tlb_control = 0;
	/* L1 reads, and does not write. */
	CHECK(views_take_back(FRAME) && l1_reads[FRAME / PAGE] && !l1_lacks[FRAME / PAGE]);
	/* It takes the validation back: #VC at the next access. */
	CHECK(fault(GPA | C_BIT, 4, &s) == SHADOW_MAPPED);
	CHECK(rmp_validate(FRAME, false, false, &unchanged) == 0 && !found(GPA | C_BIT, &s));
	/* A guest without SNP does not write to it either. */
	s.snp_asid = 0;
	s.key = 0;
	CHECK(fault(GPA, 6, &s) == SHADOW_L1S && b.exit_info1 == (6 | 1 | rmp));
}

int main(void)
{
	DEMAND(mmap((void *)BASE, BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)BASE);
	reserved_from = TABLE;
	views_init();
	shadow_init();
	rmp_init(TABLE, FRAMES);
	l1s_instructions();
	l2s_instructions();
	accesses();
	printf("%u checks, 0 wrong\n", checks);
	return 0;
}
