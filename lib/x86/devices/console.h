/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1 (16550, port 0x3f8, 115200 8N1) and the ways in which a machine ends. */
#ifndef LIB_X86_CONSOLE_H
#define LIB_X86_CONSOLE_H

void console_init(void);

/*
 * From now on a line goes out by one string instruction, without a look at how many bytes the FIFO has
 * room for: where each access is an exit that takes long, and whoever is behind the port takes all.
 */
void console_takes_lines(void);

/*
 * Writes the bytes as they are, and waits until the last has left: a dying machine loses none. Where the console takes
 * lines, it does not wait behind one that begins with '#'.
 */
void console_write(const char *bytes, unsigned count);

/* isa-debug-exit with the code, Bochs' shutdown port, else HLT for ever. */
void machine_end(int code) __attribute__((noreturn));

#endif
