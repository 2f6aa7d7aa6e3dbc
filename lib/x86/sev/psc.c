/* SPDX-License-Identifier: BSD-2-Clause */
/* Page state change; see psc.h. */
#include "psc.h"

uint64_t psc_entry(uint64_t gfn, enum psc_operation operation, bool large)
{
	return (gfn & 0xffffffffff) << 12 | (uint64_t)(operation & 15) << 52 |
	       (uint64_t)large << 56;
}

enum psc_verdict psc_check(const struct psc_header *before, const struct psc_header *after,
			   uint64_t info2)
{
	if (after->end != before->end || after->reserved != before->reserved ||
	    after->current < before->current || after->current > before->end + 1)
		return PSC_NO_SENSE;
	if (info2)
		return PSC_FAILED;
	return after->current > after->end ? PSC_DONE : PSC_AGAIN;
}
