/* SPDX-License-Identifier: BSD-2-Clause */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

static void put(const void *bytes, size_t count)
{
	asm volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(MESSAGE_PORT) : "memory");
}

void message(char type, const char *text, size_t length)
{
	unsigned char head[] = {MESSAGE_START, type, length & 0xff, length >> 8};

	put(head, sizeof(head));
	put(text, length);
}

void messagef(char type, const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	message(type, text, length < MESSAGE_MAX ? length : MESSAGE_MAX - 1);
}
