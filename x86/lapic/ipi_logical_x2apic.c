/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical destinations in x2APIC mode: ipi_logical.c, whose first page has rule and bugs, with its own rows. */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi_logical.c"
