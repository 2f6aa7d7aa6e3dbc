/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted text. Known conversions: %c %s %d %u %x %% with the flags # and 0, a width, a precision
 * for %s, and the length modifiers l, ll and z. Anything else is printed as it stands.
 */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Writes at most size bytes including the NUL; returns the length that the whole text has. */
int vsnprintf(char *to, size_t size, const char *format, va_list args);
int snprintf(char *to, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/* A buffer that text is appended to. What does not fit is dropped, and `full` says so. */
struct text {
	char *buffer;
	size_t size, length;
	int full;
};

void text_init(struct text *text, char *buffer, size_t size);
void text_append(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void text_vappend(struct text *text, const char *format, va_list args);

#endif
