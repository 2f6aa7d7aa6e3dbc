/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-SNP: whose a page is, and what the guest is told when that is not as it believes.
 *
 * The rule. Under SEV-SNP each page of memory belongs to the guest or to the hypervisor, and one that is the
 * guest's is usable once the guest has validated it (PVALIDATE). A private access to any other page of
 * its own is #VC with error code 0x404 and the address in CR2, a fault like #PF. The hypervisor can take a
 * page away and give it back, but only unvalidated: so a guest that counts its pages sees every page that
 * was exchanged under it, by that #VC or by PVALIDATE's carry flag. CPUID is not the hypervisor's word any
 * more but that of a page that the launch has filled. A GHCB must be registered before it is used.
 *
 * A buggy hypervisor answers a page state change that it did not make, makes it for the first page of a
 * list alone, reads beyond the list's end, or uses a GHCB that nobody has registered. What SEV-SNP was
 * made against is a hypervisor that does such things on purpose: under plain SEV it could exchange pages
 * and the guest would not see it.
 *
 * Most cases concern what the CPU does. They are here because nothing that follows can be believed
 * without it; our model (x86/model/snp.c) is the only machine without AMD's hardware that has it.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "trapline.h"

#include "ask_model.h"
#include "x86/sev/psc.h"
#include "x86/sev/snp.h"
#include "x86/sev/snp_cpuid.h"

#define RULE_ACCESS \
	"APM 2, RMP and VMPL Access Checks: a page that is not validated is #VC(0x404), its address in CR2"
#define RULE_PVALIDATE \
	"APM 3, PVALIDATE: EAX says whether it worked, CF that the page was in that state already"
#define RULE_SIZE \
	"APM 2, Large Page Management: 2 MiB asked for, 4 KiB in the RMP: FAIL_SIZEMISMATCH"
#define RULE_RMPADJUST "APM 3, RMPADJUST: only VMPLs above the own one are adjusted"
#define RULE_PRIVILEGE "APM 3, PVALIDATE: #GP(0) outside of CPL 0"
#define RULE_UD "APM 3, PVALIDATE and RMPADJUST: #UD where SEV-SNP is not active"
#define RULE_PSC \
	"GHCB 2.3.1, SNP Page State Change: the page changes hands, and is not validated then"
#define RULE_PSC_PAGE \
	"GHCB 4.1.6, SNP Page State Change: every entry of the list, or the reason why not"
#define RULE_REGISTER \
	"GHCB 2.3.1, Register GHCB GPA; GHCB 4.1, SW_EXITINFO2 of 1: only a registered page is used"
#define RULE_CPUID "SEV-SNP firmware ABI, CPUID Page: a leaf that is in it is what the machine has"
#define RULE_REQUEST "GHCB 4.1.7, SNP Guest Request: two pages, page-aligned and shared"
#define RULE_SECRETS "GHCB 2.7, Secrets Page: version, and the keys of this guest"

SNIPPET(load, "mark insn; mov (%ebx), %ecx; mark after; nop");
SNIPPET(store, "mark insn; mov %ecx, (%ebx); mark after; nop");
SNIPPET(nop_insn, "mark insn; nop; mark after; nop");
SNIPPET(int3_insn, "mark insn; int3; mark after; nop");
SNIPPET(pvalidate_insn, "mark insn; .byte 0xf2, 0x0f, 0x01, 0xff; mark after; nop");
SNIPPET(rmpadjust_insn, "mark insn; .byte 0xf3, 0x0f, 0x01, 0xfe; mark after; nop");

#define PAGES 3
#define OFFSET 0x120
#define STAMP 0x5aa51221u

/* Validated between cases, as all memory. */
static uint8_t pages[PAGES][PAGE_BYTES] __attribute__((aligned(4096)));
#define SUBJECT ((uint64_t)pages[0])

/* In order, whatever the case before has made of them. */
static void need_pages(void)
{
	need_snp();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
	for (unsigned i = 0; i < PAGES; i++) {
		snp_page_state((uint64_t)pages[i], GHCB_PAGE_PRIVATE);
		pvalidate((uint64_t)pages[i], SNP_SIZE_4K, true);
	}
	notation_name("page", SUBJECT, PAGE_BYTES);
}

/* -- Accesses. ------------------------------------------------------------------------------------------- */

/* The page is not validated while the snippet runs. */
static void run_unvalidated(const struct snippet *snippet)
{
	setup.regs.rbx = SUBJECT + OFFSET;
	setup.regs.rcx = STAMP;
	check(snp_validate(SUBJECT, false), "PVALIDATE does not take the page back");
	run_snippet(snippet);
	/* Whoever was there in between has validated it. */
	pvalidate(SUBJECT, SNP_SIZE_4K, true);
}

#define BUGS_ACCESS CATCHES("model-snp-all-validated model-snp-error-code model-snp-no-cr2")

CASE(unvalidated_read, ALL_NATIVE, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	expect("#VC(0x404,cr2=page+%#x)@insn", OFFSET);
	run_unvalidated(&load);
}

CASE(unvalidated_write, ALL_NATIVE, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	expect("#VC(0x404,cr2=page+%#x)@insn", OFFSET);
	run_unvalidated(&store);
}

/* The address in CR2 is the one that the instruction used. */
CASE(unvalidated_alias, CPL0, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	window_map(0, SUBJECT | PTE_PAGE);
	notation_name("alias", WINDOW, PAGE_BYTES);
	expect("#VC(0x404,cr2=alias+0x8)@insn");
	check(snp_validate(SUBJECT, false), "PVALIDATE does not take the page back");
	setup.regs.rbx = WINDOW + 8;
	run(load);
	pvalidate(SUBJECT, SNP_SIZE_4K, true);
}

CASE(unvalidated_fetch, ALL_NATIVE, RULE_ACCESS, BUGS_ACCESS)
{
	const struct code *code = snippet_code(&nop_insn);

	need_pages();
	memcpy(pages[0], code->start, code->end - code->start);
	setup.address = pages[0];
	setup.placed = true;
	expect("#VC(0x404,cr2=insn)@insn");
	run_unvalidated(&nop_insn);
}

static enum action validate_it(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != VECTOR_VC)
		return BY_RULE;
	check(snp_validate(SUBJECT, true), "PVALIDATE in the handler");
	return RESUME;
}

/* A fault: the instruction is executed once the page is there. */
CASE(validated_late, ALL_NATIVE, RULE_ACCESS, BUGS_ACCESS)
{
	need_pages();
	setup.hook = validate_it;
	memset(pages[0], 0, PAGE_BYTES);
	expect("#VC(0x404,cr2=page+%#x)@insn", OFFSET);
	run_unvalidated(&store);
	check(*(volatile uint32_t *)(pages[0] + OFFSET) == STAMP, "the store was not repeated");
}

/* The frame of the #BP has no place: #VC at the INT3, which is executed again. */
CASE(int3_stack, ALL_NATIVE,
     "APM 2, #VC Exception: a fault in the delivery of a benign exception is delivered in its place",
     CATCHES("model-snp-all-validated model-snp-event-lost"))
{
	need_pages();
	setup.hook = validate_it;
	use_ist(3, SUBJECT + PAGE_BYTES);
	expect("#VC(0x404,cr2=page+0xff8)@insn, #BP@after");
	run_unvalidated(&int3_insn);
}

/* -- PVALIDATE and RMPADJUST. --------------------------------------------------------------------------- */

CASE(pvalidate_twice, CPL0, RULE_PVALIDATE, CATCHES("model-snp-no-cf"))
{
	static const struct {
		bool valid, unchanged;
	} steps[] = {{true, true}, {false, false}, {false, true}, {true, false}, {true, true}};

	need_pages();
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct pvalidate_result r = pvalidate(SUBJECT, SNP_SIZE_4K, steps[i].valid);

		check(r.code == SNP_DONE && r.unchanged == steps[i].unchanged,
		      "step %u, to %u: EAX %u, CF %u", i, steps[i].valid, r.code, r.unchanged);
	}
}

/* All that a launch has validated is of 4 KiB. */
CASE(pvalidate_large, CPL0, RULE_SIZE, CATCHES("model-snp-size-ignored"))
{
	struct pvalidate_result r;

	need_pages();
	r = pvalidate(SNP_RAM_END - BLOCK_BYTES, SNP_SIZE_2M, false);
	check(r.code == SNP_FAIL_SIZE, "EAX %u, not %u", r.code, SNP_FAIL_SIZE);
	r = pvalidate(SNP_RAM_END - BLOCK_BYTES, SNP_SIZE_4K, true);
	check(r.code == SNP_DONE && r.unchanged, "its first page was changed: EAX %u, CF %u",
	      r.code, r.unchanged);
}

CASE(pvalidate_unaligned, CPL0,
     "APM 3, PVALIDATE: FAIL_INPUT for 2 MiB that are not aligned to 2 MiB",
     CATCHES("model-snp-size-ignored"))
{
	struct pvalidate_result r;

	need_pages();
	r = pvalidate(SNP_RAM_END - BLOCK_BYTES + PAGE_BYTES, SNP_SIZE_2M, false);
	check(r.code == SNP_FAIL_INPUT, "EAX %u, not %u", r.code, SNP_FAIL_INPUT);
}

CASE(pvalidate_user, USER, RULE_PRIVILEGE, CATCHES("model-snp-pvalidate-user"))
{
	need_pages();
	expect("#GP(0x0)@insn");
	setup.regs = (struct regs){.rax = SUBJECT, .rdx = 1};
	run(pvalidate_insn);
}

CASE(rmpadjust_own, CPL0, RULE_RMPADJUST, CATCHES("model-snp-own-vmpl"))
{
	uint32_t code;

	need_pages();
	code = rmpadjust(SUBJECT, SNP_SIZE_4K, 0);
	check(code == SNP_FAIL_PERMISSION, "EAX %u, not %u", code, SNP_FAIL_PERMISSION);
}

/* The same instructions on every other machine. */
CASE(ud, ALL_NATIVE, RULE_UD, CATCHES("model-fault-as-trap"))
{
	need(!sev_is_snp(), "SEV-SNP is active");
	setup.regs.rax = SUBJECT;
	expect("#UD@insn; #UD@insn");
	run(pvalidate_insn);
	run(rmpadjust_insn);
}

/* -- Page state changes. ------------------------------------------------------------------------------------ */

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

/* -- Another GHCB. --------------------------------------------------------------------------------------------- */

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

/* -- What the launch has filled. -------------------------------------------------------------------------- */

/* Leaves that are the same on every CPU, at any time. */
CASE(cpuid_page, CPL0, RULE_CPUID, CATCHES("model-snp-cpuid-page"))
{
	static const uint32_t leaves[] = {0,	      0x80000000, 0x80000002,
					  0x80000003, 0x80000004, 0x8000001f};

	need_pages();
	for (unsigned i = 0; i < 4 * sizeof(leaves) / sizeof(leaves[0]); i++) {
		struct cpuid r = cpuid(leaves[i / 4], 0);
		uint32_t here[] = {r.a, r.b, r.c, r.d};
		struct ghcb_msr m, ask = {.code = GHCB_MSR_CPUID_REQUEST,
					  .function = leaves[i / 4],
					  .reg = i % 4};
		uint64_t request = ghcb_msr_encode(&ask);

		check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK,
		      "leaf %#x: no response", leaves[i / 4]);
		check(m.value == here[i % 4],
		      "leaf %#x, register %u: %#x in the page, %#x by the hypervisor",
		      leaves[i / 4], i % 4, here[i % 4], m.value);
	}
}

/* The answer to the next VMGEXIT is spoilt, and CPUID does not notice: there was none. */
CASE(cpuid_alone, CPL0, RULE_CPUID, CATCHES("model-snp-cpuid-page"))
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_WBINVD};
	struct ghcb_msr m, ask = {.code = GHCB_MSR_CPUID_REQUEST,
				  .function = 0x80000002,
				  .reg = GHCB_CPUID_EBX};
	uint64_t request = ghcb_msr_encode(&ask);
	struct cpuid r;

	need_pages();
	need(ask_model(MODEL_CALL_BEHAVE, 0, 0, 0),
	     "needs a hypervisor that lies on demand: our model");
	ask_model(MODEL_CALL_SPOIL, MODEL_SPOIL_RESULT, 1, 3);
	r = cpuid(0x80000002, 0);
	ghcb_call(&call);
	check(call.outcome.verdict == GHCB_BAD_RESULT, "CPUID asked the hypervisor");
	ghcb_msr_check(request, sev_msr_call(request), &m);
	check(r.b == m.value, "EBX is %#x, %#x by the hypervisor", r.b, m.value);
}

CASE(secrets, CPL0, RULE_SECRETS, CATCHES("model-snp-no-secrets"))
{
	const volatile uint8_t *page = (const volatile uint8_t *)SNP_SECRETS_PAGE;
	unsigned set = 0;

	need_pages();
	for (unsigned i = 0; i < SNP_SECRETS_KEY_BYTES; i++)
		set += page[SNP_SECRETS_KEYS + i] != 0;
	check(page[0] >= 2, "version %u", page[0]);
	check(set, "the key of VMPL 0 is 0");
}

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
