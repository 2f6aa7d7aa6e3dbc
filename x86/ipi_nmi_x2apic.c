/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMI, INIT and start-up IPIs in x2APIC mode: the cases of ipi_nmi.c, whose first page has rule and bugs.
 *
 * What differs: only CPL 0 can send, INIT leaves the CPU in x2APIC mode (SDM 3A, "x2APIC States"), and no
 * two CPUs can have one id.
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "ipi_nmi.c"
