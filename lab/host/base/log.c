/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include "x86/cpu/cpu.h"

#define COM1 0x3f8
#define COM1_STATUS (COM1 + 5)
#define CAN_SEND 0x20
/* Both switch QEMU's Q35 off: ACPI's sleep register as SeaBIOS places it, and with -no-reboot a reset. */
#define SLEEP_PORT 0x604
#define SLEEP_S5 0x2000
#define RESET_PORT 0xcf9

static void put(const char *text, size_t n)
{
	asm volatile("rep outsb" : "+S"(text), "+c"(n) : "d"(LOG_PORT) : "memory");
}

static void put_com1(const char *text)
{
	for (; *text; text++) {
		for (unsigned i = 0; i < 100000 && !(inb(COM1_STATUS) & CAN_SEND); i++)
			;
		outb(COM1, *text);
	}
}

void say(const char *format, ...)
{
	char text[512];
	va_list args;
	size_t n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(text, n < sizeof(text) ? n : sizeof(text) - 1);
}

_Noreturn void stop(const char *format, ...)
{
	static bool stopping;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say("l0: stop: %s\n", text);
	if (!stopping) {
		stopping = true;
		say_state();
		put_com1("\nl0: stop: ");
		put_com1(text);
		put_com1("\n");
	}
	outw(SLEEP_PORT, SLEEP_S5);
	outb(RESET_PORT, 6);
	for (;;)
		asm volatile("cli; hlt");
}
