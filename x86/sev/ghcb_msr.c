/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GHCB MSR protocol: what a guest under SEV-ES can ask before it has a page, and some of it ever after.
 *
 * The rule. Bits 11:0 of the MSR are a code. A request's response has a code of its own and replaces it; so a
 * guest can see that it was answered. A hypervisor that does not know a request leaves the MSR as it is,
 * and so does KVM. What needs a second CPU is in ghcb_ap.c, what only SEV-SNP has in snp_ghcb.c.
 *
 * A buggy hypervisor answers another question, or what it does not know; then the guest boots with a wrong C-bit,
 * or runs on where a request was never carried out.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf
 */
#include "trapline.h"

#include "x86/sev/ghcb_msr.h"

#define RULE_MSR "GHCB 2.3.1, GHCB MSR Protocol"
#define RULE_VMPL "GHCB 2.3.1, Run VMPL Request: an error, unless there is such a level to run"

static void need_protocol(void)
{
	need_es();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
}

static void check_alive(void)
{
	check(cpuid(0, 0).a, "the next #VC, of CPUID, is not served");
}

CASE(sev_info, CPL0, RULE_MSR, CATCHES("model-ghcb-info-once model-ghcb-version-range"))
{
	struct ghcb_msr ask = {.code = GHCB_MSR_SEV_INFO_REQUEST}, m;
	uint64_t request = ghcb_msr_encode(&ask);

	need_protocol();
	check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK, "no response");
	check(1ul << m.c_bit == sev_c_bit, "C-bit %u", m.c_bit);
	check(m.min_version <= sev_ghcb_version() && sev_ghcb_version() <= m.max_version,
	      "versions %u to %u", m.min_version, m.max_version);
}

CASE(cpuid, CPL0, RULE_MSR, CATCHES("model-ghcb-msr-cpuid-mixed"))
{
	static const uint32_t leaves[] = {0, 0x80000000, 0x80000001, 0x40000000};

	need_protocol();
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

/* Codes of nothing, and those of responses, which no guest sends. */
CASE(unknown, CPL0, RULE_MSR, CATCHES("model-ghcb-msr-unknown"))
{
	static const uint64_t codes[] = {0x005, 0x007, 0x008, 0x00a, 0x017,
					 0x020, 0x081, 0x0fe, 0xffe};

	need_protocol();
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		uint64_t value = codes[i] | 0x123456ul << 12, response = sev_msr_call(value);

		check(response == value, "code %#lx: the MSR became %#lx", codes[i], response);
	}
	check_alive();
}

/* Nobody has prepared another level; a hypervisor may know no levels at all. */
CASE(run_vmpl, CPL0, RULE_VMPL, CATCHES("model-ghcb-msr-unknown"))
{
	struct ghcb_msr ask = {.code = GHCB_MSR_RUN_VMPL_REQUEST, .vmpl = 1}, m;
	uint64_t request = ghcb_msr_encode(&ask), response;
	enum ghcb_msr_verdict verdict;

	need_protocol();
	response = sev_msr_call(request);
	verdict = ghcb_msr_check(request, response, &m);
	check(verdict == GHCB_MSR_REFUSED || verdict == GHCB_MSR_UNANSWERED,
	      "the MSR became %#lx: %s", response, ghcb_msr_verdict_name(verdict));
	check_alive();
}
