/* SPDX-License-Identifier: BSD-2-Clause */
#include "snp.h"

#include "sev.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"

#define LINE_BYTES 64

bool snp_validate(uint64_t address, bool valid)
{
	struct pvalidate_result r = pvalidate(address, SNP_SIZE_4K, valid);
	const volatile uint8_t *page = (const volatile uint8_t *)(address & ~(PAGE_BYTES - 1));

	if (r.code != SNP_DONE || r.unchanged)
		return false;
	/* CPUID 8000001F, EBX bit 31: without it, old ciphertext may still lie in the caches. */
	if (valid) {
		(void)page[0];
		(void)page[PAGE_BYTES - LINE_BYTES];
	}
	return true;
}

static bool ask(const struct ghcb_msr *request)
{
	uint64_t value = ghcb_msr_encode(request);
	struct ghcb_msr answer;

	return ghcb_msr_check(value, sev_msr_call(value), &answer) == GHCB_MSR_OK;
}

bool snp_page_state(uint64_t gpa, unsigned operation)
{
	struct ghcb_msr request = {.code = GHCB_MSR_PAGE_STATE_REQUEST,
				   .gfn = gpa / PAGE_BYTES,
				   .operation = operation};

	return ask(&request);
}

bool snp_register_ghcb(uint64_t gpa)
{
	struct ghcb_msr request = {.code = GHCB_MSR_REGISTER_GPA_REQUEST, .gfn = gpa / PAGE_BYTES};

	return ask(&request);
}

bool snp_share(uint64_t address)
{
	uint64_t *pte = paging_pte(address);

	if (!snp_validate(address, false) || !snp_page_state(address, GHCB_PAGE_SHARED))
		return false;
	*pte &= ~sev_c_bit;
	invlpg(address);
	return true;
}

bool snp_claim(uint64_t address)
{
	*paging_pte(address) |= sev_c_bit;
	invlpg(address);
	return snp_page_state(address, GHCB_PAGE_PRIVATE) && snp_validate(address, true);
}
