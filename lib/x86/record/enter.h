/* SPDX-License-Identifier: BSD-2-Clause */
/* The way into a snippet and back out of it, for C and assembly. */
#ifndef LIB_X86_ENTER_H
#define LIB_X86_ENTER_H

#include "x86/boot/layout.h"

/* How snippet_enter goes to the snippet (struct entry, field `method`). */
#define ENTER_IRET 0
#define ENTER_JUMP 1
#define ENTER_SYSRET64 2
#define ENTER_SYSRET32 3
#define ENTER_SYSEXIT 4 /* in legacy mode */

#ifndef __ASSEMBLER__

#include "x86/cpu/frame.h"

#include <stddef.h>
#include <stdint.h>

/* How a snippet is entered. The order of fields is known to enter.S. */
struct entry {
	struct regs regs;
	struct iret_frame iret;
	uint64_t method;    /* ENTER_… */
	uint64_t saved_rsp; /* the runner's stack, written by snippet_enter */
};

_Static_assert(offsetof(struct entry, method) == REGS_BYTES + 40, "enter.S reads method here");

/*
 * Goes to the snippet; returns when the recorder sends the CPU to snippet_leave with
 * RSP = saved_rsp. Only the registers that C preserves survive.
 */
void snippet_enter(struct entry *entry);
extern const char snippet_leave[];

#endif

#endif
