/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed interrupts beside exceptions and INT n, in x2APIC mode: the cases of ipi_exception.c, whose first page
 * has rule and bugs.
 *
 * What differs: registers are MSRs (see ipi_x2apic.c).
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi_exception.c"
