/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What L1 and L2 of the SEV host can reach (lab/host: views.c, shadow.c, memory.c): two views of a frame, the tables
 * that an L2 really runs on, and that nothing leads to the monitor's memory.
 */
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "memory/views.h"
#include "memory_ground.h"

#include "string.h"

#include <setjmp.h>
#include <sys/mman.h>

struct features features = {.sev = true, .es = true, .views = true};

static jmp_buf stopped;
static char sentence[256];

_Noreturn void stop(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	longjmp(stopped, 1);
}

/* -- L1's nested tables, with one page at gpa 0x5000. ----------------------------------------------- */

#define NPT (BASE + 0x100000)
#define FRAME (BASE + 0x200000)
#define OTHER (BASE + 0x201000)
#define GPA 0x5000ul
#define TABLE 7ul
#define RIGHTS 0x67ul /* present, writable, user, accessed, dirty */

static uint64_t *const npt = (uint64_t *)NPT;
static uint64_t *const last = (uint64_t *)(NPT + 3 * PAGE + GPA / PAGE * 8);
static struct vmcb b;

static void make_tables(void)
{
	memset(npt, 0, 4 * PAGE);
	npt[0] = (NPT + PAGE) | TABLE;
	npt[512] = (NPT + 2 * PAGE) | TABLE;
	npt[1024] = (NPT + 3 * PAGE) | TABLE;
	*last = FRAME | RIGHTS;
	b = (struct vmcb){.asid = 40,
			  .cr0 = X86_CR0_PG | X86_CR0_PE,
			  .cr4 = X86_CR4_PAE,
			  .efer = EFER_LMA};
}

/* What the tables that L2 runs on have for a gpa; 0 where nothing. */
static uint64_t found(uint64_t gpa, unsigned key)
{
	uint64_t table = shadow_root(&b, NPT, key);

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t entry = ((uint64_t *)table)[gpa >> shift & 511];

		if (!(entry & PTE_PRESENT) || shift == 12)
			return entry & PTE_PRESENT ? entry : 0;
		table = entry & PTE_ADDRESS;
	}
}

static bool fault(uint64_t gpa, uint64_t error, unsigned key)
{
	const struct space space = {.state = &b, .ncr3 = NPT, .key = key};

	b.exit_info1 = error;
	b.exit_info2 = gpa;
	return shadow_fault(&b, &space) == SHADOW_MAPPED;
}

/* -- Tests. ---------------------------------------------------------------------------------------- */

static void two_views(void)
{
	uint64_t *word = (uint64_t *)FRAME;
	unsigned key;

	views_new_key(40);
	key = views_key(40);
	CHECK(key && views_key(41) == 0);
	word[0] = 0x1111;
	views_show(FRAME, key);
	CHECK(word[0] != 0x1111 && l1_lacks[FRAME / PAGE] && views_owner(FRAME) == key);
	word[1] = 0x2222; /* written by L2 */
	CHECK(views_take_back(FRAME + 8) && !l1_lacks[FRAME / PAGE]);
	CHECK(word[0] == 0x1111 && word[1] != 0x2222);
	CHECK(!views_take_back(FRAME));
	views_show(FRAME, key);
	CHECK(word[1] == 0x2222);
	/* Another key, or a new one for the same ASID, reads noise. */
	views_new_key(40);
	CHECK(views_key(40) != key);
	views_show(FRAME, views_key(40));
	CHECK(word[1] != 0x2222);
	/* What firmware encrypts reads the same through the key. */
	views_show(FRAME, 0);
	word[0] = 0x3333;
	views_encrypt(FRAME, 16, key);
	CHECK(word[0] == 0x3333 && l1_lacks[FRAME / PAGE]);
	views_show(FRAME, 0);
	CHECK(word[0] != 0x3333);
}

static void plain_guest(void)
{
	make_tables();
	CHECK(!found(GPA, 0));
	CHECK(fault(GPA, 4, 0) && (found(GPA, 0) & PTE_ADDRESS) == FRAME);
	/* Not there, a device's mark, and rights: L1's faults, with L1's error code. */
	CHECK(!fault(0x9000, 6, 0) && b.exit_info1 == 6 && b.exit_info2 == 0x9000);
	last[4] = 0xful << 48 | 7;
	CHECK(!fault(0x9000, 4, 0) && b.exit_info1 == (4 | 1 | 8));
	last[5] = OTHER | 5 | PTE_NO_EXECUTE;
	CHECK(!fault(0xa000, 6, 0) && b.exit_info1 == (6 | 1));
	CHECK(!fault(0xa000, 0x14, 0) && b.exit_info1 == (0x14 | 1));
	CHECK(fault(0xa000, 4, 0) && last[5] & PTE_ACCESSED && !(found(0xa000, 0) & PTE_WRITABLE));
	/* Writable once dirty. */
	last[6] = (OTHER + PAGE) | 7;
	CHECK(fault(0xb000, 4, 0) && !(last[6] & PTE_DIRTY) && !(found(0xb000, 0) & PTE_WRITABLE));
	CHECK(fault(0xb000, 6, 0) && last[6] & PTE_DIRTY && found(0xb000, 0) & PTE_WRITABLE);
	/* L1 takes a page away: gone once it asks for the flush, and not before. */
	*last = 0;
	CHECK(found(GPA, 0));
	b.tlb_control = 3;
	CHECK(!found(GPA, 0) && found(0xb000, 0));
	b.tlb_control = 0;
	*last = OTHER | RIGHTS;
	CHECK(fault(GPA, 4, 0) && (found(GPA, 0) & PTE_ADDRESS) == OTHER);
	/* Another ASID's flush is none of this one's. */
	*last = 0;
	b.asid = 41;
	b.tlb_control = 3;
	shadow_root(&b, NPT, 0);
	b.asid = 40;
	b.tlb_control = 0;
	CHECK(found(GPA, 0));
	b.tlb_control = 1;
	CHECK(!found(GPA, 0));
}

static void sev_guest(void)
{
	unsigned key = views_key(40);

	make_tables();
	CHECK(fault(GPA | C_BIT, 6, key) && b.exit_info2 == GPA);
	CHECK(found(GPA | C_BIT, key) && !found(GPA, key) && views_owner(FRAME) == key);
	/* The same page without the C-bit: the raw view, and the private one is gone. */
	CHECK(fault(GPA, 6, key) && found(GPA, key) && !found(GPA | C_BIT, key) &&
	      !views_owner(FRAME));
	/* Code and page tables are private whatever the C-bit says. */
	CHECK(fault(GPA, 0x14, key) && views_owner(FRAME) == key);
	views_show(FRAME, 0);
	CHECK(fault(GPA, 1ul << 33 | 4, key) && views_owner(FRAME) == key);
	/* L1 takes the frame: L2 has it no more. */
	CHECK(views_take_back(FRAME) && !found(GPA, key));
	/* Without paging, all of it. */
	b.cr0 = X86_CR0_PE;
	CHECK(fault(GPA, 6, key) && views_owner(FRAME) == key && found(GPA, key));
	views_show(FRAME, 0);
}

/* The sentence that the machine was stopped with. */
static bool stops(const char *about)
{
	return !strncmp(sentence, about, strlen(about));
}

static void the_monitors_memory(void)
{
	struct space space = {.state = &b, .ncr3 = NPT};
	struct miss miss;

	make_tables();
	CHECK(!memory_is_l1s(MONITOR, 1) && !memory_is_l1s(MONITOR - 1, 2) &&
	      memory_is_l1s(MONITOR - 1, 1));
	CHECK(!memory_is_l1s(~0ul - 4, 8) && !memory_is_l1s(BASE + BYTES, 1));
	*last = MONITOR | RIGHTS;
	CHECK(!space_physical(&space, GPA, false, false, &miss) && miss.kind == MISS_NESTED);
	sentence[0] = '\0';
	if (!setjmp(stopped)) {
		fault(GPA, 6, 0);
		DEMAND(!"L2 was given the monitor's memory");
	}
	CHECK(stops("L1 gives L2 the memory"));
	*last = FRAME | RIGHTS;
	npt[1024] = MONITOR | TABLE;
	CHECK(!space_physical(&space, GPA, false, false, &miss));
	sentence[0] = '\0';
	if (!setjmp(stopped)) {
		fault(GPA, 6, 0);
		DEMAND(!"L1's tables went through the monitor's memory");
	}
	CHECK(stops("L1's nested tables go through"));
}

int main(void)
{
	DEMAND(mmap((void *)BASE, BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)BASE);
	views_init();
	shadow_init();
	two_views();
	plain_guest();
	sev_guest();
	the_monitors_memory();
	printf("%u checks, 0 wrong\n", checks);
	return 0;
}
