/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints in the debug registers. SDM 3B, "Debug Registers". */
#ifndef LIB_X86_DEBUGREG_H
#define LIB_X86_DEBUGREG_H

#include <stdint.h>

enum breakpoint { BREAK_CODE = 0, BREAK_WRITE = 1, BREAK_IO = 2, BREAK_ACCESS = 3 };

/* Skips the case where DR7 is not the guest's own; breakpoint_set does so as well. */
void need_breakpoints(void);

/* Arms breakpoint n (0-3) on 1, 2, 4 or 8 bytes (1 for BREAK_CODE); cleared when the case ends. */
void breakpoint_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes);

void breakpoints_clear(void);

#endif
