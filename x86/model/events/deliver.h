/* SPDX-License-Identifier: BSD-2-Clause */
/* Delivery by hand, for the bugs that spoil what the CPU does to itself. */
#ifndef MODEL_DELIVER_H
#define MODEL_DELIVER_H

#include "vcpu.h"

/*
 * True: the event, which was to be injected, was delivered by hand and wrongly, as a bug wants it. False: no bug
 * that is on concerns it, or it cannot be done here (outside of long mode, what it needs is not mapped).
 */
bool deliver_wrongly(struct vcpu *v, uint32_t what, uint32_t error);

#endif
