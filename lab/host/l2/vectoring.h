/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EXITINTINFO: the event whose delivery an exit came in between. The emulator knows two types there: an interrupt and
 * an NMI are "exceptions", INT3 and INTO are "INT n" (bugs.toml, tcg-exitintinfo). APM 2, "Interrupt Information
 * Handling".
 */
#ifndef HOST_VECTORING_H
#define HOST_VECTORING_H

#include "l2.h"

/* Puts the type right, for L1 to see. */
void vectoring_correct(struct l2 *l);

/**
 * vectoring_again - the event, to be injected once more after a fault that was the monitor's own affair
 * @b:     VMCB of that exit; RIP moves where the event is a software interrupt, as the emulator needs it
 * @space: the memory that its code is in
 *
 * Returns what EVENTINJ is to be; no event where none was being delivered.
 */
struct svm_event vectoring_again(struct vmcb *b, const struct space *space);

#endif
