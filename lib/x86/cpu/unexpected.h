/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an image in which an event came that nobody asked for. */
#ifndef LIB_X86_UNEXPECTED_H
#define LIB_X86_UNEXPECTED_H

#include "frame.h"

/* Prints the registers and bails out. `what` is the event as the caller writes it, "#GP(0x19a)". */
void unexpected_event(const struct trap_frame *frame, const char *what) __attribute__((noreturn));

#endif
