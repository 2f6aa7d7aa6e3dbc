/* SPDX-License-Identifier: BSD-2-Clause */
#include "ghcb_snp.h"

#include "ap.h"
#include "bug.h"
#include "memory.h"
#include "rmp.h"
#include "sev.h"
#include "smp.h"

#include "x86/cpu/paging.h"
#include "x86/sev/psc.h"
#include "x86/sev/snp_ap.h"

#define PAGES_IN_BLOCK 512
#define STATE_REFUSED 1
#define SEV_FEATURES 1 /* SNP, and no more */

/* SW_EXITINFO2 of a page state change, and of a guest request that nobody serves. */
#define PSC_BAD_HEADER (1ul << 32 | 1)
#define PSC_BAD_ENTRY (1ul << 32 | 2)
#define PSC_GENERIC (0x100ul << 32)
#define REQUEST_GENERIC (0xfffffffful << 32)

/* RMPUPDATE for one page, as asked for. */
static bool change(struct vcpu *v, uint64_t gfn, unsigned operation)
{
	uint64_t gpa = gfn * PAGE_BYTES;
	bool to_guest = operation == PSC_PRIVATE, was_valid;

	if ((operation != PSC_PRIVATE && operation != PSC_SHARED) || !rmp_covers(gpa))
		return false;
	was_valid = rmp_is_validated(gpa);
	rmp_assign(v, gpa, to_guest);
	if (bug(SNP_PSC_KEEPS_VALIDATED) && (was_valid || to_guest))
		rmp_validate(v, gpa, true);
	return true;
}

bool ghcb_snp_msr(struct vcpu *v, const struct ghcb_msr *request, struct ghcb_msr *answer)
{
	switch (request->code) {
	case GHCB_MSR_PREFERRED_GPA_REQUEST:
		answer->code = bug(SNP_PREFERRED) ? request->code : GHCB_MSR_PREFERRED_GPA_RESPONSE;
		answer->gfn = GHCB_MSR_NO_GFN;
		return true;
	case GHCB_MSR_REGISTER_GPA_REQUEST:
		if (!bug(SNP_REGISTER_ONCE) || !v->registered_ghcb)
			v->registered_ghcb = request->gfn * PAGE_BYTES;
		answer->code = GHCB_MSR_REGISTER_GPA_RESPONSE;
		answer->gfn = request->gfn;
		return true;
	case GHCB_MSR_PAGE_STATE_REQUEST:
		answer->code = GHCB_MSR_PAGE_STATE_RESPONSE;
		if (!change(v, request->gfn, request->operation) && !bug(SNP_PSC_NEVER_FAILS))
			answer->error = STATE_REFUSED;
		return true;
	}
	return false;
}

bool ghcb_snp_is_registered(const struct vcpu *v, uint64_t gpa)
{
	return gpa == v->registered_ghcb || bug(SNP_UNREGISTERED);
}

/* -- By the page. ------------------------------------------------------------------------------ */

static uint64_t change_entry(struct vcpu *v, uint64_t entry)
{
	uint64_t gfn = entry >> 12 & 0xffffffffff, pages = entry >> 56 & 1 ? PAGES_IN_BLOCK : 1;
	uint64_t done = entry & 0xfff;

	if (done > pages || gfn % pages)
		return bug(SNP_PSC_ENTRY) ? 0 : PSC_BAD_ENTRY;
	for (; done < pages; done++)
		if (!change(v, gfn + done, entry >> 52 & 15))
			return PSC_GENERIC;
	return 0;
}

uint64_t ghcb_snp_page_states(struct vcpu *v, volatile void *buffer)
{
	volatile struct psc_buffer *psc = buffer;
	/* Read once: L2 may write to it meanwhile. */
	unsigned current = psc->header.current, end = psc->header.end;

	if (end >= PSC_MAX_ENTRIES && !bug(SNP_PSC_HEADER))
		return PSC_BAD_HEADER;
	for (; current <= end && current < PSC_MAX_ENTRIES; current++) {
		uint64_t entry = psc->entry[current], result;

		if (bug(SNP_PSC_FIRST_ALONE) && current > psc->header.current)
			continue;
		result = change_entry(v, entry);
		if (result) {
			psc->header.current = current;
			return result;
		}
		psc->entry[current] = (entry & ~0xffful) | (entry >> 56 & 1 ? PAGES_IN_BLOCK : 1);
	}
	psc->header.current = current;
	return 0;
}

/* There is no AMD-SP here; what it would be asked is checked all the same. */
bool ghcb_snp_guest_request(uint64_t request, uint64_t response, uint64_t *info2)
{
	*info2 = bug(SNP_REQUEST_UNCHECKED) ? 0 : REQUEST_GENERIC;
	if (bug(SNP_REQUEST_UNCHECKED))
		return true;
	return request != response && request % PAGE_BYTES == 0 && response % PAGE_BYTES == 0 &&
	       sev_shared(request, PAGE_BYTES) && sev_shared(response, PAGE_BYTES);
}

static bool is_vmsa_address(uint64_t gpa)
{
	/* KVM refuses 2 MiB boundaries, for an erratum. */
	return gpa % PAGE_BYTES == 0 && gpa % BLOCK_BYTES && rmp_covers(gpa);
}

bool ghcb_snp_ap_creation(uint64_t info1, uint64_t info2, uint64_t features)
{
	struct vcpu *v = NULL;

	for (unsigned i = 0; i < smp_count(); i++)
		if (i == info1 >> 32)
			v = smp_vcpu(i);
	if (!v || info1 >> 16 & 0xffff)
		return bug(SNP_AP_UNCHECKED);
	if ((info1 & 0xffff) == SNP_AP_DESTROY) {
		ap_destroy(v);
		return true;
	}
	if (features != SEV_FEATURES || !is_vmsa_address(info2))
		return bug(SNP_AP_UNCHECKED);
	switch (info1 & 0xffff) {
	case SNP_AP_CREATE:
		ap_create(v, info2);
		return true;
	case SNP_AP_ON_INIT:
		ap_create_on_init(v, info2);
		return true;
	}
	return bug(SNP_AP_UNCHECKED);
}
