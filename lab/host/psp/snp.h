/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Secure Processor's part in SEV-SNP: the commands of the "SEV Secure Nested Paging Firmware ABI Specification" (AMD
 * publication 56860, rev. 1.55), with the states of platform, guests and pages. Which there are is snp.def. As in
 * firmware.h, nothing is secret and nothing is measured.
 *
 * The state of a page is what the RMP has of it ("Page States"): assigned, immutable, ASID, guest's address, VMSA.
 */
#ifndef HOST_SNP_H
#define HOST_SNP_H

#include "firmware.h"

/* The numbers of its commands begin here. */
#define SNP_COMMANDS 0x80

enum snp_guest_state { SNP_GUEST_INIT, SNP_GUEST_LAUNCH, SNP_GUEST_RUNNING };

/**
 * snp_command - carry out a command
 * @id:     of the command
 * @buffer: address of its parameters in L1's memory
 * @legacy: the commands of SEV are initialized
 *
 * Returns the status code.
 */
enum sev_error snp_command(unsigned id, uint64_t buffer, bool legacy);

/* Whether the firmware may write there: with SEV-SNP at work, to pages alone that L1 has made the firmware's. */
bool snp_may_write(uint64_t at, uint64_t bytes);

#endif
