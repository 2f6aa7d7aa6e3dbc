/* SPDX-License-Identifier: BSD-2-Clause */
/* How a run goes: what a case asks for, and whoever runs its code or records is told. */
#ifndef LIB_X86_SETUP_H
#define LIB_X86_SETUP_H

#include "environment.h"
#include "event.h"
#include "x86/cpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* How the next run goes; reset before each case. */
struct setup {
	enum environment environment;
	uint64_t rflags;	 /* on entry, besides the fixed bit */
	uint64_t without_rflags; /* of those that the environment brings along */
	struct regs regs;	 /* on entry */
	struct regs result;	 /* on leaving */
	const void *address;	/* copy the code here and run it there; NULL: where it was linked */
	uint64_t stack_top;	/* RSP on entry; 0: this CPU's snippet stack */
	bool enter_without_gdt; /* ENTER_JUMP or SYSRET in place of IRET: reads no descriptor */
	bool placed;		/* the code is at `address` already */
	unsigned leave_after;	/* leave after so many events, whatever they were; 0: no limit */
	event_hook *hook;
	event_hook *l1_hook;	/* sees L1's own events, once they are in the trace */
	bool runs_unordered;	/* fold a run into any earlier one that went alike */
	bool hold_eoi;		/* the case gives EOI itself */
	bool watch_low_vectors; /* look for ISR bits of vectors 0-15 too */
	bool show_vc;		/* under SEV-ES: each #VC that was served is part of the trace */
	uint64_t shown_flags;	/* RFLAGS bits that belong to the trace */
};

extern struct setup setup;

#endif
