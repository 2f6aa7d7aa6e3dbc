/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A case: one named check, its rule, the bugs that it catches and the environments that it is true in.
 *
 *	CASE(cold_stack, CPL0 | CPL3, "SDM 3A, Breakpoint Exception (#BP)", CATCHES("kvm-sev-int3-ud"))
 *	{
 *		cold_ist_stack(VECTOR_BP);
 *		expect("#BP@after");
 *		run(int3);
 *	}
 *
 * The body runs once per environment, with the machine's state reset before and checked after. The
 * rule and the rest lie in a section that is not loaded; the runner reads them from the ELF file.
 */
#ifndef LIB_X86_TESTCASE_H
#define LIB_X86_TESTCASE_H

#include "printf.h"

#include <stdbool.h>

/* Aligned to its size: the linker puts all of them side by side into one table. */
struct test_case {
	const char *name;
	unsigned environments;
	const char *needs;
	void (*body)(void);
} __attribute__((aligned(32)));

/* Defined by the guest's own file (trapline.h). */
extern const char guest_name[];

#define CATCHES(bugs) bugs

#define STRING_OF(...) STRING_OF_(__VA_ARGS__)
#define STRING_OF_(...) #__VA_ARGS__

/* clang-format off */
/* needs: words that the machine must fulfil, or the case is skipped: "cpus=2", "pam=1". */
#define CASE_NEEDS(needs_, name_, environments_, rule_, catches_)                  \
	static void case_body_##name_(void);                                      \
	const struct test_case test_case_##name_ __attribute__((section(".test_cases"), used)) = { \
		#name_, environments_, needs_, case_body_##name_};                \
	asm(".pushsection .trapline.cases, \"\", @progbits\n"                     \
	    ".quad test_case_" #name_ "\n"                                        \
	    ".asciz \"" #name_ "\", \"" STRING_OF(environments_) "\", \"" rule_ "\", \"" catches_ \
	    "\", \"" needs_ "\", \"" __FILE__ ":" STRING_OF(__LINE__) "\"\n"      \
	    ".popsection\n");                                                     \
	static void case_body_##name_(void)
/* clang-format on */

#define CASE(name, environments, rule, catches) CASE_NEEDS("", name, environments, rule, catches)

/* What the whole trace of the case must be, in the notation of docs/notation.md. */
void expect(const char *format, ...) PRINTF_LIKE(1, 2);

/* One of several legal traces, with the reference that allows it. */
void allow(const char *reference, const char *format, ...) PRINTF_LIKE(2, 3);

/* For snippets run many times: each run must be one of these (call once per legal run). */
void allow_run(const char *format, ...) PRINTF_LIKE(1, 2);

/* Fails the case, with the sentence as a note, unless the condition holds. The case goes on. */
void check(bool holds, const char *format, ...) PRINTF_LIKE(2, 3);

/* Skips the rest of the case unless the condition holds. */
void need(bool holds, const char *reason, ...) PRINTF_LIKE(2, 3);

/* Skips the rest, as nothing that could run on this machine, unless it has `what`, a name such as "x2APIC"
   that goes behind "the machine has no". */
void need_of_machine(bool has, const char *what, ...) PRINTF_LIKE(2, 3);

/* The provoked condition was seen to hold; if not, a case that would pass is skipped. */
void witness(bool held, const char *what, ...) PRINTF_LIKE(2, 3);

/* A line of the report. */
void note(const char *format, ...) PRINTF_LIKE(1, 2);

/* A measurement: "# value NAME NUMBER UNIT". */
void value(const char *name, unsigned long number, const char *unit);

#endif
