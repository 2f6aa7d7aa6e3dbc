/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints in the debug registers, and single-step. SDM 3B, "Debug Registers". */
#ifndef LIB_X86_DEBUGREG_H
#define LIB_X86_DEBUGREG_H

#include <stdint.h>

enum breakpoint { BREAK_CODE = 0, BREAK_WRITE = 1, BREAK_IO = 2, BREAK_ACCESS = 3 };

/* Skips the case where DR7 is not the guest's own; breakpoint_set does so as well. */
void need_breakpoints(void);

/* Arms breakpoint n (0-3) on 1, 2, 4 or 8 bytes (1 for BREAK_CODE); cleared when the case ends. */
void breakpoint_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes);

void breakpoints_clear(void);

/* How cases about #DB begin: every event shows TF and RF, user code has IOPL 3, ESI is a selector for SS. */
void prepare_db(void);

/* The same, and TF is set from the snippet's first instruction on. */
void single_step(void);

/* The same as prepare_db, with code breakpoint n at a mark. */
struct snippet;
void break_at(unsigned n, const struct snippet *snippet, const char *mark);

#endif
