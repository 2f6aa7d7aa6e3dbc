/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Malformed requests by the GHCB page: whatever a guest writes, its hypervisor answers as specified, and lives.
 *
 * The rule is that of ghcb.c: result 2 and the reason, in the order usage, fields, event. Each case ends with a
 * right request, which must be answered as always.
 *
 * The bugs that taught it. KVM used SW_SCRATCH and exit codes before it had checked their valid bits;
 * it let a guest kill itself and the VM by an unregistered or odd address where an error code would do
 * (Linux 5.10 to 5.16).
 *
 * https://git.kernel.org/torvalds/c/ad5b353240c8, https://git.kernel.org/torvalds/c/75236f5f2299
 */
#include "ghcb_request.h"

#define RULE_REASON "GHCB 4.1, SW_EXITINFO1 of 2: SW_EXITINFO2 says what is wrong with the request"
#define RULE_INPUTS \
	"GHCB 4.1, List of Supported Non-Automatic Events: a required field that is not valid is reason 4"
#define RULE_SCRATCH \
	"GHCB 4.1, MMIO Access: in version 2, SW_SCRATCH points into the shared buffer of the GHCB"
#define RULE_ALIVE \
	"GHCB 2.3, GHCB MSR: what is no GHCB is not used as one; KVM returns as if nothing had been asked"
#define RULE_VERSION \
	"GHCB 2.6 and 4.1, SW_EXITINFO1: whatever the version, a request is answered: done or malformed"

CASE(unknown_event, CPL0, RULE_REASON, CATCHES("model-ghcb-wrong-reason model-ghcb-wrong-result"))
{
	static const uint64_t codes[] = {0x0,	0x43,	    0x60,	0x78,	   0x403,
					 0xfff, 0x80000006, 0x8000fff0, 0xffffffff};

	need_page();
	for (unsigned i = 0; i < COUNT(codes); i++) {
		struct request r = {.code = codes[i]};

		send(&r);
		check(RESULT == GHCB_RESULT_MALFORMED && REASON == GHCB_REASON_BAD_EVENT,
		      "code %#lx: result %u, reason %lu, not 2 and 6", codes[i], RESULT, REASON);
	}
	check_alive();
}

/* From 0x80000000 on the meaning is the hypervisor's own. */
CASE(usage, CPL0, RULE_REASON, CATCHES("model-ghcb-usage-ignored"))
{
	static const uint32_t reserved[] = {1, 2, 0x10000, 0x7fffffff};

	need_page();
	for (unsigned i = 0; i < COUNT(reserved); i++) {
		struct request r = good;

		r.usage = reserved[i];
		check_refused("a reserved usage", &r, GHCB_REASON_BAD_USAGE);
	}
	check_alive();
}

/* There is no reason for a bad version, so it may be refused for any, and done as well; not ignored. */
CASE(version, CPL0, RULE_VERSION, CATCHES("model-ghcb-version-unanswered"))
{
	static const uint16_t versions[] = {0, 3, 0x7fff, 0xffff};

	need_page();
	for (unsigned i = 0; i < COUNT(versions); i++) {
		struct request r = good;

		r.other_version = true;
		r.version = versions[i];
		r.info1 = UNTOUCHED;
		send(&r);
		check(verdict_of(&r) == GHCB_OK || verdict_of(&r) == GHCB_MALFORMED,
		      "version %#x: %s, result %#x", versions[i], ghcb_verdict_name(verdict_of(&r)),
		      RESULT);
	}
	check_alive();
}

/* Beyond these, under SEV-SNP. */
static const struct request events_of_snp[] = {
	{.code = GHCB_EVENT_PAGE_STATE_CHANGE},
	{.code = GHCB_EVENT_AP_CREATION, .info1 = 200ul << 32 | 1, .info2 = 0x5000},
};

static void try_missing(const struct request *event)
{
	struct ghcb_request asked = {event->code, event->info1, event->rax};
	uint32_t inputs = ghcb_event_inputs(&asked);

	for (unsigned field = 0; field < GHCB_FIELDS; field++) {
		struct request r = *event;

		if (!(inputs & GHCB_BIT(field)))
			continue;
		r.without = GHCB_BIT(field);
		send(&r);
		check(RESULT == GHCB_RESULT_MALFORMED && REASON == GHCB_REASON_MISSING_INPUT,
		      "%s without %s: result %u, reason %lu, not 2 and 4", ghcb_event_name(r.code),
		      ghcb_field_name(field), RESULT, REASON);
	}
}

/* Every event with each of its inputs left out, one at a time. */
CASE(missing_input, CPL0, RULE_INPUTS, CATCHES("model-ghcb-valid-ignored"))
{
	need_page();
	for (unsigned i = 0; i < COUNT(events); i++)
		try_missing(&events[i]);
	for (unsigned i = 0; i < COUNT(events_of_snp) && sev_is_snp(); i++)
		try_missing(&events_of_snp[i]);
	check_alive();
}

CASE(scratch, CPL0, RULE_SCRATCH, CATCHES("model-ghcb-scratch-ignored"))
{
	struct request r = {.code = GHCB_EVENT_MMIO_READ, .info1 = 0xfee00030, .info2 = 4};

	need_page();
	need_of_machine(sev_ghcb_version() >= 2, "version 2 of the GHCB protocol");
	r.scratch = ghcb_gpa() + 0xff0 - 2;
	check_refused("across the end of the buffer", &r, GHCB_REASON_BAD_SCRATCH);
	r.scratch = ghcb_gpa() + 0x7fc;
	check_refused("before the buffer", &r, GHCB_REASON_BAD_SCRATCH);
	r.scratch = 0x2000;
	check_refused("in another page", &r, GHCB_REASON_BAD_SCRATCH);
	r.scratch = ~0ul - 1;
	check_refused("at the end of the address space", &r, GHCB_REASON_BAD_SCRATCH);
	check_alive();
}

CASE(mmio_length, CPL0, "GHCB 4.1, MMIO Access: in version 2, 1 to 8 bytes",
     CATCHES("model-ghcb-wrong-result"))
{
	struct request r = {.code = GHCB_EVENT_MMIO_READ, .info1 = 0xfee00030, .info2 = 9};

	need_page();
	need_of_machine(sev_ghcb_version() >= 2, "version 2 of the GHCB protocol");
	check_refused("9 bytes", &r, GHCB_REASON_BAD_INPUT);
	check_alive();
}

/* A page that is none: what stands in the real one does not change. */
CASE(bad_address, CPL0, RULE_ALIVE, CATCHES("model-ghcb-any-address kvm-snp-unregistered-ghcb"))
{
	static const uint64_t addresses[] = {0, 0x7ffffffff000ul, 0xfffffffff000ul};

	need_page();
	for (unsigned i = 0; i < COUNT(addresses); i++) {
		struct ghcb_use use;
		volatile struct ghcb_page *page = ghcb_open(&use);

		ghcb_clear(page);
		ghcb_set(page, GHCB_EXIT_CODE, SVM_EXIT_CPUID);
		ghcb_set(page, GHCB_EXIT_INFO_1, UNTOUCHED);
		wrmsr(MSR_GHCB, addresses[i]);
		vmgexit();
		ghcb_take_answer(page, &got);
		ghcb_close(&use);
		check(got.value[GHCB_EXIT_INFO_1] == UNTOUCHED,
		      "address %#lx: SW_EXITINFO1 became %#lx", addresses[i],
		      got.value[GHCB_EXIT_INFO_1]);
	}
	check_alive();
}
