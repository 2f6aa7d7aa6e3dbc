/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's side of the GHCB: the MSR protocol and the page. What is answered is what KVM of
 * Linux 6.12 answers, and the specification where KVM has no say (docs/sev.md).
 */
#ifndef MODEL_GHCB_H
#define MODEL_GHCB_H

#include "vcpu.h"

#include <stdbool.h>
#include <stdint.h>

/* L2's MSR C0010130. */
extern uint64_t ghcb_msr;

/* MODEL_INTERCEPT_… of calls.h that are on. */
extern unsigned ghcb_tsc_intercepts;

/* The value that a new vCPU finds there. */
void ghcb_reset(void);

/* A VMGEXIT; RIP is behind it already. */
void l2_vmgexit(struct vcpu *v);

/* An exit for PAUSE, asked for by a forged #VC; see calls.h. */
bool ghcb_pause(struct vcpu *v);

#endif
