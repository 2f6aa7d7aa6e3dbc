/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include "printf.h"
#include "string.h"

struct features features = {
#define FEATURE(name, usual, what) .name = usual,
#include "features.def"
#undef FEATURE
};
bool tracing;
bool correction_off[CORRECTIONS];

static const struct {
	const char *name;
	bool *on;
} names[] = {
#define FEATURE(name, usual, what) {#name, &features.name},
#include "features.def"
#undef FEATURE
};

static const char *const ids[] = {
#define CORRECT(name, id, how) id,
#include "correct.def"
#undef CORRECT
};

static char complaint[160];

static bool set_feature(const char *name, bool on)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].name, name)) {
			*names[i].on = on;
			return true;
		}
	return false;
}

static bool with(const char *name)
{
	return set_feature(name, true);
}

static bool without(const char *name)
{
	return set_feature(name, false);
}

static bool as_is(const char *id)
{
	bool found = false;

	for (unsigned i = 0; i < CORRECTIONS; i++)
		if (!strcmp(ids[i], id) || !strcmp(id, "all"))
			correction_off[i] = found = true;
	return found;
}

/* Each of NAME,NAME,… */
static bool each(const char *list, const char *word, bool (*obey)(const char *))
{
	char name[48];

	for (;;) {
		size_t n = 0;

		while (list[n] && list[n] != ',')
			n++;
		if (n < sizeof(name)) {
			memcpy(name, list, n);
			name[n] = '\0';
			if (obey(name)) {
				if (!list[n])
					return true;
				list += n + 1;
				continue;
			}
		}
		snprintf(complaint, sizeof(complaint), "%s: nothing is known by the name of '%s'",
			 word, list);
		return false;
	}
}

static bool obey(const char *word)
{
	if (!strcmp(word, "l0.trace")) {
		tracing = true;
		return true;
	}
	if (starts_with(word, "l0.without="))
		return each(word + strlen("l0.without="), word, without);
	if (starts_with(word, "l0.with="))
		return each(word + strlen("l0.with="), word, with);
	if (starts_with(word, "l0.as-is="))
		return each(word + strlen("l0.as-is="), word, as_is);
	snprintf(complaint, sizeof(complaint), "%s: the monitor has no such option", word);
	return false;
}

const char *options_take(char *line)
{
	char *to = line;

	complaint[0] = '\0';
	for (char *from = line; *from;) {
		size_t n = 0;
		char *next;

		while (from[n] && from[n] != ' ')
			n++;
		next = from + n + (from[n] != '\0');
		from[n] = '\0';
		if (starts_with(from, "l0.")) {
			if (!obey(from))
				return complaint;
		} else if (n) {
			if (to != line)
				*to++ = ' ';
			memmove(to, from, n);
			to += n;
		}
		from = next;
	}
	*to = '\0';
	features.es &= features.sev;
	features.views &= features.sev;
	features.snp &= features.es && features.views;
	return NULL;
}
