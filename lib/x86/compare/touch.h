/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a snippet may change, as its assembler text has it: which registers it names, and what the
 * instructions do that name none. All else must be in an event's frame as it was when the snippet was entered.
 *
 * The text is read and not the bytes, since a copy that runs may have been overwritten. Where it writes bytes
 * by hand (.byte), anything may have changed but what no such bytes of ours touch: RBP and R8 to R15.
 */
#ifndef LIB_X86_TOUCH_H
#define LIB_X86_TOUCH_H

#include <stdint.h>

/* General registers are numbered as in struct regs (cpu/frame.h); the rest follows them. */
enum touched {
	TOUCHES_RSP = 15,
	TOUCHES_FLAGS, /* but for those of arithmetic, of which nothing is said */
	TOUCHES_CS,
	TOUCHES_SS,
	TOUCHES_DS,
	TOUCHES_ES,
	TOUCHES_FS,
	TOUCHES_GS,
	TOUCHES_CR2,
};

#define TOUCHES(what) (1u << (what))

/* One bit for each of the above. */
uint32_t text_touches(const char *text);

#endif
