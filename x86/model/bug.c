/* SPDX-License-Identifier: BSD-2-Clause */
#include "bug.h"

#include "reach.h"

#include "string.h"

static const char *const ids[] = {
#define BUG(name, id) id,
#include "bugs.def"
#undef BUG
};

static bool on[BUG_COUNT], asked[BUG_COUNT];

bool bug_is_on(enum model_bug which)
{
	asked[which] = true;
	return on[which];
}

bool bug_is_expected(enum model_bug which)
{
	return on[which] || reach_is_on();
}

bool bug_is_switched_on(enum model_bug which)
{
	return on[which];
}

bool bug_was_asked(enum model_bug which)
{
	return asked[which];
}

void bugs_forget_asked(void)
{
	memset(asked, 0, sizeof(asked));
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
