/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vectors 0 to 15 in x2APIC mode: the cases of illegal.c, whose first page has rule and bugs, and the
 * SELF IPI register besides. Only zero may be written to the ESR here.
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "illegal.c"
