/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed IPIs in x2APIC mode: the cases of ipi.c, whose first page has rule and bugs, on every CPU's
 * x2APIC, and the SELF IPI register besides.
 *
 * What differs: registers are MSRs, the ICR is one write of 64 bits without a busy bit, ids have 32 bits
 * and so has the broadcast, logical ids are fixed as cluster and member by the APIC id, and there is no
 * flat model. It is a guest of its own since a machine need not come back from x2APIC mode: Bochs 2.7
 * then reads 0xffffffff from the xAPIC's page.
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi.c"
