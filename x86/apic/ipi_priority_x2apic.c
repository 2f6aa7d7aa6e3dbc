/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Priority among fixed interrupts, in x2APIC mode: the cases of ipi_priority.c, whose first page has rule and bugs.
 *
 * What differs: registers are MSRs (see ipi_x2apic.c).
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi_priority.c"
