/* SPDX-License-Identifier: BSD-2-Clause */
/* INIT and start-up IPIs in x2APIC mode, which INIT does not end: the cases of init.c, whose first page has rule and bugs. */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "init.c"
