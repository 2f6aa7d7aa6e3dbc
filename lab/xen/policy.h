/* SPDX-License-Identifier: BSD-2-Clause */
/* What CPUID tells the guest. */
#ifndef XEN_POLICY_H
#define XEN_POLICY_H

/* Shows it SVM or VMX, whichever the host has: Xen hides both until it is asked. */
void policy_show_nested(void);

#endif
