/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IOMMU as Linux's driver finds it (memory/acpi.h has its place): without one that says SNPSup, Linux has no SEV-SNP.
 * It translates nothing, since no device of this machine reaches memory by itself; it takes commands and says that they
 * are done. QEMU's own would write its answers to any address that L1 names. AMD I/O Virtualization Technology (IOMMU)
 * Specification (publication 48882), "Registers", "Commands".
 */
#ifndef HOST_IOMMU_H
#define HOST_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

/* Puts it on the bus, and takes its registers out of what L1 reaches by itself. */
void iommu_init(void);

/* Registers, by their address; 4 or 8 bytes at once. */
bool iommu_claims(uint64_t at);
uint64_t iommu_read(uint64_t at, unsigned bytes);
void iommu_write(uint64_t at, unsigned bytes, uint64_t value);

#endif
