/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2 under SEV-SNP: what the CPU does beyond SEV-ES. It looks every access up in the RMP (rmp.h), and has
 * two instructions that no emulator knows: their #UD is intercepted.
 */
#ifndef MODEL_SNP_H
#define MODEL_SNP_H

#include "vcpu.h"

#include <stdbool.h>

/*
 * A nested page fault at memory (not at a device), `is_private`: L2's access counts as one with the C-bit.
 * True: it was #VC(0x404) instead. A page that is in the wrong hands changes them, as KVM does it.
 */
bool snp_access(struct vcpu *v, bool is_private);

/* An intercepted #UD. True: it was PVALIDATE or RMPADJUST, which is done. */
bool snp_insn(struct vcpu *v);

#endif
