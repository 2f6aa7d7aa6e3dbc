/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU that sends itself fixed interrupts and takes them when it likes. */
#ifndef X86_SELF_H
#define X86_SELF_H

#include "vector.h"

/* Entered with interrupts off; what is pending is delivered at `wait` and not before. */
SNIPPET(held, "area off; mov $64, %eax; 1: dec %eax; jnz 1b; sti; nop; " WAIT);

static inline void send_self(unsigned v)
{
	send_fixed(0, ICR_SELF | v);
}

#endif
