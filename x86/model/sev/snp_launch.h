/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a launch under SEV-SNP does with L2's memory before L2 runs: QEMU hands the ROM and what its
 * ASEV metadata names to the AMD-SP.
 */
#ifndef MODEL_SNP_LAUNCH_H
#define MODEL_SNP_LAUNCH_H

#include <stdint.h>

/* Ends the machine where the ROM has no metadata, or none that QEMU would take. */
void snp_launch(const uint8_t *rom, uint64_t bytes);

#endif
