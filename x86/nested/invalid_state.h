/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State that cannot be: L1 spoils one thing at the snippet's call, and the entry must be refused
 * (svm_invalid.c, vmx_invalid.c).
 *
 * The file that includes this has defined CALL, the instruction that calls L1, and
 *	FIELD		what names a field of the VMCB or VMCS
 *	field_change()	sets and clears bits of a field of L2's
 */
#ifndef X86_INVALID_STATE_H
#define X86_INVALID_STATE_H

SNIPPET(call, "mark call; " CALL "; mark target; nop");

struct wrong {
	FIELD field;
	uint64_t set, clear;
};

static const struct wrong *wrong;

static void make_wrong(struct l2 *v)
{
	field_change(v, wrong->field, wrong->set, wrong->clear);
}

static void try_wrong(const char *exit, const struct wrong *table, unsigned count)
{
	if (count > 1)
		expect("exit %s x%u", exit, count);
	else
		expect("exit %s", exit);
	l2_setup.on_call = make_wrong;
	for (wrong = table; wrong < table + count; wrong++)
		run(call);
}

/* A case with one run for each {field, bits to set, bits to clear}; `exit` as the trace shows it. */
#define WRONG(name, rule, exit, bugs, ...)                                \
	CASE(name, CPL0, rule, bugs)                                      \
	{                                                                 \
		static const struct wrong table[] = {__VA_ARGS__};        \
                                                                          \
		try_wrong(exit, table, sizeof(table) / sizeof(table[0])); \
	}

#endif
