/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's side of the GHCB protocol, asked directly.
 *
 * The rule. A guest under SEV-ES writes what it wants to tell into a page that it shares with the
 * hypervisor, marks each field that it has written, and executes VMGEXIT. The hypervisor must use
 * nothing else, must answer a request that is malformed with result 2 and the reason, one that faults
 * with result 1 and #GP or #UD, and any other with result 0 and all outputs marked. It must stay alive
 * whatever the guest writes. Malformed requests are in ghcb_malformed.c, what the MSR carries before there is a
 * page in ghcb_msr.c.
 *
 * The guest trusts none of it: the last cases have a hypervisor (our model) that answers senselessly, and
 * each answer must be recognised.
 *
 * The bug that taught it. QEMU with a legacy VM type speaks version 1, and a firmware that insists on 2
 * does not start.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "ghcb_request.h"

#include "ask_model.h"

#define RULE_ANSWER "GHCB 4.1, SW_EXITINFO1: 0, and the outputs marked valid"
#define RULE_SECRET "GHCB 4, SEV-ES Guest State: the hypervisor knows only what the guest offers"
#define RULE_HOSTILE "GHCB 4.1: an answer that is not allowed is not used"
#define RULE_TABLE "GHCB 4.3.1, AP Jump Table: get returns what set has given"
#define RULE_FEATURES "GHCB 4.1, Hypervisor Feature Support"
#define RULE_VIEWS \
	"APM 2, Secure Encrypted Virtualization: shared and private memory are not the same"

/* -- What a right request is answered. --------------------------------------------------------- */

CASE(cpuid, CPL0, RULE_ANSWER, CATCHES("model-ghcb-output-not-valid"))
{
	uint32_t outputs =
		GHCB_BIT(GHCB_RAX) | GHCB_BIT(GHCB_RBX) | GHCB_BIT(GHCB_RCX) | GHCB_BIT(GHCB_RDX);

	need_page();
	send(&good);
	check(RESULT == GHCB_RESULT_DONE, "result %u", RESULT);
	check((got.valid & outputs) == outputs, "valid fields are %#x, without some of %#x",
	      got.valid, outputs);
	check(got.value[GHCB_RAX] >= 0x8000001f && !(got.value[GHCB_RAX] >> 32), "RAX is %#lx",
	      got.value[GHCB_RAX]);
}

CASE(msr_read, CPL0, RULE_ANSWER, CATCHES("model-ghcb-msr-halves"))
{
	struct request r = {.code = SVM_EXIT_MSR, .rcx = MSR_APIC_BASE};

	need_page();
	send(&r);
	check(RESULT == GHCB_RESULT_DONE, "result %u", RESULT);
	check(got.value[GHCB_RAX] >> 12 == 0xfee00 && got.value[GHCB_RDX] == 0,
	      "RAX is %#lx, RDX %#lx", got.value[GHCB_RAX], got.value[GHCB_RDX]);
}

CASE(msr_gp, CPL0, "GHCB 4.1, SW_EXITINFO1 of 1: #GP as an event to inject",
     CATCHES("model-ghcb-gp-lost model-ghcb-wrong-result"))
{
	struct request r = {.code = SVM_EXIT_MSR, .rcx = 0xc0011fff};

	need_page();
	send(&r);
	check(RESULT == GHCB_RESULT_EXCEPTION, "result %u", RESULT);
	check((REASON & 0x800007ff) == 0x8000030d, "the event is %#lx, not #GP", REASON);
}

CASE(features, CPL0, RULE_FEATURES, CATCHES("model-ghcb-no-features"))
{
	struct request r = {.code = GHCB_EVENT_HV_FEATURES};
	struct ghcb_msr ask = {.code = GHCB_MSR_FEATURES_REQUEST}, m;
	uint64_t request = ghcb_msr_encode(&ask);

	need_page();
	need_of_machine(sev_ghcb_version() >= 2, "version 2 of the GHCB protocol");
	send(&r);
	check(RESULT == GHCB_RESULT_DONE, "result %u", RESULT);
	check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK,
	      "no response by the MSR");
	check(m.features == REASON, "%#lx by the MSR, %#lx by the page", m.features, REASON);
}

CASE(jump_table, CPL0, RULE_TABLE, CATCHES("model-ghcb-jump-table-lost"))
{
	struct request set = {.code = GHCB_EVENT_AP_JUMP_TABLE, .info2 = 0x7000};
	struct request get = {.code = GHCB_EVENT_AP_JUMP_TABLE, .info1 = 1};
	struct request none = {.code = GHCB_EVENT_AP_JUMP_TABLE, .info1 = 7};

	need_page();
	need_of_machine(!sev_is_snp(), "AP jump table by GHCB (SNP has it in the secrets page)");
	send(&set);
	check(RESULT == GHCB_RESULT_DONE, "set: result %u", RESULT);
	send(&get);
	check(RESULT == GHCB_RESULT_DONE && REASON == 0x7000, "get: result %u, %#lx", RESULT,
	      REASON);
	check_refused("neither", &none, GHCB_REASON_BAD_INPUT);
}

/* A counter or an MSR may be refused, with an exception. */
CASE(every_event, CPL0, RULE_ANSWER, CATCHES("model-ghcb-plain-gp"))
{
	need_page();
	for (unsigned i = 0; i < COUNT(events); i++) {
		enum ghcb_verdict verdict;

		send(&events[i]);
		verdict = verdict_of(&events[i]);
		check(verdict == GHCB_OK ||
			      (verdict == GHCB_EXCEPTION && events[i].code == SVM_EXIT_RDPMC),
		      "%s (%u): %s", ghcb_event_name(events[i].code), i,
		      ghcb_verdict_name(verdict));
	}
}

CASE(tsc, CPL0, "GHCB 4.1, RDTSC and RDTSCP: EDX:EAX is the guest's counter",
     CATCHES("model-ghcb-output-not-valid"))
{
	static const uint64_t codes[] = {SVM_EXIT_RDTSC, SVM_EXIT_RDTSCP};

	need_page();
	for (unsigned i = 0; i < COUNT(codes); i++) {
		struct request r = {.code = codes[i]};
		uint64_t before = rdtsc(), answer, after;

		send(&r);
		after = rdtsc();
		answer = got.value[GHCB_RDX] << 32 | (uint32_t)got.value[GHCB_RAX];
		check(verdict_of(&r) == GHCB_OK, "%s: %s", ghcb_event_name(codes[i]),
		      ghcb_verdict_name(verdict_of(&r)));
		check(before <= answer && answer <= after,
		      "%s: %#lx does not lie between %#lx and %#lx", ghcb_event_name(codes[i]),
		      answer, before, after);
	}
}

/* -- Secrecy. ---------------------------------------------------------------------------------- */

#define SECRET 0x5ec4e75ec4e7ul

/* Registers hold a secret while the event, which has no output, is asked for. */
CASE(secret_registers, CPL0, RULE_SECRET, CATCHES("model-ghcb-leak"))
{
	struct ghcb_use use;
	volatile struct ghcb_page *page;

	need_page();
	page = ghcb_open(&use);
	ghcb_clear(page);
	ghcb_set(page, GHCB_EXIT_CODE, SVM_EXIT_WBINVD);
	ghcb_set(page, GHCB_EXIT_INFO_1, 0);
	ghcb_set(page, GHCB_EXIT_INFO_2, 0);
	page->version = sev_ghcb_version();
	page->usage = 0;
	wrmsr(MSR_GHCB, ghcb_gpa());
	asm volatile("rep; vmmcall"
		     :
		     : "a"(SECRET), "b"(SECRET), "c"(SECRET), "d"(SECRET), "S"(SECRET), "D"(SECRET)
		     : "memory");
	ghcb_take_answer(page, &got);
	ghcb_close(&use);
	check(RESULT == GHCB_RESULT_DONE, "result %u", RESULT);
	for (unsigned field = GHCB_RAX; field < GHCB_EXIT_CODE; field++)
		check(got.value[field] != SECRET, "%s came back", ghcb_field_name(field));
}

/* What is written through one view of a page cannot be read through the other. */
CASE(two_views, CPL0, RULE_VIEWS, CATCHES("model-c-bit-ignored"))
{
	static uint8_t page[PAGE_BYTES] __attribute__((aligned(4096)));
	volatile uint64_t *private_view = (volatile uint64_t *)page;
	volatile uint64_t *shared_view = (volatile uint64_t *)WINDOW;

	need_of_machine(sev_is_on(), "SEV");
	need_native("the hypervisor of L2 is our own, and offers no SEV");
	window_map(0, ((uint64_t)page | PTE_PAGE) & ~sev_c_bit);
	for (unsigned i = 0; i < 8; i++)
		private_view[i] = SECRET + i;
	asm volatile("wbinvd" : : : "memory");
	for (unsigned i = 0; i < 8; i++)
		check(shared_view[i] != SECRET + i, "word %u can be read through the other view",
		      i);
	window_map(0, 0);
}

/* -- A hypervisor that is not to be trusted. --------------------------------------------------- */

CASE(hostile, CPL0, RULE_HOSTILE, CATCHES("model-ghcb-wrong-result"))
{
	static const struct {
		unsigned how;
		uint64_t value;
		enum ghcb_verdict verdict;
	} rows[] = {
		{MODEL_SPOIL_RESULT, 0, GHCB_OK},
		{MODEL_SPOIL_RESULT, 3, GHCB_BAD_RESULT},
		{MODEL_SPOIL_RESULT, 0xffffffff, GHCB_BAD_RESULT},
		{MODEL_SPOIL_NO_VALID, 0, GHCB_MISSING_OUTPUT},
		{MODEL_SPOIL_INJECT, 0x8000030d, GHCB_EXCEPTION},
		{MODEL_SPOIL_INJECT, 0x80000306, GHCB_EXCEPTION},
		{MODEL_SPOIL_INJECT, 0x0000030d, GHCB_INJECT_NOT_VALID},
		{MODEL_SPOIL_INJECT, 0x8000020d, GHCB_INJECT_BAD_TYPE},
		{MODEL_SPOIL_INJECT, 0x8000030e, GHCB_INJECT_BAD_VECTOR},
		{MODEL_SPOIL_INJECT, 0x80000303, GHCB_INJECT_BAD_VECTOR},
		{MODEL_SPOIL_INJECT, 0x8000130d, GHCB_INJECT_RESERVED_SET},
		{MODEL_SPOIL_INJECT, 0x80000b06, GHCB_INJECT_BAD_CODE},
		{MODEL_SPOIL_REASON, 5, GHCB_MALFORMED},
		{MODEL_SPOIL_REASON, 0, GHCB_BAD_REASON},
		{MODEL_SPOIL_REASON, 0x100, GHCB_BAD_REASON},
	};

	struct ghcb_call honest = {.request.exit_code = SVM_EXIT_MSR};

	need_page();
	need_model(ask_model(MODEL_CALL_BEHAVE, 0, 0, 0));
	for (unsigned i = 0; i < COUNT(rows); i++) {
		struct ghcb_call call = {.request.exit_code = SVM_EXIT_CPUID};

		ask_model(MODEL_CALL_SPOIL, rows[i].how, 1, rows[i].value);
		ghcb_offer(&call, GHCB_RAX, 0);
		ghcb_offer(&call, GHCB_RCX, 0);
		ghcb_call(&call);
		check(call.outcome.verdict == rows[i].verdict,
		      "row %u, value %#lx: taken for '%s', not '%s'", i, rows[i].value,
		      ghcb_verdict_name(call.outcome.verdict), ghcb_verdict_name(rows[i].verdict));
	}
	ghcb_offer(&honest, GHCB_RCX, 0xc0011fff);
	ghcb_call(&honest);
	check(honest.outcome.verdict == GHCB_EXCEPTION,
	      "an MSR that does not exist: taken for '%s', not an exception",
	      ghcb_verdict_name(honest.outcome.verdict));
	check_alive();
}
