/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC off, on and reset in x2APIC mode: the cases of apic_state.c, whose first page has rule and
 * bugs.
 *
 * What differs: only CPL 0 can send, INIT leaves the CPU in x2APIC mode (SDM 3A, "x2APIC States"), and no
 * two CPUs can have one id.
 */
#define X2APIC
#define MODE_NEEDS "x2apic=1"
#include "apic_state.c"
