/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace that grows, and folds what went alike. */
#ifndef LIB_X86_TRACE_H
#define LIB_X86_TRACE_H

#include "event.h"

void trace_reset(struct trace *trace);

/* Opens a group for a run; closes it, folding it into the group before where the two are alike. */
struct group *trace_open(struct trace *trace, const struct code *code, uint64_t base);
void trace_close(struct trace *trace);

/* Forgets the last group. */
void trace_forget(struct trace *trace);

/* Adds an event to a group, which must be the last one. */
void trace_append(struct trace *trace, struct group *group, const struct event *event);

/* The same, as event number `index` of the last group, or at its end if that has fewer. */
void trace_insert(struct trace *trace, struct group *group, unsigned index,
		  const struct event *event);

/* The last group is complete, of a vector under test: folds it into one that differs by its vector alone. */
void trace_close_subject(struct trace *trace);

#endif
