/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints of a case, and single-step. */
#ifndef LIB_X86_BREAKPOINTS_H
#define LIB_X86_BREAKPOINTS_H

#include "snippet.h"
#include "x86/cpu/debugreg.h"

#include <stdint.h>

/* Skips the case where DR7 is not the guest's own; breakpoint_set does so as well. */
void need_breakpoints(void);

/* Arms breakpoint n (0-3) on 1, 2, 4 or 8 bytes (1 for BREAK_CODE); cleared when the case ends. */
void breakpoint_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes);

/* How cases about #DB begin: every event shows TF and RF, user code has IOPL 3, ESI is a selector for SS. */
void prepare_db(void);

/* The same, and TF is set from the snippet's first instruction on. */
void single_step(void);

/* The same as prepare_db, with code breakpoint n at a mark. */
void break_at(unsigned n, const struct snippet *snippet, const char *mark);

#endif
