/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that misbehaves in its case `bad`, or before, or after; `before` and `after` are good.
 *
 * The file is built once per misbehaviour, with its macro defined and NAME for the guest's name.
 */
#include "guest.h"

#ifndef NAME
#define NAME "bad"
#endif

CASE(before);
CASE(bad);
CASE(after);

static void misbehave(u32 number)
{
#if defined(HANG)
	(void)number;
	for (;;)
		asm volatile("cli; hlt");
#elif defined(SPIN)
	(void)number;
	for (;;)
		;
#elif defined(DRIP)	 /* talks for ever, without a result */
	(void)number;
	for (;;) {
		puts("# note still there\n");
		for (volatile u32 i = 0; i < 3000000; i++)
			;
	}
#elif defined(FLOOD)	 /* 100 MB of lines */
	(void)number;
	for (u32 i = 0; i < 100000000 / 50; i++)
		puts("# note 3456789012345678901234567890123456789012345\n");
#elif defined(LONG_LINE) /* 100 MB without a line end */
	(void)number;
	puts("# ");
	for (u32 i = 0; i < 100000000; i++)
		put('x');
#elif defined(GARBAGE)
	for (u32 i = 0; i < 2000; i++)
		put((i * 167 + number * 31) >> 2);
#elif defined(ESCAPES) /* clear the screen, set the title, ring, 8-bit CSI, bidi override */
	(void)number;
	puts("# note \033[2J\033[31mred\033]0;title\007 \x9b"
	     "2J \xe2\x80\xae bidi \r\b\b\n");
#elif defined(SECOND_PLAN)
	(void)number;
	puts("1..6\n");
#elif defined(SECOND_VERSION)
	(void)number;
	puts("KTAP version 1\n");
#elif defined(DUPLICATE)
	result(1, number > 1 ? number - 1 : 1, NAME "/before:cpl0");
#elif defined(AHEAD)
	result(1, number + 1, NAME "/after:cpl0");
#elif defined(OTHER_NAME)
	result(1, number, NAME "/nobody:cpl0");
#elif defined(STRAY)
	(void)number;
	puts("hello, world\n");
#elif defined(CLOSE_EARLY)
	(void)number;
	puts("# Totals: pass:1 fail:0 skip:0\n");
#elif defined(TRIPLE_FAULT)
	(void)number;
	triple_fault();
#elif defined(PANIC)
	(void)number;
	puts("# panic rip 0x");
	for (int shift = 28; shift >= 0; shift -= 4)
		put("0123456789abcdef"[((u32)&misbehave + 2) >> shift & 15]);
	puts(" rax 0x0000000000000001\n");
	puts("Bail out! unexpected #PF(0x2,cr2=0x0) in bad\n");
	finish(0x12);
#elif defined(QUIET_EXIT)
	(void)number;
	finish(0x10);
#else
	(void)number;
#endif
}

void guest_main(void)
{
	static const char *const ids[] = {
		NAME "/before:cpl0", NAME "/before:cpl3", NAME "/bad:cpl0",
		NAME "/bad:cpl3",    NAME "/after:cpl0",  NAME "/after:cpl3",
	};

	begin(6);
#if defined(NO_OUTPUT)
	finish(0x10);
#elif defined(NO_VERSION)
	puts("1..6\n");
#elif defined(FORGED_PLAN)
	count += 3;
	plan();
	count -= 3;
#elif defined(RESULT_FIRST)
	puts("KTAP version 1\n");
#else
	plan();
#endif
	for (u32 i = 0; i < count; i++) {
		if (selected[i] == 2 || selected[i] == 3)
			misbehave(i + 1);
		result(1, i + 1, ids[selected[i]]);
	}
#ifdef NO_CLOSE
	finish(0x10);
#endif
	puts("# Totals: pass:");
	putd(count);
#ifdef WRONG_TOTALS
	put('0');
#endif
	puts(" fail:0 skip:0\n");
#ifdef AFTER_CLOSE
	puts("ok 7 x\n");
#endif
#ifdef HANG_AFTER_CLOSE
	for (;;)
		asm volatile("cli; hlt");
#endif
	finish(0x10);
}
