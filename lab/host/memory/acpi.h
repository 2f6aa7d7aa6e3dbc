/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI's tables for L1: QEMU's, and one more, the IVRS, which says that there is an IOMMU with SNP support. QEMU's
 * tables stay where they are; copies of the two that lead to all others are made. ACPI 6.5, "Root System Description
 * Pointer", "Extended System Description Table"; AMD I/O Virtualization Technology (IOMMU) Specification (publication
 * 48882), "I/O Virtualization Reporting Structure".
 */
#ifndef HOST_ACPI_H
#define HOST_ACPI_H

#include <stdint.h>

/* What is written behind `at`. */
#define ACPI_BYTES 4096ul

/* The IOMMU, as the table and the device itself (psp/iommu.c) tell of it. */
#define IOMMU_DEVFN (5u << 3)	/* bus 0, device 5: QEMU's Q35 has nothing there */
#define IOMMU_CAPABILITY 0x40	/* in its configuration space */
#define IOMMU_BASE 0xfed80000ul /* where QEMU has its own, if asked */
/* Extended features: page tables of up to six levels; GASup, without which Linux does not read the others in the table;
 * INVALIDATE_IOMMU_ALL; SNPSup. */
#define IOMMU_FEATURES (1ul << 63 | 2ul << 10 | 1ul << 7 | 1ul << 6)

/* Returns the address of the root pointer for L1; `rsdp` is QEMU's. */
uint64_t acpi_add_iommu(uint64_t rsdp, uint64_t at);

#endif
