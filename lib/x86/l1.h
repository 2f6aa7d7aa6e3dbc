/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptor tables of L1's own, so that an event which L1 takes in the middle of a run neither uses
 * nor warms the tables that the case has bent for L2. They name the same stubs; the TSS stays shared
 * (no gate of L1's names an IST stack).
 */
#ifndef LIB_X86_L1_H
#define LIB_X86_L1_H

#include "desc.h"

struct l1_tables {
	struct table_pointer idtr, gdtr; /* what the case has loaded, for L2 */
};

void l1_tables_load(struct l1_tables *saved);
void l1_tables_restore(const struct l1_tables *saved);

#endif
