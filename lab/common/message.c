/* SPDX-License-Identifier: BSD-2-Clause */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * A dom0 has its ports through Xen, by a #GP for each instruction. The jump is for the frame of that: QEMU 10 makes its
 * flags for REP OUTS out of what the block of code before has left over, which may set TF, and Xen then steps
 * (tcg-rep-io-gp-flags). A jump begins a new block.
 */
static void put(const void *bytes, size_t count)
{
	asm volatile("jmp 1f; 1: rep outsb"
		     : "+S"(bytes), "+c"(count)
		     : "d"(MESSAGE_PORT)
		     : "memory");
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
