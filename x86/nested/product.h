/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A product: one case runs a snippet once for every combination of a few things that are on or off, and holds each
 * run against what a function says that the manual demands of that combination.
 *
 *	static const char *const axes[] = {"if", "masking", "host_if", NULL};
 *	enum { IF = 1, MASKING = 2, HOST_IF = 4 };
 *
 *	static const struct product p = {
 *		.axes = axes, .demand = demand, .prepare = prepare, .snippet = &call_sti,
 *	};
 *	product_run(&p);
 *
 * The trace of such a case is how many combinations there were, with the wrong ones before that, once for each thing
 * that happened in place of the right one. Their bits are the numbers of the combinations; the notes have the words:
 *
 *	observed  exit INTR@after in=0x30; combinations=0x8
 *	note      host_if: must be exit INTR@target, is exit INTR@after
 */
#ifndef X86_PRODUCT_H
#define X86_PRODUCT_H

#define MAX_AXES 5
#define MAX_WRONG 8
#define PRODUCT_BYTES 160

struct product {
	const char *const *
		axes; /* names of bits 0, 1, ... of a combination; ended by NULL, at most MAX_AXES */
	const struct snippet *snippet;
	/* Writes the trace that the manual demands; false: the combination cannot be. */
	bool (*demand)(unsigned combination, struct text *out);
	/* Sets `setup` and `l2_setup`, which are as before a case. May be NULL. */
	void (*prepare)(unsigned combination);
	/* Behind the run: adds to its trace what else demand() speaks of. May be NULL. */
	void (*finish)(unsigned combination, struct text *out);
};

static struct {
	char trace[MAX_WRONG][PRODUCT_BYTES];
	uint32_t in[MAX_WRONG];
	unsigned used;
} wrong_ones;

static void product_words(struct text *out, const struct product *p, unsigned combination)
{
	const char *separator = "";

	for (unsigned i = 0; p->axes[i]; i++) {
		if (!(combination >> i & 1))
			continue;
		text_append(out, "%s%s", separator, p->axes[i]);
		separator = "+";
	}
	if (!*separator)
		text_append(out, "nothing");
}

static void product_keep(unsigned combination, const char *trace)
{
	unsigned i = 0;

	while (i < wrong_ones.used && strcmp(wrong_ones.trace[i], trace) != 0)
		i++;
	if (i == MAX_WRONG)
		i--; /* one too many: its bit at least */
	else if (i == wrong_ones.used)
		snprintf(wrong_ones.trace[wrong_ones.used++], PRODUCT_BYTES, "%s", trace);
	wrong_ones.in[i] |= 1u << combination;
}

/* One run, whose trace nothing is left of but the text. */
static void product_try(const struct product *p, unsigned combination, const char *must)
{
	struct trace *trace = this_recording()->trace;
	char observed[PRODUCT_BYTES], words[80];
	struct text words_text;
	struct text text;

	l2_setup = (struct l2_setup){0};
	if (p->prepare)
		p->prepare(combination);
	run_snippet(p->snippet);
	text_init(&text, observed, sizeof(observed));
	notation_trace(&text, trace);
	trace_reset(trace);
	if (p->finish)
		p->finish(combination, &text);
	if (strcmp(observed, must) == 0)
		return;
	/* What a run has left pending must not be taken for the next one's. */
	if (apic_in_use())
		interrupts_drain();
	text_init(&words_text, words, sizeof(words));
	product_words(&words_text, p, combination);
	check(false, "%s: must be %s, is %s", words, must, observed);
	text_append(&text, " in");
	product_keep(combination, observed);
}

SNIPPET(product_warm_up, "nop");

static void product_run(const struct product *p)
{
	struct setup of_case = setup;
	char must[PRODUCT_BYTES];
	unsigned axes = 0, tried = 0;
	struct text text;

	/* The #UD that ends a run goes the way that all events go: nothing of it is cold below L1 any more. */
	run(product_warm_up);
	trace_reset(this_recording()->trace);
	memset(&wrong_ones, 0, sizeof(wrong_ones));
	while (p->axes[axes])
		axes++;
	for (unsigned combination = 0; combination < 1u << axes; combination++) {
		text_init(&text, must, sizeof(must));
		if (!p->demand(combination, &text))
			continue;
		setup = of_case;
		product_try(p, combination, must);
		tried++;
	}
	for (unsigned i = 0; i < wrong_ones.used; i++)
		observe(wrong_ones.trace[i], wrong_ones.in[i]);
	observe("combinations", tried);
	expect("combinations=%#x", tried);
}

#endif
