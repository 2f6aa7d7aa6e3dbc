/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include "string.h"

#define LINE_BYTES 1024

static const struct report_machine *machine;
static unsigned done, verdicts[3];
static char current[128] = "start-up";

static void write_line(char *line, size_t wanted)
{
	size_t length = wanted < LINE_BYTES - 1 ? wanted : LINE_BYTES - 1;

	for (size_t i = 0; i < length; i++)
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	line[length++] = '\n';
	machine->write(line, length);
}

static void print_line(const char *prefix, const char *format, va_list args)
{
	char line[LINE_BYTES];
	struct text text;

	text_init(&text, line, sizeof(line));
	text_append(&text, "%s", prefix);
	text_vappend(&text, format, args);
	write_line(line, text.length);
}

static void PRINTF_LIKE(1, 2) print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("", format, args);
	va_end(args);
}

void report_attach(const struct report_machine *m)
{
	machine = m;
}

void report_open(const struct report_machine *m)
{
	report_attach(m);
	print("KTAP version 1");
}

void report_plan(unsigned points)
{
	print("1..%u", points);
}

void report_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("# ", format, args);
	va_end(args);
}

void report_line(const char *word, const char *text)
{
	print("# %s %s", word, text);
}

void report_begin(const char *point)
{
	snprintf(current, sizeof(current), "%s", point);
}

const char *report_current(void)
{
	return current;
}

void report_result(enum verdict verdict, const char *reason)
{
	verdicts[verdict]++;
	done++;
	if (verdict == SKIP)
		print("ok %u %s # SKIP %s", done, current, reason);
	else
		print("%s %u %s", verdict == PASS ? "ok" : "not ok", done, current);
}

void report_finish(void)
{
	print("# Totals: pass:%u fail:%u skip:%u", verdicts[PASS], verdicts[FAIL], verdicts[SKIP]);
	machine->end(verdicts[FAIL] ? EXIT_FAILED : EXIT_GOOD);
}

void report_bail_out(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("Bail out! ", format, args);
	va_end(args);
	machine->end(EXIT_BAILED_OUT);
}
