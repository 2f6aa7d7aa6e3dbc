/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking the hypervisor's answer to a VMGEXIT by page; see ghcb_answer.h. */
#include "ghcb_answer.h"

#define UD_VECTOR 6
#define GP_VECTOR 13

void ghcb_take_answer(const volatile struct ghcb_page *page, struct ghcb_answer *answer)
{
	answer->valid = ghcb_valid_fields(page);
	for (unsigned int field = 0; field < GHCB_FIELDS; field++)
		answer->value[field] = ghcb_get(page, field);
}

static enum ghcb_verdict judge_injection(uint64_t word, struct ghcb_outcome *outcome)
{
	bool has_code = word & GHCB_INJECT_ERROR_CODE;
	unsigned int vector = word & GHCB_INJECT_VECTOR;

	if (!(word & GHCB_INJECT_VALID))
		return GHCB_INJECT_NOT_VALID;
	if ((word & GHCB_INJECT_TYPE) != GHCB_INJECT_TYPE_EXCEPTION)
		return GHCB_INJECT_BAD_TYPE;
	if (vector != UD_VECTOR && vector != GP_VECTOR)
		return GHCB_INJECT_BAD_VECTOR;
	if (word & GHCB_INJECT_RESERVED)
		return GHCB_INJECT_RESERVED_SET;
	/* Without the bit for it, the upper half means nothing. */
	if (has_code && (vector == UD_VECTOR || word >> 32 > 0xffff))
		return GHCB_INJECT_BAD_CODE;

	outcome->vector = vector;
	outcome->error_code = has_code ? word >> 32 : 0;
	return GHCB_EXCEPTION;
}

static bool is_reason(uint64_t reason)
{
	return (reason >= GHCB_REASON_NOT_REGISTERED && reason <= GHCB_REASON_BAD_EVENT) ||
	       reason >= GHCB_REASON_HYPERVISOR;
}

bool ghcb_judge(const struct ghcb_answer *answer, const struct ghcb_request *request,
		struct ghcb_outcome *outcome)
{
	uint64_t info = answer->value[GHCB_EXIT_INFO_2];
	uint32_t missing;

	outcome->vector = 0;
	outcome->error_code = 0;
	outcome->missing = 0;
	outcome->reason = 0;

	/* Nothing is specified for bits 63:32. */
	switch ((uint32_t)answer->value[GHCB_EXIT_INFO_1]) {
	case GHCB_RESULT_DONE:
		missing = ghcb_event_outputs(request) & ~answer->valid;
		outcome->missing = missing;
		outcome->verdict = missing ? GHCB_MISSING_OUTPUT : GHCB_OK;
		break;
	case GHCB_RESULT_EXCEPTION:
		outcome->verdict = judge_injection(info, outcome);
		break;
	case GHCB_RESULT_MALFORMED:
		outcome->reason = info;
		outcome->verdict = is_reason(info) ? GHCB_MALFORMED : GHCB_BAD_REASON;
		break;
	default:
		outcome->verdict = GHCB_BAD_RESULT;
		break;
	}
	return outcome->verdict <= GHCB_MALFORMED;
}

const char *ghcb_verdict_name(unsigned int verdict)
{
	static const char names[GHCB_VERDICTS + 1][36] = {
		"ok",
		"exception",
		"malformed request",
		"unknown result word",
		"reserved reason",
		"output not marked valid",
		"injected event not marked valid",
		"injected event is no exception",
		"injected vector is neither 6 nor 13",
		"injected error code is not allowed",
		"reserved bits of injected event",
		"?",
	};

	return names[verdict < GHCB_VERDICTS ? verdict : GHCB_VERDICTS];
}
