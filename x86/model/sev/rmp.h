/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reverse map table of SEV-SNP, as far as one guest can see it: whose each page of L2's is, and
 * whether L2 has said that it knows of it. APM 2, "Reverse Map Table", "Page Validation".
 *
 * There are entries for 4 KiB alone, as a launch makes them.
 */
#ifndef MODEL_RMP_H
#define MODEL_RMP_H

#include "vcpu.h"

#include <stdbool.h>
#include <stdint.h>

/* All of L2's memory is its own from the start, and nothing of it validated. */
void rmp_init(void);

/* Whether there is memory at all; the rest is asked only of such addresses (without the C-bit). */
bool rmp_covers(uint64_t gpa);

/* Assigned to the guest; else the hypervisor's, which is shared memory. */
bool rmp_is_private(uint64_t gpa);
bool rmp_is_validated(uint64_t gpa);
bool rmp_is_vmsa(uint64_t gpa);

/*
 * RMPUPDATE: the page changes hands. It is not validated any more, and what it held is lost. A page that
 * is where it is told to go stays as it was. `self` is the processor that exited, NULL before the first; no
 * other one goes on with what it may have known of the page.
 */
void rmp_assign(struct vcpu *self, uint64_t gpa, bool to_guest);

/* PVALIDATE, RMPADJUST and the launch. */
void rmp_validate(struct vcpu *self, uint64_t gpa, bool valid);
void rmp_make_vmsa(uint64_t gpa, bool vmsa);

#endif
