/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests about the GHCB page share (ghcb.c, ghcb_malformed.c): a request field by field, and its answer. */
#ifndef X86_GHCB_REQUEST_H
#define X86_GHCB_REQUEST_H

#include "trapline.h"

#include "x86/sev/ghcb_msr.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void need_page(void)
{
	need_es();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
}

static struct ghcb_answer got;

struct request {
	uint64_t code, info1, info2, rax, rcx, scratch;
	uint32_t without; /* mask of GHCB_BIT(): not marked valid */
	uint32_t usage;
	bool other_version; /* than the one that was agreed upon */
	uint16_t version;
};

/* SW_EXITINFO1 of a request that has none: no result word. */
#define UNTOUCHED 0x1234

static inline void send(const struct request *r)
{
	struct ghcb_use use;
	volatile struct ghcb_page *page = ghcb_open(&use);

	ghcb_clear(page);
	ghcb_set(page, GHCB_EXIT_CODE, r->code);
	ghcb_set(page, GHCB_EXIT_INFO_1, r->info1);
	ghcb_set(page, GHCB_EXIT_INFO_2, r->info2);
	ghcb_set(page, GHCB_RAX, r->rax);
	ghcb_set(page, GHCB_RBX, 0);
	ghcb_set(page, GHCB_RCX, r->rcx);
	ghcb_set(page, GHCB_RDX, 0);
	ghcb_set(page, GHCB_CPL, 0);
	ghcb_set(page, GHCB_XCR0, 1);
	ghcb_set(page, GHCB_SCRATCH, r->scratch ? r->scratch : ghcb_gpa() + GHCB_SHARED_BUFFER);
	for (unsigned field = 0; field < GHCB_FIELDS; field++)
		if (r->without & GHCB_BIT(field))
			ghcb_set_valid(page, field, false);
	page->version = r->other_version ? r->version : sev_ghcb_version();
	page->usage = r->usage;
	wrmsr(MSR_GHCB, ghcb_gpa());
	vmgexit();
	ghcb_take_answer(page, &got);
	page->usage = 0;
	ghcb_close(&use);
}

#define RESULT ((uint32_t)got.value[GHCB_EXIT_INFO_1])
#define REASON (got.value[GHCB_EXIT_INFO_2])

static const struct request good = {.code = SVM_EXIT_CPUID, .rax = 0x80000000};

static inline void check_alive(void)
{
	send(&good);
	check(RESULT == GHCB_RESULT_DONE && got.value[GHCB_RAX] >= 0x8000001f,
	      "the next call, CPUID, is answered with result %u, RAX %#lx", RESULT,
	      got.value[GHCB_RAX]);
}

static inline enum ghcb_verdict verdict_of(const struct request *r)
{
	struct ghcb_request asked = {r->code, r->info1, r->rax};
	struct ghcb_outcome outcome;

	ghcb_judge(&got, &asked, &outcome);
	return outcome.verdict;
}

static inline void check_refused(const char *what, const struct request *r, unsigned reason)
{
	send(r);
	check(RESULT == GHCB_RESULT_MALFORMED && REASON == reason,
	      "%s: result %u, reason %lu, not 2 and %u", what, RESULT, REASON, reason);
}

/* Requests that every hypervisor must know. */
static const struct request events[] = {
	{.code = SVM_EXIT_CPUID},
	{.code = SVM_EXIT_CPUID, .rax = 0xd},
	{.code = SVM_EXIT_MSR, .rcx = MSR_APIC_BASE},
	{.code = SVM_EXIT_MSR, .info1 = 1, .rcx = 0x175},
	{.code = SVM_EXIT_IOIO, .info1 = 0x00800210},
	{.code = SVM_EXIT_IOIO, .info1 = 0x00800e1c, .info2 = 1},
	{.code = SVM_EXIT_VMMCALL},
	{.code = SVM_EXIT_RDPMC},
	{.code = SVM_EXIT_WRITE_DR7, .rax = DR7_CLEAR},
	{.code = SVM_EXIT_READ_DR7},
	{.code = SVM_EXIT_INVD},
	{.code = SVM_EXIT_WBINVD},
	{.code = SVM_EXIT_MONITOR},
	{.code = SVM_EXIT_MWAIT},
	{.code = GHCB_EVENT_MMIO_READ, .info1 = 0xfee00030, .info2 = 4},
	{.code = GHCB_EVENT_MMIO_WRITE, .info1 = 0xfee00080, .info2 = 4},
};

#endif
