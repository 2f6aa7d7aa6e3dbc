/* SPDX-License-Identifier: BSD-2-Clause */
/* The few string functions that a freestanding compiler may call and that guests use. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stdbool.h>
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t most);

/* True if the text begins with the prefix. */
bool starts_with(const char *text, const char *prefix);

/*
 * Reads an unsigned number, decimal or with a leading 0x, and moves *text behind it.
 * Returns false, with *text unmoved, where no digit stands.
 */
bool parse_number(const char **text, unsigned long *number);

#endif
