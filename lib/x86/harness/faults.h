/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults in the middle of a snippet, and handlers that let it go on behind them. */
#ifndef LIB_X86_FAULTS_H
#define LIB_X86_FAULTS_H

#include "x86/record/event.h"

/* Steps over a UD2; other events by rule. */
enum action skip_ud2(const struct event *event, struct trap_frame *frame);

/*
 * Page 0 of the window is not mapped, (R|E)DI points to it, and the trace calls it `window`. The first
 * #PF maps it where the second function is the hook.
 */
void unmap_window(void);
enum action map_window(const struct event *event, struct trap_frame *frame);

#endif
