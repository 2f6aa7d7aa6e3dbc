/* SPDX-License-Identifier: BSD-2-Clause */
#include "order.h"

#include <stddef.h>
#include <string.h>

/* The decimal number at *text, which moves behind it. */
static unsigned long number(const char **text)
{
	unsigned long value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + *(*text)++ - '0';
	return value;
}

static void skip_blanks(const char **text)
{
	while (**text == ' ')
		++*text;
}

/* The word at *text, which moves to the next; false if there is none or it is longer than that. */
static bool word(const char **text, char *to, size_t size)
{
	size_t length = 0;

	while ((*text)[length] && (*text)[length] != ' ')
		length++;
	if (!length || length >= size)
		return false;
	memcpy(to, *text, length);
	to[length] = '\0';
	*text += length;
	skip_blanks(text);
	return true;
}

bool order_is_whole(char *line)
{
	char *mark = NULL;
	const char *digits;

	for (char *c = line; *c; c++)
		if (*c == '#')
			mark = c;
	if (!mark)
		return false;
	digits = mark + 1;
	if (number(&digits) != (unsigned long)(mark - line) || *digits)
		return false;
	memset(mark, 0, strlen(mark));
	return true;
}

bool order_to_run(const char *line, struct run_order *order)
{
	const char *at = line + strlen("run ");

	if (strncmp(line, "run ", strlen("run ")) || !word(&at, order->image, sizeof(order->image)))
		return false;
	for (const char *c = order->image; *c; c++)
		if (*c == '/')
			return false;
	if (*at < '0' || *at > '9')
		return false;
	order->cpus = number(&at);
	skip_blanks(&at);
	if (!word(&at, order->options, sizeof(order->options)))
		return false;
	order->words = at;
	return true;
}

bool has_option(const char *options, const char *word)
{
	size_t length = strlen(word);
	const char *at = options;

	while (*at) {
		if (!strncmp(at, word, length) && (at[length] == ',' || !at[length]))
			return true;
		while (*at && *at != ',')
			at++;
		at += *at == ',';
	}
	return false;
}
