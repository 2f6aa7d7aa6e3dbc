/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event that is pending when L1 enters L2, of which a product (product.h) asks whose it is, by SVM and VMX alike:
 * the guests svm_whose, svm_order, svm_halted, vmx_whose, vmx_order, vmx_halted.
 *
 * The file that includes this has defined CALL, the instruction that calls L1.
 */
#ifndef X86_NESTED_WHOSE_H
#define X86_NESTED_WHOSE_H

#include "product.h"

#define PHYSICAL 0x91
#define VIRTUAL 0xa1

static unsigned now; /* the combination that runs */

/* The first bit of a combination, where it is among its axes: L2's IF. */
#define IF (1u << 0)

/* With IF set L2 is open at `target`, behind its shadow if it is in one; with IF clear from `open` on. */
SNIPPET(stretch, "mark call; " CALL "; mark target; nop; mark after; sti; mark shadow; nop; mark open; nop; "
		 "cli; mark again; " CALL "; mark last; nop");

static inline const char *opens_at(bool if_is_set, bool in_shadow)
{
	return if_is_set ? in_shadow ? "after" : "target" : "open";
}

/* An L2 that sleeps: HLT is executed in the shadow of STI, so whatever waits. */
SNIPPET(sleep, "mark call; " CALL "; mark target; sti; mark halt; hlt; mark woken; nop; cli; mark again; " CALL
	       "; mark last; nop");

/* Ticks of the timer: of the waker, and of the watchdog where that needs no timer. */
#define SOON 20000
#define LATE 1000000000

#endif
