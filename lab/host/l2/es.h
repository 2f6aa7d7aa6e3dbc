/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-ES: the registers of L2 are in a page that L1 cannot read, the VMSA, and L1's VMCB has the control area alone.
 * An intercepted event is one of two kinds. Automatic exits go to L1, which learns no more than that something
 * happened. All others become exception 29 (#VC) in L2 itself, whose handler decides what to tell, puts it into a
 * page that both can read, the GHCB, and exits with VMGEXIT. APM 2, "Encrypted State (SEV-ES)"; GHCB specification,
 * "Automatic Exits", "Non-Automatic Exits".
 *
 * L2 runs here from a VMCB of the monitor's, made of L1's control area and the VMSA, which are written back at an
 * automatic exit.
 */
#ifndef HOST_ES_H
#define HOST_ES_H

#include "l2.h"

/* Runs L2 until an automatic exit, which is in `theirs`, L1's VMCB, then. */
void es_run(struct l2 *l, struct vmcb *theirs);

/* What L1 did not ask for and a sealed guest needs: called by l2_enter(). */
void es_before(struct l2 *l);

/* es_exit.c: what the CPU makes of an exit. True: L2 goes on. `theirs` has the GHCB's MSR. */
bool es_exit(struct l2 *l, struct vmcb *theirs);

/* es_control.c: MOV to CRn, CLTS, LMSW; the MSRs that are the CPU's own business. As es_exit(). */
bool es_write_cr(struct l2 *l);
bool es_msr(struct l2 *l, struct vmcb *theirs);

/* es_snp.c: a page that L2 has not validated; PVALIDATE and RMPADJUST, which the emulator does not know. As es_exit(),
 * the latter also where it is neither of them: then it is #UD. */
bool es_not_validated(struct l2 *l);
bool es_snp_instruction(struct l2 *l);

/* An exit for a nested fault that the monitor has found by itself, while it did L2's work. */
void es_nested_fault(struct l2 *l, const struct miss *miss, bool write);

/* #VC with this error code, at RIP. True: L2 is at its handler; false: L1 has something to do first. */
bool es_raise_vc(struct l2 *l, uint32_t error);

#endif
