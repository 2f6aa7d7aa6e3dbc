/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Secure Processor's part in SEV-SNP (lab/host/psp/snp.c) against the SNP ABI: numbers, orders, states of pages and
 * errors are written down here from AMD's text a second time. 16 MiB of "physical" memory lie at a fixed address of this
 * process; their RMP lies behind them.
 */
#include "psp/firmware.h"

#include "base/log.h"
#include "base/options.h"
#include "demand.h"
#include "memory/rmp.h"
#include "rmp_ground.h"

#include "string.h"

#include <sys/mman.h>

#define BASE 0x10000000ul
#define BYTES 0x1000000ul
#define FRAMES ((BASE + BYTES) / PAGE)

struct features features = {.sev = true, .es = true, .views = true, .snp = true};
bool tracing;

static uint8_t *const buffer = (uint8_t *)BASE;
static unsigned checks;
static uint64_t encrypted_at;
static unsigned encrypted_key;

void say(const char *format, ...)
{
	(void)format;
}

void *firmware_memory(uint64_t at, uint64_t bytes)
{
	return at >= BASE && at + bytes <= BASE + BYTES ? (void *)at : NULL;
}

void views_new_key(unsigned asid)
{
	(void)asid;
}

unsigned views_key(unsigned asid)
{
	return 100 + asid;
}

void views_show(uint64_t at, unsigned key)
{
	(void)at;
	(void)key;
}

void views_encrypt(uint64_t at, uint64_t bytes, unsigned key)
{
	DEMAND(bytes == PAGE || bytes == 512 * PAGE);
	encrypted_at = at;
	encrypted_key = key;
}

/* -- Commands and pages. --------------------------------------------------------------------------- */

#define CONTEXT (BASE + 0x10000)
#define OTHER_CONTEXT (BASE + 0x11000)
#define ANSWER (BASE + 0x12000)
#define SUBJECT (BASE + 0x20000)
#define LARGE (BASE + 0x200000)
#define GPA 0x7000ul

static unsigned give(unsigned id)
{
	checks++;
	return firmware_command(id, (uint64_t)buffer);
}

static void put(unsigned offset, uint64_t value, unsigned bytes)
{
	memcpy(buffer + offset, &value, bytes);
}

static unsigned about(unsigned id, uint64_t address)
{
	memset(buffer, 0, 64);
	put(0, address, 8);
	return give(id);
}

static unsigned activate(uint64_t context, unsigned asid)
{
	memset(buffer, 0, 64);
	put(0, context, 8);
	put(8, asid, 4);
	return give(0x091);
}

static unsigned start(uint64_t context, uint64_t policy)
{
	memset(buffer, 0, 64);
	put(0, context, 8);
	put(8, policy, 8);
	return give(0x0a0);
}

static unsigned update(uint64_t at, unsigned type, bool large)
{
	memset(buffer, 0, 64);
	put(0, CONTEXT, 8);
	put(8, large | type << 1, 4);
	put(16, at, 8);
	return give(0x0a1);
}

/* RMPUPDATE. */
static void page(uint64_t at, bool assigned, unsigned asid, uint64_t gpa, bool immutable,
		 bool large)
{
	const struct rmp_state state = {.assigned = assigned,
					.asid = asid,
					.gpa = gpa,
					.immutable = immutable,
					.large = large};

	DEMAND(rmp_update(at, &state) == 0);
	checks++;
}

static void firmware_page(uint64_t at)
{
	page(at, true, 0, 0, true, false);
}

/* -- Tests. ---------------------------------------------------------------------------------------- */

static void before(void)
{
	/* What needs SNP_INIT; and numbers that are none. */
	static const uint16_t refused[] = {0x084, 0x090, 0x091, 0x092, 0x093, 0x094,
					   0x0a0, 0x0a1, 0x0a2, 0x0c7, 0x0c9};

	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		DEMAND(about(refused[i], CONTEXT) == 0x01);
	DEMAND(about(0x0ff, 0) == 0x11 && about(0x080, 0) == 0x11);
	/* The status says that there is nothing yet. */
	DEMAND(about(0x083, ANSWER) == 0 && ((uint8_t *)ANSWER)[2] == 0);
	/* SYSCFG.SNPEn and VM_HSAVE_PA. */
	DEMAND(give(0x081) == 0x03);
	rmp_enable();
	cpu0.hsave = 0x1000;
	DEMAND(give(0x081) == 0x03);
	cpu0.hsave = 0;
}

static void initialization(void)
{
	/* SNP is before SEV. */
	memset(buffer, 0, 64);
	DEMAND(give(0x001) == 0);
	DEMAND(give(0x081) == 0x01);
	DEMAND(give(0x002) == 0);
	memset(buffer, 0, 64);
	DEMAND(give(0x085) == 0x20); /* neither an RMP nor the wish for one */
	put(0, 3, 4);
	put(8, BASE + 0x1008, 8);
	DEMAND(give(0x085) == 0x09); /* a list that is not aligned */
	put(8, BASE + 0x1000, 8);
	memset((void *)(BASE + 0x1000), 0, PAGE);
	*(uint32_t *)(BASE + 0x1000) = 1;
	*(uint64_t *)(BASE + 0x1008) = BASE + 0x800000;
	*(uint32_t *)(BASE + 0x1010) = 2;
	DEMAND(give(0x085) == 0);
	DEMAND(rmp_entry(BASE + 0x801000) == RMP_IMMUTABLE && !rmp_entry(BASE + 0x802000));
	DEMAND(give(0x085) == 0x01);
	DEMAND(about(0x083, ANSWER) == 0x1a); /* not the firmware's page */
	firmware_page(ANSWER);
	DEMAND(about(0x083, ANSWER) == 0);
	DEMAND(((uint8_t *)ANSWER)[0] == 1 && ((uint8_t *)ANSWER)[1] == 55 &&
	       ((uint8_t *)ANSWER)[2] == 1 && ((uint8_t *)ANSWER)[3] == 1);
	/* An answer of SEV's commands goes to such a page as well. */
	DEMAND(give(0x004) == 0x1a);
}

static void context(void)
{
	DEMAND(about(0x093, CONTEXT) == 0x1a); /* a page of the hypervisor's */
	DEMAND(about(0x093, CONTEXT + 8) == 0x09 && about(0x093, 0x1000) == 0x09);
	firmware_page(CONTEXT);
	firmware_page(OTHER_CONTEXT);
	DEMAND(start(CONTEXT, 0x30000) == 0x10); /* no context yet */
	DEMAND(about(0x093, CONTEXT) == 0 && about(0x093, OTHER_CONTEXT) == 0);
	DEMAND(about(0x093, CONTEXT) == 0x1a);
	DEMAND(about(0x0c7, CONTEXT) == 0x1a); /* reclaimed only when it is none any more */
	DEMAND(activate(CONTEXT, 1) == 0x02);  /* not started */
	DEMAND(update(SUBJECT, 1, false) == 0x02);
}

static void launch(void)
{
	DEMAND(start(CONTEXT, 0x10000) == 0x16); /* bit 17 must be set */
	DEMAND(start(CONTEXT, 0x30200) == 0x07); /* version 2 of the ABI */
	DEMAND(start(CONTEXT, 0x30000) == 0 && start(CONTEXT, 0x30000) == 0x02);
	DEMAND(update(SUBJECT, 1, false) == 0x08); /* inactive */
	DEMAND(activate(CONTEXT, 0) == 0x0d && activate(CONTEXT, 32) == 0x0d);
	DEMAND(activate(CONTEXT, 5) == 0 && activate(CONTEXT, 6) == 0x12);
	DEMAND(start(OTHER_CONTEXT, 0x30000) == 0 && activate(OTHER_CONTEXT, 5) == 0x0c);

	DEMAND(update(SUBJECT, 1, false) == 0x1a); /* the hypervisor's */
	page(SUBJECT, true, 5, GPA, false, false);
	DEMAND(update(SUBJECT, 1, false) == 0x1a); /* the guest's already */
	page(SUBJECT, true, 6, GPA, true, false);
	DEMAND(update(SUBJECT, 1, false) == 0x1c); /* another guest's */
	DEMAND(about(0x0c7, SUBJECT | 1) == 0x19);
	DEMAND(about(0x0c7, SUBJECT) == 0 && about(0x0c7, SUBJECT) == 0x1a);
	page(SUBJECT, true, 5, GPA, true, false);
	DEMAND(update(SUBJECT, 0, false) == 0x16 && update(SUBJECT, 7, false) == 0x16);
	DEMAND(update(SUBJECT, 5, true) == 0x16);
	DEMAND(update(SUBJECT + 8, 1, false) == 0x09);
	DEMAND(update(SUBJECT, 1, false) == 0);
	DEMAND(encrypted_at == SUBJECT && encrypted_key == 105);
	DEMAND(rmp_check(SUBJECT, GPA, 5, false) == RMP_FINE && !rmp_is_vmsa(SUBJECT, 5));
	DEMAND(update(SUBJECT, 1, false) == 0x1a);
	page(SUBJECT + PAGE, true, 5, 0xfffffffff000, true, false);
	DEMAND(update(SUBJECT + PAGE, 2, false) == 0 && rmp_is_vmsa(SUBJECT + PAGE, 5));
	page(LARGE, true, 5, 0x400000, true, true);
	DEMAND(update(LARGE, 3, false) == 0x19);
	memset((void *)LARGE, 1, 2 * PAGE);
	DEMAND(update(LARGE, 3, true) == 0 && !((uint8_t *)LARGE)[PAGE]);
	DEMAND(rmp_check(LARGE + PAGE, 0x401000, 5, true) == RMP_FINE);

	DEMAND(about(0x094, CONTEXT) == 0x02); /* no requests before it runs */
	DEMAND(about(0x0a2, CONTEXT) == 0 && about(0x0a2, CONTEXT) == 0x02);
	/* GUEST_STATUS: policy, ASID, state. */
	memset(buffer, 0, 64);
	put(0, CONTEXT, 8);
	put(8, ANSWER, 8);
	DEMAND(give(0x092) == 0);
	DEMAND(*(uint64_t *)ANSWER == 0x30000 && *(uint32_t *)(ANSWER + 8) == 5 &&
	       ((uint8_t *)ANSWER)[12] == 2);
	/* No message is authentic. */
	put(8, BASE + 0x3000, 8);
	put(16, BASE + 0x4000, 8);
	DEMAND(give(0x094) == 0x1a);
	put(16, ANSWER, 8);
	DEMAND(give(0x094) == 0x0b);
}

static void the_end(void)
{
	DEMAND(about(0x090, CONTEXT) == 0 && about(0x090, CONTEXT) == 0x10);
	DEMAND(about(0x0c7, CONTEXT) == 0); /* the firmware's page, and L1's again */
	DEMAND(activate(OTHER_CONTEXT, 5) == 0x0f);
	DEMAND(give(0x084) == 0 && activate(OTHER_CONTEXT, 5) == 0);
	DEMAND(about(0x086, 0) == 0 && about(0x093, CONTEXT) == 0x01);
	features.snp = false;
	DEMAND(give(0x081) == 0x11);
}

int main(void)
{
	DEMAND(mmap((void *)BASE, 2 * BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)BASE);
	rmp_init(BASE + BYTES, FRAMES);
	before();
	initialization();
	context();
	launch();
	the_end();
	printf("%u commands, 0 wrong\n", checks);
	return 0;
}
