/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software interrupts: INT n, INT3 and INTO, executed by L2 or injected by L1.
 *
 * A CPU with NRIPS pushes next_rip of the VMCB for one that is injected; the emulator pushes RIP. So RIP is next_rip
 * during the entry, and put back where the delivery does not come to its end. What the delivery faults with has to
 * come from the instruction itself: the faults are intercepted, and handed to L2 with RIP in its place.
 *
 * One that L2 executes is intercepted, always: INT3 and INTO, since the emulator asks for the intercept of INT n with
 * all three (bugs.toml, tcg-int3-intercept); and since the bytes are known for certain only before the frame is
 * pushed, which may lie where they do. Where L1 does not want the exit, it is injected as above.
 *
 * APM 2, "INTn, INT3, INTO Intercepts", "Event Injection", "Next Sequential Instruction Pointer".
 */
#ifndef HOST_SOFT_H
#define HOST_SOFT_H

#include "l2.h"

void soft_before(struct l2 *l);
void soft_after(struct l2 *l);

/* The delivery was interrupted by what L1 needs not know of: the event, with RIP as the emulator wants it. */
struct svm_event soft_again(struct l2 *l);

/* An exit that is about one of them. True: L2 goes on. */
bool soft_exit(struct l2 *l);

#endif
