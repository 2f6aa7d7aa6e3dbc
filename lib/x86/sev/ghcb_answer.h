/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checking the hypervisor's answer to a VMGEXIT by page.
 *
 * The hypervisor is not trusted: an answer is copied out of the shared page
 * exactly once, and only the copy is judged and used. There is no answer, however
 * senseless, that these functions fail on; what is not allowed has a verdict.
 *
 * Sources: GHCB specification rev. 2.04, section 4.1 with Table 8; APM vol. 2, "Event
 * Injection" (format of the word).
 */
#ifndef LIB_X86_GHCB_ANSWER_H
#define LIB_X86_GHCB_ANSWER_H

#include "ghcb_event.h"

/* Result word: SW_EXITINFO1 bits 31:0. */
enum ghcb_result {
	GHCB_RESULT_DONE = 0,
	GHCB_RESULT_EXCEPTION = 1,
	GHCB_RESULT_MALFORMED = 2,
};

/* Why a request was found malformed: SW_EXITINFO2. */
enum ghcb_reason {
	GHCB_REASON_NOT_REGISTERED = 1,
	GHCB_REASON_BAD_USAGE = 2,
	GHCB_REASON_BAD_SCRATCH = 3,
	GHCB_REASON_MISSING_INPUT = 4,
	GHCB_REASON_BAD_INPUT = 5,
	GHCB_REASON_BAD_EVENT = 6,
	GHCB_REASON_HYPERVISOR = 0x10000, /* and above: its own */
};

/* Event-injection word: SW_EXITINFO2 with GHCB_RESULT_EXCEPTION. */
#define GHCB_INJECT_VECTOR 0xffull
#define GHCB_INJECT_TYPE (7ull << 8)
#define GHCB_INJECT_TYPE_EXCEPTION (3ull << 8)
#define GHCB_INJECT_ERROR_CODE (1ull << 11)
#define GHCB_INJECT_RESERVED (0x7ffffull << 12)
#define GHCB_INJECT_VALID (1ull << 31)

/* All fields of a GHCB as they were at one time. */
struct ghcb_answer {
	uint64_t value[GHCB_FIELDS];
	uint32_t valid; /* mask of GHCB_BIT() */
};

enum ghcb_verdict {
	GHCB_OK,	/* done: outputs are there, RIP may move on */
	GHCB_EXCEPTION, /* raise .vector with .error_code at the instruction */
	GHCB_MALFORMED, /* the hypervisor rejects the request for .reason */

	/* Answers that a hypervisor must not give. */
	GHCB_BAD_RESULT,	  /* result word is none of the three */
	GHCB_BAD_REASON,	  /* malformed, for a reason that is reserved */
	GHCB_MISSING_OUTPUT,	  /* done, but .missing fields are not valid */
	GHCB_INJECT_NOT_VALID,	  /* exception without the valid bit */
	GHCB_INJECT_BAD_TYPE,	  /* not of type 3 */
	GHCB_INJECT_BAD_VECTOR,	  /* neither #UD nor #GP */
	GHCB_INJECT_BAD_CODE,	  /* error code for #UD, or one above 16 bits */
	GHCB_INJECT_RESERVED_SET, /* bits 30:12 */
	GHCB_VERDICTS
};

struct ghcb_outcome {
	uint8_t verdict;     /* enum ghcb_verdict */
	uint8_t vector;	     /* GHCB_EXCEPTION: 6 or 13 */
	uint16_t error_code; /* GHCB_EXCEPTION: of #GP, 0 if none was given */
	uint32_t missing;    /* GHCB_MISSING_OUTPUT: mask of GHCB_BIT() */
	uint64_t reason;     /* GHCB_MALFORMED, GHCB_BAD_REASON: SW_EXITINFO2 */
};

/**
 * ghcb_take_answer - copy the fields out of the shared page, each read once
 * @page:   the GHCB after VMGEXIT
 * @answer: private copy
 */
void ghcb_take_answer(const volatile struct ghcb_page *page, struct ghcb_answer *answer);

/**
 * ghcb_judge - what an answer asks the guest to do, or what is wrong with it
 * @answer:  copied by ghcb_take_answer()
 * @request: what the guest had asked for, from its own memory
 * @outcome: result; fields that its verdict doesn't name are 0
 *
 * Returns true for GHCB_OK, GHCB_EXCEPTION and GHCB_MALFORMED, which a hypervisor
 * may answer, false for what it must not: then the guest terminates.
 */
bool ghcb_judge(const struct ghcb_answer *answer, const struct ghcb_request *request,
		struct ghcb_outcome *outcome);

/**
 * ghcb_verdict_name - a verdict as a few words, for messages
 * @verdict: enum ghcb_verdict; "?" for anything else
 */
const char *ghcb_verdict_name(unsigned int verdict);

#endif
