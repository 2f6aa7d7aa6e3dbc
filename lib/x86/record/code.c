/* SPDX-License-Identifier: BSD-2-Clause */
#include "code.h"

#include <stdbool.h>
#include <stddef.h>

const struct mark *mark_before(const struct code *code, uint64_t offset)
{
	const struct mark *best = NULL;
	uint64_t linked = offset + (uint64_t)code->start;

	for (const struct mark *m = code->marks; m != code->marks_end; m++)
		if (m->address <= linked && (!best || m->address > best->address))
			best = m;
	return best;
}
