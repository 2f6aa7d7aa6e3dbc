/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events and traces as text: the notation of docs/notation.md.
 *
 * Vectors under test (recording.h, subject_begin) stand in brackets before what happened to them, and the
 * vectors that fared alike share one run, whatever lay between them:
 *
 *	[0x10-0xff] intr v@wait
 *	[0x0-0xa,0xc-0xff] #NP(v*8+2)@insn; [0xb] #DF(0x0)@insn
 *	[0x10-0x7f] intr v+0x10@wait, intr v@wait, irr=0x0
 *
 * `v` is the vector under test, so `intr v` and `int v` are that vector, `intr v+0x10` one sixteen
 * higher; `v*8+2` in an error code is its gate (with IDT and EXT as the low bits); any other number is
 * the same for all of them. A run holds all that happened to a vector, in order, and what the case
 * read off registers on the way (recording.h, observe): `irr=0x1`, `esr=0x60`. Exceptions keep their names.
 * Runs stand in the order of their first vectors' turns. `intr 0x31[level]`: the vector's bit in the
 * trigger mode register was set (level-triggered).
 */
#ifndef LIB_X86_NOTATION_H
#define LIB_X86_NOTATION_H

#include "event.h"

#include "printf.h"

/* What was delivered, without the place: "#GP(0x19a)", "int 0x15". The group gives cr2 its mark. */
void notation_what(struct text *out, const struct event *event, const struct group *group);

/* All events of a CPU's trace, "(none)" if there is not one. */
void notation_trace(struct text *out, const struct trace *trace);

/* The different things that the runs of a trace did, each once, without counts. */
void notation_distinct(struct text *out, const struct trace *trace);

/* One group alone. */
void notation_group(struct text *out, const struct trace *trace, const struct group *group);

/*
 * Lets addresses in [address, address + bytes) print under a name, `name+0x10`. At most 8 between
 * two calls of notation_forget_names.
 */
void notation_name(const char *name, uint64_t address, uint64_t bytes);
void notation_forget_names(void);

/* The handlers of another mode, 256 entry points as vector_stubs has them, print as `handler[0x3]` too. */
void notation_handlers(const uint8_t *stubs);

#endif
