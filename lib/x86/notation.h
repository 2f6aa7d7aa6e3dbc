/* SPDX-License-Identifier: BSD-2-Clause */
/* Events and traces as text: the notation of docs/notation.md. */
#ifndef LIB_X86_NOTATION_H
#define LIB_X86_NOTATION_H

#include "event.h"

#include "../printf.h"

/* What was delivered, without the place: "#GP(0x19a)", "int 0x15". The group gives cr2 its mark. */
void notation_what(struct text *out, const struct event *event, const struct group *group);

/* The whole event: "#BP@after". */
void notation_event(struct text *out, const struct event *event, const struct group *group);

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

#endif
