/* SPDX-License-Identifier: BSD-2-Clause */
#include "string.h"

#include <stdint.h>

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *result = to;
	size_t words = bytes / 8;

	/* By words first: emulators take their time for each step of a REP. */
	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	bytes %= 8;
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return result;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	if (t <= f || t >= f + bytes)
		return memcpy(to, from, bytes);
	while (bytes--)
		t[bytes] = f[bytes];
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	void *result = to;
	size_t words = bytes / 8;

	asm volatile("rep stosq"
		     : "+D"(to), "+c"(words)
		     : "a"(0x0101010101010101ul * (uint8_t)byte)
		     : "memory");
	bytes %= 8;
	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(byte) : "memory");
	return result;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *x = a, *y = b;

	for (; bytes; bytes--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	const char *end = s;

	while (*end)
		end++;
	return end - s;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t most)
{
	for (; most; most--, a++, b++)
		if (!*a || *a != *b)
			return (uint8_t)*a - (uint8_t)*b;
	return 0;
}

bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

bool parse_number(const char **text, unsigned long *number)
{
	const char *p = *text;
	int base = 10;

	if (starts_with(p, "0x")) {
		base = 16;
		p += 2;
	}
	if (digit_value(*p) >= base)
		return false;
	for (*number = 0; digit_value(*p) < base; p++)
		*number = *number * base + digit_value(*p);
	*text = p;
	return true;
}
