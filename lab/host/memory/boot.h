/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the PVH loader gives, what of memory the monitor keeps, and Linux's 64-bit boot protocol (Linux,
 * Documentation/arch/x86/boot.rst, "64-bit Boot Protocol").
 *
 * The monitor keeps two ranges: its image, and an arena for tables that grow with the machine's memory. Both are
 * reserved in L1's memory map and absent from the tables that L1 runs on (identity.h) and from those of each L2. With
 * SEV-SNP there is a third, which L1 reads: the RMP, and ACPI's tables (acpi.h).
 */
#ifndef HOST_BOOT_H
#define HOST_BOOT_H

#include "base/cpu.h"

#include <stdbool.h>
#include <stdint.h>

struct start_info;

/* Reads the loader's tables; the monitor's options count from here on. */
void boot_read(const struct start_info *info);

/* Behind the last byte of memory. */
uint64_t boot_memory_end(void);

/* Whether any of it is reserved; and the monitor's alone. */
bool boot_is_reserved(uint64_t at, uint64_t bytes);
bool boot_is_hidden(uint64_t at, uint64_t bytes);

/* What is reserved in L1's memory map: the monitor's ranges, and the one that L1 reads, which may be empty. */
enum { BOOT_IMAGE, BOOT_ARENA, BOOT_TABLES, BOOT_RANGES };
struct range {
	uint64_t begin, end;
};
extern struct range boot_reserved[BOOT_RANGES];

/* Zeroed memory for a table, in whole pages; stops the machine when there is none left. */
void *arena_take(uint64_t bytes);

/* Puts L1's kernel, initramfs and command line where they belong, and its registers to begin with. */
void boot_linux(struct cpu *c);

#endif
