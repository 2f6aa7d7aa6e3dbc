/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints in the debug registers. SDM 3B, "Debug Registers". */
#ifndef LIB_X86_DEBUGREG_H
#define LIB_X86_DEBUGREG_H

#include <stdint.h>

enum breakpoint { BREAK_CODE = 0, BREAK_WRITE = 1, BREAK_IO = 2, BREAK_ACCESS = 3 };

/* Arms breakpoint n (0-3) on 1, 2, 4 or 8 bytes (1 for BREAK_CODE). */
void debugreg_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes);

/* Disarms what debugreg_set has armed. */
void debugreg_clear(void);

#endif
