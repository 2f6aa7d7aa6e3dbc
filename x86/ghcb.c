/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's side of the GHCB protocol, asked directly.
 *
 * The rule. A guest under SEV-ES writes what it wants to tell into a page that it shares with the
 * hypervisor, marks each field that it has written, and executes VMGEXIT. The hypervisor must use
 * nothing else, must answer a request that is malformed with result 2 and the reason, one that faults
 * with result 1 and #GP or #UD, and any other with result 0 and all outputs marked. It must stay alive
 * whatever the guest writes. Before there is a page, the same MSR that holds its address carries
 * requests and responses.
 *
 * The guest trusts none of it: the last cases have a hypervisor (our model) that answers senselessly, and
 * each answer must be recognised.
 *
 * The bugs that taught it. KVM used SW_SCRATCH and exit codes before it had checked their valid bits;
 * it let a guest kill itself and the VM by an unregistered or odd address where an error code would do
 * (Linux 5.10 to 5.16). QEMU with a legacy VM type speaks version 1, and a firmware that insists on 2
 * does not start.
 *
 * https://git.kernel.org/torvalds/c/ad5b353240c8, https://git.kernel.org/torvalds/c/75236f5f2299
 */
#include "trapline.h"

#include "ask_model.h"
#include "x86/sev/ghcb_msr.h"
#include "x86/sev/ioio.h"

#define RULE_ANSWER "GHCB 4.1, SW_EXITINFO1: 0, and the outputs marked valid"
#define RULE_REASON "GHCB 4.1, SW_EXITINFO1 of 2: SW_EXITINFO2 says what is wrong with the request"
#define RULE_INPUTS \
	"GHCB 4.1, List of Supported Non-Automatic Events: a required field that is not valid is reason 4"
#define RULE_SCRATCH \
	"GHCB 4.1, MMIO Access: in version 2, SW_SCRATCH points into the shared buffer of the GHCB"
#define RULE_ALIVE \
	"GHCB 2.3, GHCB MSR: what is no GHCB is not used as one; KVM returns as if nothing had been asked"
#define RULE_MSR "GHCB 2.3.1, GHCB MSR Protocol"
#define RULE_SECRET "GHCB 4, SEV-ES Guest State: the hypervisor knows only what the guest offers"
#define RULE_HOSTILE "GHCB 4.1: an answer that is not allowed is not used"
#define RULE_TABLE "GHCB 4.3.1, AP Jump Table: get returns what set has given"
#define RULE_FEATURES "GHCB 4.1, Hypervisor Feature Support"
#define RULE_VIEWS \
	"APM 2, Secure Encrypted Virtualization: shared and private memory are not the same"

static void need_page(void)
{
	need_es();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
}

/* -- A request by hand. ------------------------------------------------------------------------------- */

static struct ghcb_answer got;

struct request {
	uint64_t code, info1, info2, rax, rcx, scratch;
	uint32_t without; /* mask of GHCB_BIT(): not marked valid */
	uint32_t usage;
};

static void send(const struct request *r)
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
	page->version = sev_ghcb_version();
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

static void check_alive(void)
{
	send(&good);
	check(RESULT == GHCB_RESULT_DONE && got.value[GHCB_RAX] >= 0x8000001f,
	      "the next call, CPUID, is answered with result %u, RAX %#lx", RESULT,
	      got.value[GHCB_RAX]);
}

static void check_refused(const char *what, const struct request *r, unsigned reason)
{
	send(r);
	check(RESULT == GHCB_RESULT_MALFORMED && REASON == reason,
	      "%s: result %u, reason %lu, not 2 and %u", what, RESULT, REASON, reason);
}

/* -- What a right request is answered. ------------------------------------------------------------------ */

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
	need(sev_ghcb_version() >= 2, "the hypervisor speaks version %u", sev_ghcb_version());
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
	need(!sev_is_snp(), "SNP has it in the secrets page");
	send(&set);
	check(RESULT == GHCB_RESULT_DONE, "set: result %u", RESULT);
	send(&get);
	check(RESULT == GHCB_RESULT_DONE && REASON == 0x7000, "get: result %u, %#lx", RESULT,
	      REASON);
	check_refused("neither", &none, GHCB_REASON_BAD_INPUT);
}

/* -- Malformed requests. ------------------------------------------------------------------------------------ */

CASE(unknown_event, CPL0, RULE_REASON, CATCHES("model-ghcb-wrong-reason model-ghcb-wrong-result"))
{
	static const uint64_t codes[] = {0x0,	0x43,	    0x60,	0x78,	   0x403,
					 0xfff, 0x80000006, 0x8000fff0, 0xffffffff};

	need_page();
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct request r = {.code = codes[i]};

		send(&r);
		check(RESULT == GHCB_RESULT_MALFORMED && REASON == GHCB_REASON_BAD_EVENT,
		      "code %#lx: result %u, reason %lu, not 2 and 6", codes[i], RESULT, REASON);
	}
	check_alive();
}

CASE(usage, CPL0, RULE_REASON, CATCHES("model-ghcb-usage-ignored"))
{
	struct request r = good;

	need_page();
	r.usage = 1;
	check_refused("usage 1", &r, GHCB_REASON_BAD_USAGE);
	check_alive();
}

/* Every event with each of its inputs left out, one at a time. */
CASE(missing_input, CPL0, RULE_INPUTS, CATCHES("model-ghcb-valid-ignored"))
{
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
		{.code = SVM_EXIT_MONITOR},
		{.code = SVM_EXIT_MWAIT},
		{.code = GHCB_EVENT_MMIO_READ, .info1 = 0xfee00030, .info2 = 4},
		{.code = GHCB_EVENT_MMIO_WRITE, .info1 = 0xfee00080, .info2 = 4},
	};

	need_page();
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		struct ghcb_request asked = {events[i].code, events[i].info1, events[i].rax};
		uint32_t inputs = ghcb_event_inputs(&asked);

		for (unsigned field = 0; field < GHCB_FIELDS; field++) {
			struct request r = events[i];

			if (!(inputs & GHCB_BIT(field)))
				continue;
			r.without = GHCB_BIT(field);
			send(&r);
			check(RESULT == GHCB_RESULT_MALFORMED &&
				      REASON == GHCB_REASON_MISSING_INPUT,
			      "%s without %s: result %u, reason %lu, not 2 and 4",
			      ghcb_event_name(r.code), ghcb_field_name(field), RESULT, REASON);
		}
	}
	check_alive();
}

CASE(scratch, CPL0, RULE_SCRATCH, CATCHES("model-ghcb-scratch-ignored"))
{
	struct request r = {.code = GHCB_EVENT_MMIO_READ, .info1 = 0xfee00030, .info2 = 4};

	need_page();
	need(sev_ghcb_version() >= 2, "version 1 takes any shared page");
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
	need(sev_ghcb_version() >= 2, "version 1 takes more");
	check_refused("9 bytes", &r, GHCB_REASON_BAD_INPUT);
	check_alive();
}

/* A page that is none: what stands in the real one does not change. */
CASE(bad_address, CPL0, RULE_ALIVE, CATCHES("model-ghcb-any-address kvm-snp-unregistered-ghcb"))
{
	static const uint64_t addresses[] = {0, 0x7ffffffff000ul, 0xfffffffff000ul};

	need_page();
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct ghcb_use use;
		volatile struct ghcb_page *page = ghcb_open(&use);

		ghcb_clear(page);
		ghcb_set(page, GHCB_EXIT_CODE, SVM_EXIT_CPUID);
		ghcb_set(page, GHCB_EXIT_INFO_1, 0x1234);
		wrmsr(MSR_GHCB, addresses[i]);
		vmgexit();
		ghcb_take_answer(page, &got);
		ghcb_close(&use);
		check(got.value[GHCB_EXIT_INFO_1] == 0x1234,
		      "address %#lx: SW_EXITINFO1 became %#lx", addresses[i],
		      got.value[GHCB_EXIT_INFO_1]);
	}
	check_alive();
}

/* -- Secrecy. --------------------------------------------------------------------------------------------------- */

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

	need(sev_is_on(), "there is one view without SEV");
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

/* -- The MSR protocol. ---------------------------------------------------------------------------------------- */

CASE(msr_sev_info, CPL0, RULE_MSR, CATCHES("model-ghcb-info-once"))
{
	struct ghcb_msr ask = {.code = GHCB_MSR_SEV_INFO_REQUEST}, m;
	uint64_t request = ghcb_msr_encode(&ask);

	need_page();
	check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK, "no response");
	check(1ul << m.c_bit == sev_c_bit, "C-bit %u", m.c_bit);
	check(m.min_version <= sev_ghcb_version() && sev_ghcb_version() <= m.max_version,
	      "versions %u to %u", m.min_version, m.max_version);
}

CASE(msr_cpuid, CPL0, RULE_MSR, CATCHES("model-ghcb-msr-cpuid-mixed"))
{
	static const uint32_t leaves[] = {0, 0x80000000, 0x80000001, 0x40000000};

	need_page();
	for (unsigned i = 0; i < 4 * sizeof(leaves) / sizeof(leaves[0]); i++) {
		struct cpuid r = cpuid(leaves[i / 4], 0);
		uint32_t by_page[] = {r.a, r.b, r.c, r.d};
		struct ghcb_msr ask = {.code = GHCB_MSR_CPUID_REQUEST,
				       .function = leaves[i / 4],
				       .reg = i % 4},
				m;
		uint64_t request = ghcb_msr_encode(&ask);

		check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK,
		      "leaf %#x, register %u: no response", leaves[i / 4], i % 4);
		check(m.value == by_page[i % 4],
		      "leaf %#x, register %u: %#x by the MSR, %#x by the page", leaves[i / 4],
		      i % 4, m.value, by_page[i % 4]);
	}
}

CASE(msr_unknown, CPL0, RULE_MSR, CATCHES("model-ghcb-msr-unknown"))
{
	static const uint64_t codes[] = {0x008, 0x00a, 0x020, 0x0fe, 0xffe};

	need_page();
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		uint64_t value = codes[i] | 0x123456ul << 12, response = sev_msr_call(value);

		check(response == value, "code %#lx: the MSR became %#lx", codes[i], response);
	}
	check_alive();
}

/* -- A hypervisor that is not to be trusted. ----------------------------------------------------------------- */

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
	need(ask_model(MODEL_CALL_BEHAVE, 0, 0, 0),
	     "needs a hypervisor that lies on demand: our model");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
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
