/* SPDX-License-Identifier: BSD-2-Clause */
#include "points.h"

#include "cold.h"
#include "judge.h"
#include "state.h"
#include "testcase.h"
#include "x86/boot/args.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"
#include "x86/modes/mode.h"
#include "x86/record/layer.h"
#include "x86/record/recording.h"
#include "x86/record/setup.h"

#include "report.h"
#include "string.h"

extern const struct test_case test_cases_begin[], test_cases_end[];

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

	if (__builtin_setjmp(case_exit))
		return;
	obstacle = layer->obstacle ? layer->obstacle() : NULL;
	if (!obstacle && in_other_mode())
		obstacle = mode_obstacle();
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

/* They are in the trace, by name; a case that expects no trace fails by them all the same. */
static void judge_differences(const struct differences *all)
{
	for (unsigned i = 0; i < all->used && i < MAX_DIFFERENCES; i++) {
		const struct difference *d = &all->list[i];
		char vector[16] = "";

		if (d->vector != NO_VECTOR)
			snprintf(vector, sizeof(vector), " %#x", d->vector);
		check(false, "%s %s%s is %#lx, must be %#lx", d->name, d->where, vector, d->now,
		      d->right);
	}
	if (all->used > MAX_DIFFERENCES)
		note("and %u more", all->used - MAX_DIFFERENCES);
}

static void run_point(const struct layer *l, const struct test_case *c, unsigned environment)
{
	char point[128];

	snprintf(point, sizeof(point), "%s/%s:%s", guest_name, c->name,
		 environment_name(l, environment).text);
	report_begin(point);
	judge_begin();
	layer = l;
	state_reset();
	setup.environment = environments[environment].bit;
	run_body(c);
	if (layer->leave)
		layer->leave();
	witness(cold_was_used(), "a cold page was not touched");
	judge_waits();
	for (unsigned i = 0; i < MAX_CPUS; i++)
		judge_differences(&recordings[i].differences);
	if (!state_restore())
		judge_fail();
	judge_point();
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
		for (unsigned e = 0; environments[e].name; e++) {
			if (!(c->environments & environments[e].bit) ||
			    (l->name && environments[e].mode != MODE_LONG))
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

void points_run(void)
{
	report_plan(for_each_point(NULL));
	state_describe();
	for_each_point(run_point);
	report_finish();
}
