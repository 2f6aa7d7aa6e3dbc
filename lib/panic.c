/* SPDX-License-Identifier: BSD-2-Clause */
#include "panic.h"

#include "report.h"

void panic(const char *format, ...)
{
	char buffer[200];
	va_list args;

	va_start(args, format);
	vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	report_bail_out("%s", buffer);
}
