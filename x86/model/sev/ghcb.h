/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's side of the GHCB: the MSR protocol and the page. What is answered is what KVM of
 * Linux 6.12 answers, and the specification where KVM has no say (docs/sev.md).
 */
#ifndef MODEL_GHCB_H
#define MODEL_GHCB_H

#include "vcpu.h"

#include <stdint.h>

/* The highest protocol version that is offered: 2, or 1 as KVM does where QEMU makes an old kind of guest. */
extern unsigned ghcb_most_version;

/* The value that a new vCPU finds in its GHCB MSR. */
void ghcb_reset(struct vcpu *v);

/* A start-up IPI ends an AP reset hold; `page` is NULL for one by the MSR protocol. */
void ghcb_end_hold(struct vcpu *v, volatile struct ghcb_page *page);

/* A VMGEXIT; RIP is behind it already. */
void l2_vmgexit(struct vcpu *v);

#endif
