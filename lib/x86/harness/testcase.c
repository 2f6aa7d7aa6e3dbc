/* SPDX-License-Identifier: BSD-2-Clause */
#include "testcase.h"

#include "cold.h"
#include "snippet.h"
#include "state.h"
#include "x86/boot/args.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"
#include "x86/record/layer.h"
#include "x86/record/notation.h"
#include "x86/record/recording.h"

#include "report.h"
#include "string.h"

#define MAX_ALLOWED 8
#define TRACE_BYTES 900

extern const struct test_case test_cases_begin[], test_cases_end[];

static const struct {
	const char *name;
	enum environment bit;
} environments[] = {
	{"cpl0", CPL0},
	{"cpl3", CPL3},
	{"compat", COMPAT},
	{"legacy", LEGACY},
};
#define ENVIRONMENTS (sizeof(environments) / sizeof(environments[0]))

/* The point that is running. */
static struct {
	unsigned allowed_used;
	bool per_run, failed, checked, cut; /* cut: need() ended it */
	char skip[160];
	void *exit[5];
} now;

static struct {
	const char *reference;
	char trace[TRACE_BYTES];
} allowed[MAX_ALLOWED];

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
	__builtin_longjmp(now.exit, 1);
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

static void judge(void)
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

static bool needs_are_met(const char *needs)
{
	unsigned long number;

	while (*needs) {
		if (starts_with(needs, "cpus=")) {
			needs += 5;
			parse_number(&needs, &number);
			need_of_machine(cpus_present() >= number, "%lu CPUs", number);
			need(cpus_start(number), "no answer from CPU %lu after INIT and SIPI",
			     number - 1);
		} else if (starts_with(needs, "apic=1")) {
			needs += 6;
			apic_enable(0);
		} else if (starts_with(needs, "x2apic=1")) {
			needs += 8;
			need_of_machine(cpus_use_x2apic(), "x2APIC");
			apic_enable(0);
		} else if (starts_with(needs, "pam=1")) {
			needs += 5;
			need_of_machine(!cold_obstacle(), "%s", cold_obstacle());
		} else {
			need(false, "unknown need '%s'", needs);
		}
		while (*needs == ' ')
			needs++;
	}
	return true;
}

/* "cpl0", "svm-cpl0" */
struct point_name {
	char text[32];
};

static struct point_name environment_name(const struct layer *l, unsigned environment)
{
	struct point_name name;

	snprintf(name.text, sizeof(name.text), "%s%s%s", l->name ? l->name : "", l->name ? "-" : "",
		 environments[environment].name);
	return name;
}

static void run_body(const struct test_case *c)
{
	const char *obstacle;

	if (__builtin_setjmp(now.exit))
		return;
	obstacle = layer->obstacle ? layer->obstacle() : NULL;
	need_of_machine(!obstacle, "%s", obstacle);
	if (needs_are_met(c->needs))
		c->body();
}

static void judge_waits(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		if (recordings[i].in_vain)
			check(false, "CPU %u waited in vain for %s", i, recordings[i].in_vain);
}

static void run_point(const struct layer *l, const struct test_case *c, unsigned environment)
{
	char point[128];

	snprintf(point, sizeof(point), "%s/%s:%s", guest_name, c->name,
		 environment_name(l, environment).text);
	report_begin(point);
	memset(&now, 0, sizeof(now));
	layer = l;
	state_reset();
	setup.environment = environments[environment].bit;
	run_body(c);
	if (layer->leave)
		layer->leave();
	witness(cold_was_used(), "a cold page was not touched");
	judge_waits();
	if (!state_restore())
		now.failed = true;
	judge();
}

typedef void do_point(const struct layer *l, const struct test_case *c, unsigned environment);

static bool layer_selected(const struct layer *l)
{
	if (!args.layers)
		return args.points || args.cases || args.environment || l == guest_layers[0];
	return list_has_name(args.layers, l->name ? l->name : "native", "");
}

static bool point_selected(const struct layer *l, const struct test_case *c, unsigned environment,
			   unsigned point)
{
	struct point_name name;

	/* A guest has thousands of points, of which it mostly runs a few: the name comes last. */
	if (!layer_selected(l) || !args_have_point(point))
		return false;
	if (!args.cases && !args.environment)
		return true;
	name = environment_name(l, environment);
	return list_has_name(args.cases, c->name, name.text) &&
	       list_has_name(args.environment, name.text, "");
}

/* Calls `act` for each selected point of the layer, if there is one; counts them in *point. */
static unsigned for_each_point_of(const struct layer *l, unsigned *point, do_point *act)
{
	unsigned selected = 0;

	for (const struct test_case *c = test_cases_begin; c != test_cases_end; c++) {
		for (unsigned e = 0; e < ENVIRONMENTS; e++) {
			if (!(c->environments & environments[e].bit))
				continue;
			if (!point_selected(l, c, e, (*point)++))
				continue;
			selected++;
			if (act)
				act(l, c, e);
		}
	}
	return selected;
}

static unsigned for_each_point(do_point *act)
{
	unsigned point = 0, selected = 0;

	for (const struct layer *const *l = guest_layers; *l; l++)
		selected += for_each_point_of(*l, &point, act);
	return selected;
}

void testcases_run(void)
{
	report_plan(for_each_point(NULL));
	state_describe();
	for_each_point(run_point);
	report_finish();
}
