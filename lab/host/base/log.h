/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the monitor says: lines on a port of their own (QEMU: -device isa-debugcon,iobase=0x403), which no guest's
 * console mixes with.
 */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include "printf.h"

#define LOG_PORT 0x403

/* One line, or a part of one, as it stands. */
void say(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * The end of the machine, with a sentence that says why. It goes to COM1 as well, where whoever reads the kernel's
 * console finds it last.
 */
_Noreturn void stop(const char *format, ...) PRINTF_LIKE(1, 2);

/* Called by stop() once its sentence is out: registers, counts (main.c). */
void say_state(void);

#endif
