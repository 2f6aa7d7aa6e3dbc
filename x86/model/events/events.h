/* SPDX-License-Identifier: BSD-2-Clause */
/* What is delivered at the next entry, and what an exit interrupted. */
#ifndef MODEL_EVENTS_H
#define MODEL_EVENTS_H

#include "vcpu.h"

/* Before an entry: one event into EVENTINJ, or a window to get one in later. */
void events_before_entry(struct vcpu *v);

/* From here to the next IRET NMIs are held back. */
void events_block_nmi(struct vcpu *v);

/* Whether something is to be delivered that ends HLT. */
bool events_due(const struct vcpu *v);

/* After an exit: an event whose delivery it interrupted is to be delivered again. */
void events_after_exit(struct vcpu *v);

/* An interrupt is held back by the shadow that the instruction which exited stands in. */
bool events_shadow_holds(const struct vcpu *v);

#endif
