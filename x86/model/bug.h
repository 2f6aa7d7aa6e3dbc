/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bugs on demand: each is one switch, asked for at the place where the right behaviour stands. The ids
 * are those of bugs.toml; `bug=ID[,ID]` in the model's argument block switches them on.
 */
#ifndef MODEL_BUG_H
#define MODEL_BUG_H

#include <stdbool.h>

enum model_bug {
#define BUG(name, id) BUG_##name,
#include "bugs.def"
#undef BUG
	BUG_COUNT
};

/* Whether the model is to have this bug. */
#define bug(name) bug_is_on(BUG_##name)
bool bug_is_on(enum model_bug which);

/* Switches on the bugs of a comma list; the first unknown id, or NULL. */
const char *bugs_switch_on(const char *list);

#endif
