/* SPDX-License-Identifier: BSD-2-Clause */
#include "asid.h"

#include "base/options.h"
#include "base/sev_cpuid.h"
#include "memory/views.h"

static struct {
	bool used, wants_flush;
} asids[SEV_ASIDS + 1];

enum sev_error asid_take(unsigned asid, bool sealed)
{
	if (!asid || asid > SEV_ASIDS)
		return SEV_INVALID_ASID;
	if (features.es && sealed != (asid < SEV_MIN_ASID))
		return SEV_INVALID_ASID;
	if (asids[asid].used)
		return SEV_ASID_OWNED;
	if (asids[asid].wants_flush)
		return SEV_DFFLUSH_REQUIRED;
	asids[asid].used = true;
	views_new_key(asid);
	return SEV_OK;
}

void asid_leave(unsigned asid, bool flush)
{
	if (!asid)
		return;
	asids[asid].used = false;
	asids[asid].wants_flush |= flush;
}

void asid_flush(void)
{
	for (unsigned i = 0; i <= SEV_ASIDS; i++)
		asids[i].wants_flush = false;
}
