/* SPDX-License-Identifier: BSD-2-Clause */
/* Each exit and what is done about it. */
#ifndef MODEL_EXITS_H
#define MODEL_EXITS_H

#include "vcpu.h"

void exit_handle(struct vcpu *v);

#endif
