/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1 itself: what it hands to an L2 that begins as its copy, and the descriptor tables of its own, so
 * that an event which L1 takes in the middle of a run neither uses nor warms the tables that the case has
 * bent for L2. They name the same stubs; the TSS stays shared (no gate of L1's names an IST stack).
 */
#ifndef LIB_X86_L1_H
#define LIB_X86_L1_H

#include "x86/cpu/desc.h"
#include "x86/record/event.h"

struct recording;

struct l1_tables {
	struct table_pointer idtr, gdtr; /* what the case has loaded, for L2 */
};

void l1_tables_load(struct l1_tables *saved);
void l1_tables_restore(const struct l1_tables *saved);

/* A selector that the case has loaded, with bytes 5 and 6 of its descriptor, without the limit. */
struct l1_segment {
	uint16_t selector, access; /* access: 0 for a null selector */
};

/* Of one of the selectors of layout.h, without a look into the GDT, which would warm it. */
struct l1_segment l1_segment(uint16_t selector);
struct l1_segment l1_read_ds(void);
struct l1_segment l1_read_es(void);

struct l1_registers {
	uint64_t cr0, cr2, cr3, cr4, dr6, dr7;
};

void l1_registers_read(struct l1_registers *r);
void l1_registers_write(const struct l1_registers *r);

/* For `take_l1_event` of a layer: what reading the registers provoked. */
bool l1_take_event(struct recording *rec, const struct event *event);

#endif
