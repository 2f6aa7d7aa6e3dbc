/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nested tables that L1 runs on: every address leads to itself, in pages as large as they can be, but for what
 * is taken out: the monitor's memory, devices that the monitor plays, and frames whose contents L1 is not to see as
 * they are (views.h).
 */
#ifndef HOST_IDENTITY_H
#define HOST_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

/* Makes the tables, without the monitor's own memory. Returns their root. */
uint64_t identity_make(void);

/* The page of an address is not there for L1; and there again, to read or also to write. The next entry of L1
 * flushes its TLB. */
void identity_unmap(uint64_t at);
void identity_give(uint64_t at, bool writable);

/* An address beyond the first 512 GiB that L1 names for the first time. False: it is mapped, or taken out. */
bool identity_extend(uint64_t at);

#endif
