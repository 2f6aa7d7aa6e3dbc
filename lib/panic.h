/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an image that cannot go on. */
#ifndef LIB_PANIC_H
#define LIB_PANIC_H

#include "printf.h"

/* A mistake of the test, of its arguments or of the library: `Bail out!` and the sentence. */
void panic(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
