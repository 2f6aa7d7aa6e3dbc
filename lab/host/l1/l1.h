/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1, the stock Linux: what of it the monitor looks at. It runs on the CPU as it is but for VMRUN, CPUID, a few MSRs,
 * the ports of PCI's configuration space and the pages that its tables lack (identity.h).
 */
#ifndef HOST_L1_H
#define HOST_L1_H

#include "base/cpu.h"

/* #UD of L1 at RMPUPDATE or PSMASH, which the emulator does not know: l1_rmp.c. False: it is none of these. */
bool l1_rmp_instruction(struct cpu *c);

/* The state in which a kernel is entered, but for RIP, CR3, GDTR and RSI (boot_linux()). */
void l1_init(struct cpu *c);

/* L1 has come out of its VMCB. */
void l1_exit(struct cpu *c);

void l1_cpuid(struct cpu *c); /* l1_cpuid.c */
void l1_msr(struct cpu *c);   /* l1_msr.c */
void l1_port(struct cpu *c);  /* l1_device.c */
void l1_npf(struct cpu *c);   /* l1_device.c */

#endif
