/* SPDX-License-Identifier: BSD-2-Clause */
#include "reach.h"

#include "bug.h"

#include "printf.h"
#include "string.h"
#include "x86/devices/console.h"

/* How the lines begin behind which a case is over, and the one before the first case. */
static const char *const begins[] = {"ok ", "not ok ", "1.."};

static bool on;

void reach_switch_on(void)
{
	on = true;
}

bool reach_is_on(void)
{
	return on;
}

static void print_reached(void)
{
	char line[1024];
	unsigned used = snprintf(line, sizeof(line), "# note reached");

	for (unsigned i = 0; i < BUG_COUNT; i++)
		if (bug_was_asked(i) && used < sizeof(line) - 8)
			used += snprintf(line + used, sizeof(line) - used, " %u", i);
	line[used++] = '\n';
	console_write(line, used);
}

/* The bytes of a line's beginning are held back until it is clear what line it is. */
void reach_byte(char byte)
{
	static char held[8];
	static unsigned count;
	static bool within_line;
	bool may_become = false;

	if (within_line) {
		console_write(&byte, 1);
		within_line = byte != '\n';
		return;
	}
	held[count++] = byte;
	for (unsigned i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		if (strncmp(begins[i], held, count) != 0)
			continue;
		may_become = begins[i][count] != '\0';
		if (may_become)
			break;
		if (byte == ' ')
			print_reached();
		bugs_forget_asked();
	}
	if (may_become)
		return;
	console_write(held, count);
	count = 0;
	within_line = byte != '\n';
}
