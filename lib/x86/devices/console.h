/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1 (16550, port 0x3f8, 115200 8N1) and the ways in which a machine ends. */
#ifndef LIB_X86_CONSOLE_H
#define LIB_X86_CONSOLE_H

#include "x86/boot/args.h"

void console_init(void);

/* From now on; only CONSOLE_BYTES, the way at the start, looks at how many bytes the FIFO has room for. */
void console_set_way(enum console_way way);

/*
 * Writes the bytes as they are, and waits until the last has left: a dying machine loses none. Where the console takes
 * more than bytes, it does not wait behind one that begins with '#'.
 */
void console_write(const char *bytes, unsigned count);

/* isa-debug-exit with the code, Bochs' shutdown port, else HLT for ever. */
void machine_end(int code) __attribute__((noreturn));

#endif
