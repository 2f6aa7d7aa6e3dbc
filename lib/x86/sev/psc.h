/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buffer of a page state change (SNP) and the check of its answer.
 *
 * Source: GHCB specification rev. 2.04, section 4.1.6.
 */
#ifndef LIB_X86_PSC_H
#define LIB_X86_PSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PSC_MAX_ENTRIES 253

enum psc_operation {
	PSC_PRIVATE = 1,
	PSC_SHARED = 2,
	PSC_PSMASH = 3,
	PSC_UNSMASH = 4,
};

struct psc_header {
	uint16_t current; /* index of the first entry not done */
	uint16_t end;	  /* index of the last entry */
	uint32_t reserved;
};

/* Lies at the start of the GHCB's shared buffer. */
struct psc_buffer {
	struct psc_header header;
	uint64_t entry[PSC_MAX_ENTRIES];
};

_Static_assert(offsetof(struct psc_buffer, entry) == 8, "PSC header");
_Static_assert(sizeof(struct psc_buffer) == 2032, "PSC buffer fills the shared buffer");

/**
 * psc_entry - one entry of the buffer
 * @gfn:       page frame number, 40 bits; of a large page its first
 * @operation: enum psc_operation
 * @large:     a 2 MiB page
 */
uint64_t psc_entry(uint64_t gfn, enum psc_operation operation, bool large);

enum psc_verdict {
	PSC_DONE,
	PSC_AGAIN,    /* not at the end yet: VMGEXIT again with the same buffer */
	PSC_FAILED,   /* SW_EXITINFO2 says why */
	PSC_NO_SENSE, /* header changed in a way that no hypervisor may */
};

/**
 * psc_check - judge the answer to one VMGEXIT of a page state change
 * @before: header as the guest had left it
 * @after:  header, copied once out of the shared buffer after VMGEXIT
 * @info2:  SW_EXITINFO2 of the answer
 *
 * The caller bounds the number of calls: PSC_AGAIN doesn't promise progress.
 */
enum psc_verdict psc_check(const struct psc_header *before, const struct psc_header *after,
			   uint64_t info2);

#endif
