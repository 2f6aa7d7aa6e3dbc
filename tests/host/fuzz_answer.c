/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: everything that judges what the hypervisor says: answers in the
 * GHCB page, responses by MSR, page state change headers.
 *
 * Input: the struct below, filled up with zeroes. The page is a heap block of
 * its exact size.
 */
#include <stdlib.h>
#include <string.h>

#include "demand.h"
#include "x86/sev/ghcb_answer.h"
#include "x86/sev/ghcb_msr.h"
#include "x86/sev/psc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	struct ghcb_request request;
	uint64_t exit_info_1, exit_info_2;
	uint8_t valid_bitmap[16];
	uint64_t msr_request, msr_response;
	uint64_t scratch, bytes;
	uint64_t psc_info;
	struct psc_header before, after;
};

static void check_page(const struct input *in)
{
	struct ghcb_page *page = calloc(1, sizeof(*page));
	struct ghcb_answer answer;
	struct ghcb_outcome outcome;
	uint64_t word = in->exit_info_2;
	uint32_t outputs = ghcb_event_outputs(&in->request);
	bool allowed;

	DEMAND(page);
	page->exit_info_1 = in->exit_info_1;
	page->exit_info_2 = word;
	memcpy(page->valid_bitmap, in->valid_bitmap, 16);
	ghcb_take_answer(page, &answer);
	free(page);

	memset(&outcome, 0xa5, sizeof(outcome));
	allowed = ghcb_judge(&answer, &in->request, &outcome);
	DEMAND(outcome.verdict < GHCB_VERDICTS);
	DEMAND(ghcb_verdict_name(outcome.verdict)[0] != '?');
	DEMAND(allowed == (outcome.verdict == GHCB_OK || outcome.verdict == GHCB_EXCEPTION ||
			   outcome.verdict == GHCB_MALFORMED));
	/* A result that may be used, said once more in other words. */
	switch (outcome.verdict) {
	case GHCB_OK:
		DEMAND((in->exit_info_1 & 0xffffffff) == 0);
		DEMAND((answer.valid & outputs) == outputs);
		break;
	case GHCB_EXCEPTION:
		DEMAND((in->exit_info_1 & 0xffffffff) == 1);
		if (outcome.vector == 6)
			DEMAND((word & 0xffffffff) == 0x80000306 && outcome.error_code == 0);
		else if (word & 0x800)
			DEMAND(word == ((uint64_t)outcome.error_code << 32 | 0x80000b0d));
		else
			DEMAND((word & 0xffffffff) == 0x8000030d && outcome.error_code == 0);
		break;
	case GHCB_MALFORMED:
		DEMAND((in->exit_info_1 & 0xffffffff) == 2);
		DEMAND(outcome.reason == word && word != 0 && (word <= 6 || word > 0xffff));
		break;
	case GHCB_MISSING_OUTPUT:
		DEMAND(outcome.missing && !(outcome.missing & ~outputs));
		break;
	}
	if (outcome.verdict != GHCB_EXCEPTION)
		DEMAND(outcome.vector == 0 && outcome.error_code == 0);
	ghcb_event_inputs(&in->request);
	DEMAND(ghcb_event_name(in->request.exit_code));
}

static void check_msr(const struct input *in)
{
	uint64_t request = in->msr_request, response = in->msr_response;
	enum ghcb_msr_verdict verdict;
	struct ghcb_msr msr;
	bool well_formed;
	unsigned int version;

	memset(&msr, 0xa5, sizeof(msr));
	verdict = ghcb_msr_check(request, response, &msr);
	DEMAND(verdict < GHCB_MSR_VERDICTS);
	DEMAND(ghcb_msr_verdict_name(verdict)[0] != '?');
	if (verdict == GHCB_MSR_OK || verdict == GHCB_MSR_REFUSED) {
		unsigned int expected = (request & 0xfff) == 2 ? 1 : (request & 0xfff) | 1;

		DEMAND((response & 0xfff) == expected && response != request);
		DEMAND(ghcb_msr_encode(&msr) == response);
	}
	if (verdict == GHCB_MSR_OK && msr.code == GHCB_MSR_CPUID_RESPONSE)
		DEMAND((request >> 30 & 3) == (response >> 30 & 3));
	if (verdict == GHCB_MSR_OK && msr.code == GHCB_MSR_REGISTER_GPA_RESPONSE)
		DEMAND(request >> 12 == response >> 12);
	if (verdict == GHCB_MSR_OK && msr.code == GHCB_MSR_SEV_INFO) {
		version = ghcb_negotiate(&msr, 1, 2);
		DEMAND(version <= 2);
		DEMAND(!version || (version >= msr.min_version && version <= msr.max_version));
	}

	well_formed = ghcb_msr_decode(response, &msr);
	DEMAND(!well_formed || ghcb_msr_encode(&msr) == response);
}

static void check_psc(const struct input *in)
{
	enum psc_verdict verdict = psc_check(&in->before, &in->after, in->psc_info);

	DEMAND(verdict <= PSC_NO_SENSE);
	if (verdict == PSC_DONE)
		DEMAND(in->after.current == in->before.end + 1 && !in->psc_info);
	if (verdict == PSC_AGAIN)
		DEMAND(in->after.current <= in->before.end && !in->psc_info);
}

static void check_scratch(const struct input *in)
{
	uint64_t gpa = in->request.rax & ~0xfffull & ~(1ull << 63);

	if (ghcb_scratch_fits(gpa, in->scratch, in->bytes)) {
		DEMAND(in->bytes <= 2032);
		DEMAND(in->scratch >= gpa + 0x800 && in->scratch + in->bytes <= gpa + 0xff0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;

	memset(&in, 0, sizeof(in));
	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	check_page(&in);
	check_msr(&in);
	check_psc(&in);
	check_scratch(&in);
	return 0;
}
