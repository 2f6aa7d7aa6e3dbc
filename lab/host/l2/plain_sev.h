/* SPDX-License-Identifier: BSD-2-Clause */
/* An L2 under SEV without SEV-ES: its registers are L1's to see, its memory is not. */
#ifndef HOST_PLAIN_SEV_H
#define HOST_PLAIN_SEV_H

#include "l2.h"

/* RDMSR of SEV_STATUS, which no hypervisor can intercept. True: it is done, L2 goes on. */
bool plain_sev_exit(struct l2 *l);

#endif
