/* SPDX-License-Identifier: BSD-2-Clause */
#include "bug.h"

#include "string.h"

static const char *const ids[] = {
#define BUG(name, id) id,
#include "bugs.def"
#undef BUG
};

static bool on[BUG_COUNT];

bool bug_is_on(enum model_bug which)
{
	return on[which];
}

static bool switch_on(const char *id, unsigned length)
{
	for (unsigned i = 0; i < BUG_COUNT; i++) {
		if (strlen(ids[i]) == length && strncmp(ids[i], id, length) == 0)
			return on[i] = true;
	}
	return false;
}

const char *bugs_switch_on(const char *list)
{
	unsigned length;

	for (; *list > ' '; list += length + (list[length] == ',')) {
		for (length = 0; list[length] > ' ' && list[length] != ','; length++)
			;
		if (!switch_on(list, length))
			return list;
	}
	return NULL;
}
