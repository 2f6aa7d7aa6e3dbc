/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GHCB protocol's pure parts against numbers written down here from the
 * specification: page offsets and valid bits, MSR values, answers.
 */
#include <string.h>

#include "demand.h"
#include "x86/insn/ioio.h"
#include "x86/sev/ghcb_answer.h"
#include "x86/sev/ghcb_msr.h"
#include "x86/sev/psc.h"

/* ---- page -------------------------------------------------------------- */

/* clang-format off */
static const struct {
	uint8_t field;
	const char *name;
	uint16_t offset;
	uint8_t valid_bit;
} fields[] = {
	{ GHCB_CPL, "CPL", 0x0cb, 25 },		{ GHCB_XSS, "XSS", 0x140, 40 },
	{ GHCB_DR7, "DR7", 0x160, 44 },		{ GHCB_RAX, "RAX", 0x1f8, 63 },
	{ GHCB_RCX, "RCX", 0x308, 97 },		{ GHCB_RDX, "RDX", 0x310, 98 },
	{ GHCB_RBX, "RBX", 0x318, 99 },		{ GHCB_RBP, "RBP", 0x328, 101 },
	{ GHCB_RSI, "RSI", 0x330, 102 },	{ GHCB_RDI, "RDI", 0x338, 103 },
	{ GHCB_R8, "R8", 0x340, 104 },		{ GHCB_R8 + 1, "R9", 0x348, 105 },
	{ GHCB_R8 + 2, "R10", 0x350, 106 },	{ GHCB_R8 + 3, "R11", 0x358, 107 },
	{ GHCB_R8 + 4, "R12", 0x360, 108 },	{ GHCB_R8 + 5, "R13", 0x368, 109 },
	{ GHCB_R8 + 6, "R14", 0x370, 110 },	{ GHCB_R8 + 7, "R15", 0x378, 111 },
	{ GHCB_EXIT_CODE, "SW_EXITCODE", 0x390, 114 },
	{ GHCB_EXIT_INFO_1, "SW_EXITINFO1", 0x398, 115 },
	{ GHCB_EXIT_INFO_2, "SW_EXITINFO2", 0x3a0, 116 },
	{ GHCB_SCRATCH, "SW_SCRATCH", 0x3a8, 117 },
	{ GHCB_XCR0, "XCR0", 0x3e8, 125 },
};
/* clang-format on */

static void page(void)
{
	static struct ghcb_page ghcb;
	uint8_t *bytes = (uint8_t *)&ghcb, expected[4096];

	DEMAND(sizeof(fields) / sizeof(fields[0]) == GHCB_FIELDS);
	for (unsigned int i = 0; i < GHCB_FIELDS; i++) {
		unsigned int bit = fields[i].valid_bit, field = fields[i].field;
		uint64_t value = 0x8877665544332211;

		/* A set changes the field, its bit, and nothing else. */
		memset(bytes, 0xa5, 4096);
		ghcb_clear(&ghcb);
		memset(expected, 0, 0x400);
		memset(expected + 0x400, 0xa5, 0xc00);
		DEMAND(!memcmp(bytes, expected, 4096));
		ghcb_set(&ghcb, field, value);
		memcpy(expected + fields[i].offset, &value, field == GHCB_CPL ? 1 : 8);
		expected[0x3f0 + bit / 8] |= 1u << bit % 8;
		DEMAND(!memcmp(bytes, expected, 4096));

		DEMAND(ghcb_get(&ghcb, field) == (field == GHCB_CPL ? 0x11 : value));
		DEMAND(ghcb_valid_fields(&ghcb) == GHCB_BIT(field));
		ghcb_set_valid(&ghcb, field, false);
		DEMAND(ghcb_valid_fields(&ghcb) == 0);
		DEMAND(!strcmp(ghcb_field_name(field), fields[i].name));
	}
	memset(ghcb.valid_bitmap, 0xff, 16);
	DEMAND(ghcb_valid_fields(&ghcb) == (1u << GHCB_FIELDS) - 1);
	ghcb_set(&ghcb, GHCB_FIELDS, 1);
	DEMAND(ghcb_get(&ghcb, GHCB_FIELDS) == 0);
	DEMAND(!strcmp(ghcb_field_name(GHCB_FIELDS), "?"));

	DEMAND(ghcb_scratch_fits(0x7000, 0x7800, 0x7f0) && ghcb_scratch_fits(0x7000, 0x7fef, 1));
	DEMAND(!ghcb_scratch_fits(0x7000, 0x7fef, 2) && !ghcb_scratch_fits(0x7000, 0x77ff, 1));
	DEMAND(!ghcb_scratch_fits(0x7000, 0x7801, 0x7f0));
	DEMAND(!ghcb_scratch_fits(0x7000, 0x7800, ~0ull) && !ghcb_scratch_fits(0x7000, ~0ull, 8));
	DEMAND(ghcb_string_chunk(5, 1) == 5 && ghcb_string_chunk(~0ull, 1) == 2032);
	DEMAND(ghcb_string_chunk(2000, 2) == 1016 && ghcb_string_chunk(508, 4) == 508);
	DEMAND(ghcb_string_chunk(1, 0) == 0 && ghcb_string_chunk(1, 3) == 0);
}

/* ---- events ------------------------------------------------------------ */

#define ALWAYS (GHCB_BIT(GHCB_EXIT_CODE) | GHCB_BIT(GHCB_EXIT_INFO_1) | GHCB_BIT(GHCB_EXIT_INFO_2))
#define A GHCB_BIT(GHCB_RAX)
#define B GHCB_BIT(GHCB_RBX)
#define C GHCB_BIT(GHCB_RCX)
#define D GHCB_BIT(GHCB_RDX)
#define S GHCB_BIT(GHCB_SCRATCH)

/* clang-format off */
static const struct {
	struct ghcb_request request;
	uint32_t inputs, outputs;
} events[] = {
	{ { 0x27, 0, 0 }, 0, 0 },		{ { 0x37, 0, 0 }, A, 0 },
	{ { 0x6e, 0, 0 }, 0, A | D },		{ { 0x6f, 0, 0 }, C, A | D },
	{ { 0x72, 0, 1 }, A | C, A | B | C | D },
	{ { 0x72, 0, 0xd }, A | C | GHCB_BIT(GHCB_XCR0), A | B | C | D },
	{ { 0x76, 0, 0 }, 0, 0 },
	{ { 0x7b, 0x03f80210, 0 }, A, 0 },	{ { 0x7b, 0x03f80211, 0 }, 0, A },
	{ { 0x7b, 0x03f80e14, 0 }, S, 0 },	{ { 0x7b, 0x03f8021d, 0 }, S, 0 },
	{ { 0x7c, 0, 0 }, C, A | D },		{ { 0x7c, 1, 0 }, C | A | D, 0 },
	{ { 0x81, 0, 0 }, A | GHCB_BIT(GHCB_CPL), A },
	{ { 0x87, 0, 0 }, 0, A | C | D },	{ { 0x89, 0, 0 }, 0, 0 },
	{ { 0x8a, 0, 0 }, A | C | D, 0 },	{ { 0x8b, 0, 0 }, A | C, 0 },
	{ { 0x80000001, 0, 0 }, S, 0 },		{ { 0x80000002, 0, 0 }, S, 0 },
	{ { 0x80000003, 0, 0 }, 0, 0 },		{ { 0x80000010, 0, 0 }, S, 0 },
	{ { 0x80000012, 0, 0 }, A | B, 0 },
	{ { 0x80000013, 1, 0 }, A, 0 },		{ { 0x80000013, 2, 0 }, 0, 0 },
	{ { 0x8000fffd, 0, 0 }, 0, 0 },		{ { 0x12345678, 0, 0 }, 0, 0 },
};
/* clang-format on */

static void event_fields(void)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		DEMAND(ghcb_event_inputs(&events[i].request) == (events[i].inputs | ALWAYS));
		DEMAND(ghcb_event_outputs(&events[i].request) == events[i].outputs);
	}
	DEMAND(!strcmp(ghcb_event_name(0x80000003), "nmi complete"));
	DEMAND(!strcmp(ghcb_event_name(0x80000006), "?"));
}

/* ---- answers ----------------------------------------------------------- */

static struct ghcb_outcome judge(uint64_t info1, uint64_t info2, uint32_t valid)
{
	const struct ghcb_request rdtsc = {.exit_code = 0x6e};
	struct ghcb_answer answer = {.valid = valid};
	struct ghcb_outcome outcome;

	answer.value[GHCB_EXIT_INFO_1] = info1;
	answer.value[GHCB_EXIT_INFO_2] = info2;
	DEMAND(ghcb_judge(&answer, &rdtsc, &outcome) == (outcome.verdict <= GHCB_MALFORMED));
	return outcome;
}

static unsigned int verdict(uint64_t info1, uint64_t info2)
{
	return judge(info1, info2, A | D).verdict;
}

static void answers(void)
{
	struct ghcb_outcome o;

	DEMAND(verdict(0, 0) == GHCB_OK && verdict(0, 0x1234) == GHCB_OK);
	DEMAND(verdict(0xabcd00000000, 0) == GHCB_OK);
	o = judge(0, 0, A | B);
	DEMAND(o.verdict == GHCB_MISSING_OUTPUT && o.missing == D);

	o = judge(1, 0x8000030d, 0); /* as KVM does it */
	DEMAND(o.verdict == GHCB_EXCEPTION && o.vector == 13 && o.error_code == 0);
	o = judge(1, 0x8000030dull | 0x99ull << 32, 0); /* no EV: not an error code */
	DEMAND(o.verdict == GHCB_EXCEPTION && o.error_code == 0);
	o = judge(1, 0x80000b0dull | 0x19aull << 32, 0);
	DEMAND(o.verdict == GHCB_EXCEPTION && o.vector == 13 && o.error_code == 0x19a);
	o = judge(1, 0x80000306, 0);
	DEMAND(o.verdict == GHCB_EXCEPTION && o.vector == 6);

	for (unsigned int vector = 0; vector < 256; vector++) {
		bool allowed = vector == 6 || vector == 13;

		DEMAND(verdict(1, 0x80000300 | vector) ==
		       (allowed ? GHCB_EXCEPTION : GHCB_INJECT_BAD_VECTOR));
	}
	for (unsigned int type = 0; type < 8; type++)
		DEMAND(verdict(1, 0x8000000d | type << 8) ==
		       (type == 3 ? GHCB_EXCEPTION : GHCB_INJECT_BAD_TYPE));
	for (unsigned int bit = 12; bit < 31; bit++)
		DEMAND(verdict(1, 0x8000030d | 1u << bit) == GHCB_INJECT_RESERVED_SET);
	DEMAND(verdict(1, 0x0000030d) == GHCB_INJECT_NOT_VALID);
	DEMAND(verdict(1, 0) == GHCB_INJECT_NOT_VALID);
	DEMAND(verdict(1, 0x80000b06) == GHCB_INJECT_BAD_CODE);
	DEMAND(verdict(1, 0x80000b0dull | 1ull << 48) == GHCB_INJECT_BAD_CODE);

	for (uint64_t reason = 0; reason < 0x10010; reason++) {
		bool defined = (reason >= 1 && reason <= 6) || reason >= 0x10000;

		o = judge(2, reason, 0);
		DEMAND(o.verdict == (defined ? GHCB_MALFORMED : GHCB_BAD_REASON));
		DEMAND(o.reason == reason);
	}
	DEMAND(verdict(3, 0) == GHCB_BAD_RESULT && verdict(0xffffffff, 0) == GHCB_BAD_RESULT);
}

/* A copy is what is judged: later changes of the page don't count. */
static void taken_once(void)
{
	static struct ghcb_page ghcb;
	struct ghcb_answer answer;

	ghcb_set(&ghcb, GHCB_RAX, 1);
	ghcb_take_answer(&ghcb, &answer);
	ghcb_set(&ghcb, GHCB_RAX, 2);
	ghcb_set(&ghcb, GHCB_RDX, 3);
	DEMAND(answer.value[GHCB_RAX] == 1 && answer.valid == A);
}

/* ---- MSR protocol ------------------------------------------------------ */

/* clang-format off */
static const struct {
	uint64_t value;
	struct ghcb_msr msr;
} msrs[] = {
	{ 0x0000000012345000, { .code = 0x000, .gfn = 0x12345 } },
	{ 0x000100012f000001, { .code = 0x001, .max_version = 1, .min_version = 1, .c_bit = 47 } },
	{ 0x0002000133000001, { .code = 0x001, .max_version = 2, .min_version = 1, .c_bit = 51 } },
	{ 0x0000000000000002, { .code = 0x002 } },
	{ 0x8000001f40000004, { .code = 0x004, .function = 0x8000001f, .reg = 1 } },
	{ 0x00000007c0000004, { .code = 0x004, .function = 7, .reg = 3 } },
	{ 0xdeadbeef80000005, { .code = 0x005, .value = 0xdeadbeef, .reg = 2 } },
	{ 0x0000000000000006, { .code = 0x006 } },
	{ 0x0000000000001007, { .code = 0x007, .sipi = 1 } },
	{ 0x0000000000000010, { .code = 0x010 } },
	{ 0xfffffffffffff011, { .code = 0x011, .gfn = GHCB_MSR_NO_GFN } },
	{ 0x0000000000007012, { .code = 0x012, .gfn = 7 } },
	{ 0x0000000000007013, { .code = 0x013, .gfn = 7 } },
	{ 0x001ffffffffff014, { .code = 0x014, .operation = 1, .gfn = 0xffffffffff } },
	{ 0x0020000000007014, { .code = 0x014, .operation = 2, .gfn = 7 } },
	{ 0x8000000000000015, { .code = 0x015, .error = 0x80000000 } },
	{ 0x0000000300000016, { .code = 0x016, .vmpl = 3 } },
	{ 0x0000000100000017, { .code = 0x017, .error = 1 } },
	{ 0x0000000000000080, { .code = 0x080 } },
	{ 0x0000000000003081, { .code = 0x081, .features = 3 } },
	{ 0x0000000000011100, { .code = 0x100, .reason_set = 1, .reason = 1 } },
	{ 0x0000000000ff0100, { .code = 0x100, .reason = 0xff } },
};
/* clang-format on */

static void msr_values(void)
{
	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		struct ghcb_msr msr;

		memset(&msr, 0, sizeof(msr)); /* padding, for memcmp */
		DEMAND(ghcb_msr_encode(&msrs[i].msr) == msrs[i].value);
		DEMAND(ghcb_msr_decode(msrs[i].value, &msr));
		DEMAND(ghcb_msr_encode(&msr) == msrs[i].value);
		DEMAND(msr.code == msrs[i].msr.code && msr.gfn == msrs[i].msr.gfn &&
		       msr.max_version == msrs[i].msr.max_version &&
		       msr.min_version == msrs[i].msr.min_version &&
		       msr.c_bit == msrs[i].msr.c_bit && msr.function == msrs[i].msr.function &&
		       msr.reg == msrs[i].msr.reg && msr.value == msrs[i].msr.value &&
		       msr.sipi == msrs[i].msr.sipi && msr.operation == msrs[i].msr.operation &&
		       msr.error == msrs[i].msr.error && msr.vmpl == msrs[i].msr.vmpl &&
		       msr.features == msrs[i].msr.features &&
		       msr.reason_set == msrs[i].msr.reason_set &&
		       msr.reason == msrs[i].msr.reason);
	}

	/* Codes that don't exist, and reserved bits. */
	static const uint64_t wrong[] = {
		0x003,
		0x008,
		0x018,
		0x082,
		0x101,
		0xfff,
		0x0001000100800001, /* SEV info, bit 23 */
		0x1002,
		0x0000000700001004,
		0x0000000700001005,
		0x1006,
		0x1010,
		0x0100000000007014,
		0x1015,
		0x0000010000000016,
		0x1017,
		0x1080,
		0x1000100,
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ghcb_msr msr;

		DEMAND(!ghcb_msr_decode(wrong[i], &msr));
	}
}

/* clang-format off */
static const struct {
	uint64_t request, response;
	enum ghcb_msr_verdict verdict;
} responses[] = {
	{ 0x002, 0x0002000133000001, GHCB_MSR_OK },
	{ 0x002, 0x002, GHCB_MSR_UNANSWERED },
	{ 0x002, 0x003, GHCB_MSR_WRONG_CODE },
	{ 0x002, 0x0001000233000001, GHCB_MSR_SENSELESS },
	{ 0x002, 0x0001000033000001, GHCB_MSR_SENSELESS },
	{ 0x002, 0x000200011f000001, GHCB_MSR_SENSELESS },
	{ 0x002, 0x0002000140000001, GHCB_MSR_SENSELESS },
	{ 0x002, 0x0002000133001001, GHCB_MSR_RESERVED_BITS },
	{ 0x8000001f40000004, 0x0000016f40000005, GHCB_MSR_OK },
	{ 0x8000001f40000004, 0x0000016f00000005, GHCB_MSR_WRONG_ECHO },
	{ 0x8000001f40000004, 0x0000016f40001005, GHCB_MSR_RESERVED_BITS },
	{ 0x8000001f40000004, 0x8000001f40000004, GHCB_MSR_UNANSWERED },
	{ 0x8000001f40000004, 0x8000001f00000004, GHCB_MSR_WRONG_CODE },
	{ 0x006, 0x007, GHCB_MSR_OK },
	{ 0x006, 0x1007, GHCB_MSR_OK },
	{ 0x010, 0xfffffffffffff011, GHCB_MSR_OK },
	{ 0x7012, 0x7013, GHCB_MSR_OK },
	{ 0x7012, 0x8013, GHCB_MSR_WRONG_ECHO },
	{ 0x7012, 0xfffffffffffff013, GHCB_MSR_REFUSED },
	{ 0x0010000000007014, 0x015, GHCB_MSR_OK },
	{ 0x0010000000007014, 0x8000000000000015, GHCB_MSR_REFUSED },
	{ 0x0010000000007014, 0x1015, GHCB_MSR_RESERVED_BITS },
	{ 0x0000000300000016, 0x017, GHCB_MSR_OK },
	{ 0x0000000300000016, 0x0000000100000017, GHCB_MSR_REFUSED },
	{ 0x080, 0x3081, GHCB_MSR_OK },
	{ 0x080, 0x080, GHCB_MSR_UNANSWERED },
	{ 0x7000, 0x7000, GHCB_MSR_NO_RESPONSE },
	{ 0x100, 0x101, GHCB_MSR_NO_RESPONSE },
	{ 0x005, 0x005, GHCB_MSR_NO_RESPONSE },
};
/* clang-format on */

static void msr_responses(void)
{
	struct ghcb_msr msr;

	for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++)
		DEMAND(ghcb_msr_check(responses[i].request, responses[i].response, &msr) ==
		       responses[i].verdict);
	DEMAND(ghcb_msr_check(0x8000001f40000004, 0x0000016f40000005, &msr) == GHCB_MSR_OK);
	DEMAND(msr.value == 0x16f && msr.reg == GHCB_CPUID_EBX);
}

static unsigned int negotiate(uint16_t minimum, uint16_t maximum)
{
	struct ghcb_msr info = {.code = 1, .min_version = minimum, .max_version = maximum};

	return ghcb_negotiate(&info, 1, 2);
}

static void versions(void)
{
	DEMAND(negotiate(1, 1) == 1 && negotiate(1, 2) == 2 && negotiate(2, 2) == 2);
	DEMAND(negotiate(1, 9) == 2 && negotiate(2, 9) == 2);
	DEMAND(negotiate(3, 9) == 0 && negotiate(0, 0) == 0);
}

/* ---- page state change ------------------------------------------------- */

static void psc(void)
{
	const struct psc_header start = {0, 5, 0};
	struct psc_header now = {6, 5, 0};

	DEMAND(psc_entry(0x12345, PSC_PRIVATE, false) == 0x0010000012345000);
	DEMAND(psc_entry(0x12200, PSC_SHARED, true) == 0x0120000012200000);
	DEMAND(psc_check(&start, &now, 0) == PSC_DONE);
	DEMAND(psc_check(&start, &now, 1ull << 32) == PSC_FAILED);
	now.current = 5;
	DEMAND(psc_check(&start, &now, 0) == PSC_AGAIN);
	now.current = 7;
	DEMAND(psc_check(&start, &now, 0) == PSC_NO_SENSE);
	now = (struct psc_header){3, 4, 0};
	DEMAND(psc_check(&start, &now, 0) == PSC_NO_SENSE);
	now = (struct psc_header){3, 5, 1};
	DEMAND(psc_check(&start, &now, 0) == PSC_NO_SENSE);
	now = (struct psc_header){0, 5, 0};
	DEMAND(psc_check(&(struct psc_header){1, 5, 0}, &now, 0) == PSC_NO_SENSE);
}

int main(void)
{
	page();
	event_fields();
	answers();
	taken_once();
	msr_values();
	msr_responses();
	versions();
	psc();
	printf("8 groups, 0 wrong\n");
	return 0;
}
