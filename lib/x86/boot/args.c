/* SPDX-License-Identifier: BSD-2-Clause */
#include "args.h"

#include "panic.h"
#include "string.h"

#include <stdint.h>

#define PVH_MAGIC 0x336ec578
#define EFI_MAGIC 0x20494645 /* "EFI " (boot/efi.S) */

struct args args = {.seed = 1, .apic_step = 1, .deadline = 6ul << 30};

/* The runner writes behind the magic, in a copy of the image. docs/contract.md has the size. */
#define MAGIC "TRAPLINE-ARGS-1\n"
static volatile char block[4096] __attribute__((section(".data"), aligned(16))) = MAGIC;

static const char *container = "rom";

const char *boot_container(void)
{
	return container;
}

static unsigned word_length(const char *text)
{
	unsigned n = 0;

	while (text[n] > ' ')
		n++;
	return n;
}

static unsigned long number_of(const char *word, const char *value)
{
	unsigned long number;

	if (!parse_number(&value, &number) || *value > ' ')
		panic("argument '%.40s' is not a number", word);
	return number;
}

static bool word_is(const char *word, const char *whole)
{
	return word_length(word) == strlen(whole) && starts_with(word, whole);
}

static void parse_word(const char *word)
{
	if (starts_with(word, "points="))
		args.points = word + 7;
	else if (starts_with(word, "cases="))
		args.cases = word + 6;
	else if (starts_with(word, "environment="))
		args.environment = word + 12;
	else if (starts_with(word, "layers="))
		args.layers = word + 7;
	else if (starts_with(word, "cpus="))
		args.cpus = number_of(word, word + 5);
	else if (starts_with(word, "apicstep="))
		args.apic_step = number_of(word, word + 9);
	else if (starts_with(word, "seed="))
		args.seed = number_of(word, word + 5);
	else if (word_is(word, "patience=short"))
		args.patience = PATIENCE_SHORT;
	else if (word_is(word, "patience=all"))
		args.patience = PATIENCE_ALL;
	else if (starts_with(word, "deadline="))
		args.deadline = number_of(word, word + 9);
	else if (word_is(word, "console=words"))
		args.console = CONSOLE_WORDS;
	else if (word_is(word, "console=lines"))
		args.console = CONSOLE_LINES;
	else if (word_is(word, "breadth=edges"))
		args.edges_only = true;
	else if (word_is(word, "cold=pages"))
		args.cold_page_by_page = true;
	else if (word_is(word, "waits=yield"))
		args.waits_yield = true;
	else
		panic("unknown argument '%.40s'", word);
}

static void parse_text(const char *text)
{
	while (*text) {
		if (word_length(text))
			parse_word(text);
		text += word_length(text);
		while (*text && *text <= ' ')
			text++;
	}
}

struct pvh_start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line;
};

void args_parse(unsigned long start_info)
{
	const struct pvh_start_info *info = (const void *)start_info;

	parse_text((const char *)block + sizeof(MAGIC) - 1);
	if (info && info->magic == EFI_MAGIC)
		container = "efi";
	if (!info || info->magic != PVH_MAGIC)
		return;
	container = "pvh";
	if (info->command_line)
		parse_text((const char *)info->command_line);
}

static uint8_t points[MAX_POINTS / 8];

/* args.points, once: it is asked for each point of the guest, twice. */
static void read_points(void)
{
	const char *list = args.points;
	unsigned long first, last;

	while (parse_number(&list, &first)) {
		last = first;
		if (*list == '-') {
			list++;
			if (!parse_number(&list, &last))
				break;
		}
		for (; first <= last && first < MAX_POINTS; first++)
			points[first / 8] |= 1u << first % 8;
		if (*list != ',')
			break;
		list++;
	}
	if (*list > ' ')
		panic("bad list of points at '%.40s'", list);
}

bool args_have_point(unsigned point)
{
	static bool read;

	if (!args.points)
		return true;
	if (!read)
		read_points();
	read = true;
	if (point >= MAX_POINTS)
		panic("more than %u points", MAX_POINTS);
	return points[point / 8] & 1u << point % 8;
}

static bool item_is(const char *item, unsigned length, const char *name, const char *suffix)
{
	unsigned n = strlen(name), s = strlen(suffix);

	if (length < n || strncmp(item, name, n) != 0)
		return false;
	if (length == n)
		return true;
	return length == n + 1 + s && item[n] == ':' && strncmp(item + n + 1, suffix, s) == 0;
}

bool list_has_name(const char *list, const char *name, const char *suffix)
{
	unsigned length;

	if (!list)
		return true;
	for (; *list > ' '; list += length + (list[length] == ',')) {
		for (length = 0; list[length] > ' ' && list[length] != ','; length++)
			;
		if (item_is(list, length, name, suffix))
			return true;
	}
	return false;
}
