/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a VMCS that no VM entry and no VM exit writes, compared behind each with what L1 has written last. What
 * has changed goes into the trace, as `!VMCS.0x4004`, the field by its number (vmcs.h).
 *
 * They are all controls and all of the host's state; and of the guest's, what L2 cannot have changed, as no snippet loads
 * these registers: TR, the bases of FS and GS, the descriptor tables, SYSENTER's MSRs, PAT, EFER and the link pointer.
 * SDM 3C, "VM Exits", "Saving Guest State"; of the VM-entry interruption information the valid bit alone is cleared by
 * an exit, and not by an entry that fails. Left out are HOST_RSP, which the assembly writes, and all other state of the
 * guest. The first CPU's VMCS alone is looked at.
 */
#ifndef LIB_X86_VMX_KEPT_H
#define LIB_X86_VMX_KEPT_H

#include "vmcs.h"

#include <stdbool.h>
#include <stdint.h>

struct l2;

/* L1 has written a field. */
void kept_wrote(enum vmcs_field field, uint64_t value);

/* Behind VMLAUNCH or VMRESUME, whether it has entered L2 or failed. */
void kept_compare(const struct l2 *v, bool entered);

#endif
