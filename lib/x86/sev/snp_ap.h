/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs under SEV-SNP: the guest itself writes the registers that a CPU is to start with into a page,
 * makes it a VMSA, and asks the hypervisor to run it.
 *
 * Sources: GHCB specification rev. 2.04, "SNP AP Creation"; APM 3, RMPADJUST; Linux 6.12,
 * arch/x86/coco/sev/core.c.
 */
#ifndef LIB_X86_SNP_AP_H
#define LIB_X86_SNP_AP_H

#include "sev.h"
#include "x86/arch/vmsa.h"

#include <stdbool.h>
#include <stdint.h>

/* What is asked for. */
#define SNP_AP_ON_INIT 0 /* run it from the next INIT on */
#define SNP_AP_CREATE 1	 /* at once */
#define SNP_AP_DESTROY 2

/* SW_EXITINFO1 of the request; VMPL 0. */
#define SNP_AP_INFO1(apic_id, operation) ((uint64_t)(apic_id) << 32 | (operation))

/**
 * snp_ap_page - the CPU's page, for its registers to be written
 * @index: of the CPU, which must not be running
 *
 * Returns the page with the state after INIT, but in real mode at the start of AP_START_PAGE; NULL if it
 * is a VMSA that the CPU does not let go of.
 */
struct vmsa *snp_ap_page(unsigned index);

/**
 * snp_ap_ask - make the page a VMSA, and ask for it to be run, or stopped
 * @index:     of the CPU; its APIC id is the same
 * @operation: SNP_AP_…
 *
 * Returns false where RMPADJUST or the hypervisor refuses.
 */
bool snp_ap_ask(unsigned index, unsigned operation);

/**
 * snp_ap_start - start or restart a CPU at AP_START_PAGE
 * @index: of the CPU
 */
bool snp_ap_start(unsigned index);

#endif
