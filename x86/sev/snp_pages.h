/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests about SEV-SNP share (snp.c, snp_ghcb.c): a few pages whose state a case changes. */
#ifndef X86_SNP_PAGES_H
#define X86_SNP_PAGES_H

#include "trapline.h"

#include "x86/sev/snp.h"

#define PAGES 3

/* Validated between cases, as all memory. */
static uint8_t pages[PAGES][PAGE_BYTES] __attribute__((aligned(4096)));
#define SUBJECT ((uint64_t)pages[0])

/* In order, whatever the case before has made of them. */
static inline void need_pages(void)
{
	need_snp();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
	for (unsigned i = 0; i < PAGES; i++) {
		snp_page_state((uint64_t)pages[i], GHCB_PAGE_PRIVATE);
		pvalidate((uint64_t)pages[i], SNP_SIZE_4K, true);
	}
	notation_name("page", SUBJECT, PAGE_BYTES);
}

#endif
