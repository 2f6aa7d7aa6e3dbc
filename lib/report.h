/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KTAP version 1, as docs/contract.md fixes it. Lines go to the console that report_open is given;
 * the report decides nothing about the machine but how the run ends.
 */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include "printf.h"

#include <stdbool.h>

enum verdict { PASS, FAIL, SKIP };

/* Codes for the way out. */
enum { EXIT_GOOD = 0x10, EXIT_FAILED = 0x11, EXIT_BAILED_OUT = 0x12 };

struct report_machine {
	void (*write)(const char *bytes, unsigned count);
	void (*end)(int code) __attribute__((noreturn));
};

/* Where lines go; everything below may be called from here on. */
void report_attach(const struct report_machine *machine);

/* The same, and prints the version line. */
void report_open(const struct report_machine *machine);
void report_plan(unsigned points);

/* A diagnostic line, "# ...". Bytes that are not printable ASCII are replaced. */
void report_note(const char *format, ...) PRINTF_LIKE(1, 2);

/* "# WORD text": a line of any length is cut at the contract's limit. */
void report_line(const char *word, const char *text);

/* Names the point that is about to run, "guest/case:environment". */
void report_begin(const char *point);
const char *report_current(void);

/* The point's result; the reason is for SKIP. */
void report_result(enum verdict verdict, const char *reason);

/* Prints the closing line and ends the machine. */
void report_finish(void) __attribute__((noreturn));

/* "Bail out! ..." and the end. */
void report_bail_out(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
