/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU in HLT, in x2APIC mode: the cases of halted.c, whose first page has rule and bugs. */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "halted.c"
