/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a guest that cannot go on: what happened, where, the registers, `Bail out!`. */
#ifndef LIB_X86_PANIC_H
#define LIB_X86_PANIC_H

#include "x86/cpu/frame.h"

#include "printf.h"

/* An event that nobody asked for. */
void panic_event(const struct trap_frame *frame) __attribute__((noreturn));

/* A mistake of the test, of its arguments or of the library. */
void panic(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
