/* SPDX-License-Identifier: BSD-2-Clause */
/* The points of a guest: which are selected, and one after the other. */
#ifndef LIB_X86_POINTS_H
#define LIB_X86_POINTS_H

/* Runs all selected points of this guest and ends the machine. */
void points_run(void) __attribute__((noreturn));

#endif
