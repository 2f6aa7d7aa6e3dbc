/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "machine.h"

#include "../common/message.h"
#include "../common/ports.h"
#include "ring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct machine machine = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

_Noreturn void end(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	ring_drain();
	com1_flush();
	message('R', text, strlen(text));
	_exit(0);
}

long must(const char *what, long result)
{
	if (result < 0) {
		int error = errno;

		pthread_mutex_lock(&machine.lock);
		end("%s: %s", what, strerror(error));
	}
	return result;
}
