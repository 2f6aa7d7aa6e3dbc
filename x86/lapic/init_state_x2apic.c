/* SPDX-License-Identifier: BSD-2-Clause */
/* What INIT leaves, in x2APIC mode: the cases of init_state.c, whose first page has rule and bugs. */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "init_state.c"
