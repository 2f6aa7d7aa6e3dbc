/* SPDX-License-Identifier: BSD-2-Clause */
/* For who runs the points: what a case has said of itself (testcase.h) becomes its result. */
#ifndef LIB_X86_JUDGE_H
#define LIB_X86_JUDGE_H

/* A point begins: nothing is expected, nothing has failed. */
void judge_begin(void);

/* Where need() goes back to: filled by __builtin_setjmp before the body. */
extern void *case_exit[5];

void judge_fail(void);

/* Holds the traces against what was expected, and prints the result. */
void judge_point(void);

#endif
