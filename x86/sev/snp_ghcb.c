/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-SNP: what only such a guest asks the hypervisor for. The pages themselves are in snp.c.
 *
 * The rule. A page changes hands on request, one by the MSR protocol or up to 253 by a list in the GHCB, and
 * belongs to whom the guest said afterwards, not validated; or the answer says which entry could not be
 * done. A GHCB must be registered before it is used, and may be exchanged for another. Messages for the
 * AMD-SP are two pages, aligned and shared.
 *
 * A buggy hypervisor answers a page state change that it did not make, makes it for the first page of a
 * list alone, reads beyond the list's end, or uses a GHCB that nobody has registered.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "snp_pages.h"

#include "x86/sev/psc.h"

#define RULE_PSC \
	"GHCB 2.3.1, SNP Page State Change: the page changes hands, and is not validated then"
#define RULE_PSC_PAGE \
	"GHCB 4.1.6, SNP Page State Change: every entry of the list, or the reason why not"
#define RULE_REGISTER \
	"GHCB 2.3.1, Register GHCB GPA; GHCB 4.1, SW_EXITINFO2 of 1: only a registered page is used"
#define RULE_REQUEST "GHCB 4.1.7, SNP Guest Request: two pages, page-aligned and shared"

SNIPPET(load, "mark insn; mov (%ebx), %ecx; mark after; nop");

/* -- Page state changes. ----------------------------------------------------------------------- */

/* What has come back from the hypervisor is not validated, whatever it was before. */
static void check_unvalidated(unsigned n)
{
	struct pvalidate_result r = pvalidate((uint64_t)pages[n], SNP_SIZE_4K, true);

	check(r.code == SNP_DONE && !r.unchanged, "page %u: EAX %u, CF %u", n, r.code, r.unchanged);
}

CASE(psc_msr, CPL0, RULE_PSC, CATCHES("model-snp-psc-keeps-validated"))
{
	need_pages();
	check(snp_page_state(SUBJECT, GHCB_PAGE_SHARED), "to shared");
	check(snp_page_state(SUBJECT, GHCB_PAGE_PRIVATE), "to private");
	expect("#VC(0x404,cr2=page)@insn");
	setup.regs.rbx = SUBJECT;
	run(load);
	check_unvalidated(0);
}

CASE(psc_msr_no_memory, CPL0, RULE_PSC, CATCHES("model-snp-psc-never-fails"))
{
	need_pages();
	check(!snp_page_state(0xfee00000, GHCB_PAGE_PRIVATE), "the local APIC became memory");
	check(!snp_page_state(0x7ffffffff000, GHCB_PAGE_PRIVATE), "nothing became memory");
	check(!snp_page_state(SUBJECT, 15), "there is no operation 15");
}

/* Sends a list; what the hypervisor has left in the header is in *header. */
static uint64_t send_list(const uint64_t *entries, unsigned count, struct psc_header *header)
{
	struct ghcb_call call = {.request.exit_code = GHCB_EVENT_PAGE_STATE_CHANGE};
	struct ghcb_use use;
	volatile struct psc_buffer *psc =
		(volatile struct psc_buffer *)ghcb_open(&use)->shared_buffer;
	bool sensible;

	psc->header.current = header->current;
	psc->header.end = header->end;
	psc->header.reserved = 0;
	for (unsigned i = 0; i < count; i++)
		psc->entry[i] = entries[i];
	ghcb_offer(&call, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	sensible = ghcb_exit(&call);
	*header = (struct psc_header){psc->header.current, psc->header.end, psc->header.reserved};
	ghcb_close(&use);
	check(sensible && call.outcome.verdict == GHCB_OK, "the answer: %s",
	      ghcb_verdict_name(call.outcome.verdict));
	return call.answer.value[GHCB_EXIT_INFO_2];
}

/* A hypervisor may stop in between, and must be asked again. */
static void change_all(enum psc_operation operation)
{
	struct psc_header before = {.end = PAGES - 1}, after;
	uint64_t entries[PAGES], info2;
	enum psc_verdict verdict;

	for (unsigned i = 0; i < PAGES; i++)
		entries[i] = psc_entry((uint64_t)pages[i] / PAGE_BYTES, operation, false);
	for (unsigned calls = 0; calls < 2 * PAGES; calls++) {
		after = before;
		info2 = send_list(entries, PAGES, &after);
		verdict = psc_check(&before, &after, info2);
		if (verdict != PSC_AGAIN)
			break;
		before = after;
	}
	check(verdict == PSC_DONE, "operation %u: verdict %u, SW_EXITINFO2 %#lx, at entry %u of %u",
	      operation, verdict, info2, after.current, PAGES);
}

CASE(psc_list, CPL0, RULE_PSC_PAGE,
     CATCHES("model-snp-psc-keeps-validated model-snp-psc-first-alone"))
{
	need_pages();
	change_all(PSC_SHARED);
	change_all(PSC_PRIVATE);
	for (unsigned i = 0; i < PAGES; i++)
		check_unvalidated(i);
}

CASE(psc_list_too_long, CPL0, RULE_PSC_PAGE, CATCHES("model-snp-psc-header-ignored"))
{
	struct psc_header header = {.current = PSC_MAX_ENTRIES, .end = PSC_MAX_ENTRIES};
	uint64_t info2;

	need_pages();
	info2 = send_list(NULL, 0, &header);
	check(info2 == (1ul << 32 | 1), "SW_EXITINFO2 is %#lx: the header is not refused", info2);
}

CASE(psc_list_bad_entry, CPL0, RULE_PSC_PAGE, CATCHES("model-snp-psc-entry-ignored"))
{
	uint64_t entry = psc_entry(SUBJECT / PAGE_BYTES | 1, PSC_SHARED, true), info2;
	struct psc_header header = {0};

	need_pages();
	info2 = send_list(&entry, 1, &header);
	check(info2 == (1ul << 32 | 2), "SW_EXITINFO2 is %#lx: 2 MiB at an odd page", info2);
	check(header.current == 0, "the entry is counted as done");
}

/* -- Another GHCB. ----------------------------------------------------------------------------- */

/* CPUID 0 by a request in that page; the result word. */
static uint32_t ask_by(volatile struct ghcb_page *page, struct ghcb_answer *answer)
{
	struct ghcb_use use;

	ghcb_open(&use);
	ghcb_clear(page);
	ghcb_set(page, GHCB_EXIT_CODE, SVM_EXIT_CPUID);
	ghcb_set(page, GHCB_EXIT_INFO_1, 0x1234);
	ghcb_set(page, GHCB_EXIT_INFO_2, 0);
	ghcb_set(page, GHCB_RAX, 0);
	ghcb_set(page, GHCB_RCX, 0);
	page->version = sev_ghcb_version();
	page->usage = GHCB_USAGE_STANDARD;
	wrmsr(MSR_GHCB, (uint64_t)page);
	vmgexit();
	ghcb_take_answer(page, answer);
	ghcb_close(&use);
	return answer->value[GHCB_EXIT_INFO_1];
}

CASE(ghcb_moved, CPL0, RULE_REGISTER, CATCHES("model-snp-register-once"))
{
	struct ghcb_answer answer;
	uint32_t result;

	need_pages();
	check(snp_share(SUBJECT), "the page cannot be shared");
	check(snp_register_ghcb(SUBJECT), "the page cannot be registered");
	result = ask_by((volatile struct ghcb_page *)SUBJECT, &answer);
	check(snp_register_ghcb(ghcb_gpa()), "the old page cannot be registered again");
	check(result == GHCB_RESULT_DONE && answer.value[GHCB_RAX],
	      "result %u, SW_EXITINFO2 %lu, RAX %#lx", result, answer.value[GHCB_EXIT_INFO_2],
	      answer.value[GHCB_RAX]);
	check(snp_claim(SUBJECT), "the page cannot be taken back");
}

CASE(ghcb_unregistered, CPL0, RULE_REGISTER,
     CATCHES("model-snp-unregistered kvm-snp-unregistered-ghcb"))
{
	struct ghcb_answer answer;
	uint32_t result;

	need_pages();
	check(snp_share(SUBJECT), "the page cannot be shared");
	result = ask_by((volatile struct ghcb_page *)SUBJECT, &answer);
	check(result == GHCB_RESULT_MALFORMED &&
		      answer.value[GHCB_EXIT_INFO_2] == GHCB_REASON_NOT_REGISTERED,
	      "result %#x, SW_EXITINFO2 %lu, not 2 and 1", result, answer.value[GHCB_EXIT_INFO_2]);
	check(snp_claim(SUBJECT), "the page cannot be taken back");
}

CASE(preferred_ghcb, CPL0, "GHCB 2.3.1, Preferred GHCB GPA: an address, or that there is none",
     CATCHES("model-snp-preferred"))
{
	struct ghcb_msr ask = {.code = GHCB_MSR_PREFERRED_GPA_REQUEST}, answer;
	uint64_t request = ghcb_msr_encode(&ask);
	enum ghcb_msr_verdict verdict;

	need_pages();
	verdict = ghcb_msr_check(request, sev_msr_call(request), &answer);
	check(verdict == GHCB_MSR_OK, "the response: %s", ghcb_msr_verdict_name(verdict));
}

/* -- Messages for the AMD-SP. ------------------------------------------------------------------ */

/* Nobody may serve these: two pages are needed, and memory behind them. */
CASE(guest_request, CPL0, RULE_REQUEST, CATCHES("model-snp-request-unchecked"))
{
	static const struct {
		const char *what;
		uint64_t request, response;
	} rows[] = {
		{"one page for both", 0x2000, 0x2000},
		{"in the middle of a page", 0x2008, 0x3000},
		{"a response in the middle of a page", 0x2000, 0x3ff8},
		{"where no memory is", 0x7ffffffff000, 0x3000},
	};

	need_pages();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ghcb_call call = {.request = {.exit_code = GHCB_EVENT_GUEST_REQUEST,
						     .exit_info_1 = rows[i].request},
					 .exit_info_2 = rows[i].response};

		ghcb_call(&call);
		check(call.outcome.verdict == GHCB_MALFORMED ||
			      (call.outcome.verdict == GHCB_OK &&
			       call.answer.value[GHCB_EXIT_INFO_2]),
		      "%s: %s, SW_EXITINFO2 %#lx", rows[i].what,
		      ghcb_verdict_name(call.outcome.verdict), call.answer.value[GHCB_EXIT_INFO_2]);
	}
}
