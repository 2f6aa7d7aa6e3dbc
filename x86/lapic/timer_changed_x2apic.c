/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer changed while it runs, in x2APIC mode: the cases of timer_changed.c, whose first page has rule and bugs. */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "timer_changed.c"
