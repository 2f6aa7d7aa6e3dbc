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

/*
 * Whether the model is to have this bug. Ask where it makes a difference, and nowhere else: a case in which
 * nobody asks cannot meet the bug (reach.h).
 */
#define bug(name) bug_is_on(BUG_##name)
bool bug_is_on(enum model_bug which);

/* Whether the question may come up: for intercepts that only a bug needs. */
#define bug_may_come(name) bug_is_expected(BUG_##name)
bool bug_is_expected(enum model_bug which);

/* The same for what disturbs L2 too much to be arranged for a listener. */
#define bug_is_set(name) bug_is_switched_on(BUG_##name)
bool bug_is_switched_on(enum model_bug which);

bool bug_was_asked(enum model_bug which);
void bugs_forget_asked(void);

/* Switches on the bugs of a comma list; the first unknown id, or NULL. */
const char *bugs_switch_on(const char *list);

#endif
