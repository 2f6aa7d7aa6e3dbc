/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-level address translation, which L1 gives its L2: nested page tables or EPT, 4 GiB, one to
 * one, from which single pages can be taken away.
 */
#ifndef LIB_X86_SLAT_H
#define LIB_X86_SLAT_H

#include <stdbool.h>
#include <stdint.h>

/* The bits of an entry, besides address and the bit of a 2 MiB page. Without `access` it maps nothing. */
struct slat_format {
	uint64_t access;
	uint64_t table, memory, devices; /* besides `access` */
};

extern const struct slat_format slat_npt, slat_ept;

/* Gives back all that was taken. From here on the tables are in this format. */
void slat_reset(const struct slat_format *format);

/* Address of the topmost table. */
uint64_t slat_root(void);

/* Takes the page at this physical address away from L2, or gives it back. */
void slat_unmap(uint64_t address);
void slat_map(uint64_t address);
bool slat_is_mapped(uint64_t address);

/* The 4 KiB entry itself, to be changed; whoever does more to it than the functions above puts it back. */
uint64_t *slat_entry(uint64_t address);

/* How often anything was changed: what the CPU has cached of it since then is true. */
unsigned slat_changes(void);

#endif
