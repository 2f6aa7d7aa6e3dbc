/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs by IPI in x2APIC mode: the cases of ipi_nmi.c, whose first page has rule and bugs.
 *
 * What differs: only CPL 0 can send, and logical ids are fixed (see ipi_x2apic.c).
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi_nmi.c"
