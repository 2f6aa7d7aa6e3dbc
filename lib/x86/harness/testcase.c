/* SPDX-License-Identifier: BSD-2-Clause */
#include "testcase.h"

#include "judge.h"
#include "x86/record/notation.h"
#include "x86/record/recording.h"
#include "x86/record/setup.h"

#include "report.h"
#include "string.h"

#define MAX_ALLOWED 8
#define TRACE_BYTES 900

/* The point that is running. */
static struct {
	unsigned allowed_used;
	bool per_run, failed, checked, cut; /* cut: need() ended it */
	char skip[160];
} now;

void *case_exit[5];

static struct {
	const char *reference;
	char trace[TRACE_BYTES];
} allowed[MAX_ALLOWED];

void judge_begin(void)
{
	memset(&now, 0, sizeof(now));
}

void judge_fail(void)
{
	now.failed = true;
}

static void add_allowed(const char *reference, const char *format, va_list args)
{
	if (now.allowed_used == MAX_ALLOWED)
		return;
	allowed[now.allowed_used].reference = reference;
	vsnprintf(allowed[now.allowed_used++].trace, TRACE_BYTES, format, args);
}

void expect(const char *format, ...)
{
	va_list args;

	now.allowed_used = 0;
	va_start(args, format);
	add_allowed(NULL, format, args);
	va_end(args);
}

void allow(const char *reference, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_allowed(reference, format, args);
	va_end(args);
}

void allow_run(const char *format, ...)
{
	va_list args;

	now.per_run = setup.runs_unordered = true;
	va_start(args, format);
	add_allowed(NULL, format, args);
	va_end(args);
}

static void vnote(const char *format, va_list args)
{
	char text[300];

	vsnprintf(text, sizeof(text), format, args);
	report_line("note", text);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vnote(format, args);
	va_end(args);
}

void value(const char *name, unsigned long number, const char *unit)
{
	report_note("value %s %lu %s", name, number, unit);
}

void check(bool holds, const char *format, ...)
{
	va_list args;

	now.checked = true;
	if (holds)
		return;
	now.failed = true;
	va_start(args, format);
	vnote(format, args);
	va_end(args);
}

static void set_skip(const char *prefix, const char *format, va_list args)
{
	struct text text;

	if (now.skip[0])
		return;
	text_init(&text, now.skip, sizeof(now.skip));
	text_append(&text, "%s", prefix);
	text_vappend(&text, format, args);
}

void witness(bool held, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	if (!held)
		set_skip("no witness: ", what, args);
	va_end(args);
}

static void __attribute__((noreturn))
end_skipped(const char *prefix, const char *format, va_list args)
{
	set_skip(prefix, format, args);
	now.cut = true;
	__builtin_longjmp(case_exit, 1);
}

void need(bool holds, const char *reason, ...)
{
	va_list args;

	if (holds)
		return;
	va_start(args, reason);
	end_skipped("", reason, args);
}

void need_of_machine(bool has, const char *what, ...)
{
	va_list args;

	if (has)
		return;
	va_start(args, what);
	end_skipped("lacks ", what, args);
}

static bool run_is_allowed(const char *run)
{
	for (unsigned i = 0; i < now.allowed_used; i++)
		if (strcmp(allowed[i].trace, run) == 0)
			return true;
	return false;
}

static bool every_run_is_allowed(const struct trace *trace)
{
	char buffer[TRACE_BYTES];

	for (unsigned i = 0; i < trace->groups_used; i++) {
		struct text run;

		text_init(&run, buffer, sizeof(buffer));
		notation_group(&run, trace, &trace->groups[i]);
		if (!run_is_allowed(buffer))
			return false;
	}
	return !trace->full;
}

/* CPUs besides the first appear only where they recorded something. */
static void observed_text(struct text *out)
{
	for (unsigned i = 0; i < MAX_CPUS; i++) {
		const struct trace *trace = recordings[i].trace;

		if (i && (!trace || !trace->groups_used))
			continue;
		if (i)
			text_append(out, " | cpu%u: ", i);
		if (now.per_run)
			notation_distinct(out, trace);
		else
			notation_trace(out, trace);
	}
}

static void print_allowed(void)
{
	for (unsigned i = 0; i < now.allowed_used; i++) {
		if (allowed[i].reference)
			report_note("allowed %s -- %s", allowed[i].trace, allowed[i].reference);
		else if (now.per_run)
			report_note("allowed %s -- in any run", allowed[i].trace);
		else
			report_line("expected", allowed[i].trace);
	}
}

void judge_point(void)
{
	char observed[TRACE_BYTES];
	struct text text;
	bool good;

	/* What it had expected by then says nothing. */
	if (now.cut && !now.failed) {
		report_result(SKIP, now.skip);
		return;
	}
	text_init(&text, observed, sizeof(observed));
	observed_text(&text);
	if (now.per_run)
		good = every_run_is_allowed(recordings[0].trace);
	else
		good = !now.allowed_used || run_is_allowed(observed);
	if (!good)
		now.failed = true;
	if (!now.allowed_used && !now.checked) {
		now.failed = true;
		note("the case expected nothing and checked nothing");
	}
	if (!now.failed && now.skip[0]) {
		report_result(SKIP, now.skip);
		return;
	}
	if (now.failed || now.allowed_used > 1) {
		print_allowed();
		report_line("observed", observed);
	} else {
		report_line("trace", observed);
	}
	report_result(now.failed ? FAIL : PASS, NULL);
}
