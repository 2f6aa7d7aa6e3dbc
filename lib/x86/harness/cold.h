/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cold memory: pages that the hypervisor has not mapped into its own tables yet, so that the CPU's
 * access to them in the middle of delivering an event exits to the hypervisor.
 *
 * A page whose contents do not matter (a stack) is cold if nobody has touched it since the machine
 * started: cold_page() hands such pages out, each first from its own 2 MiB block. A page with contents
 * (IDT, GDT, TSS, code, page table) is filled and made cold again by make_all_cold(): a toggled PAM
 * register of the host bridge makes QEMU rebuild its memory slots, and KVM drops all that it had mapped.
 *
 * Witness: the guest's own page table entry for the page has its accessed bit cleared before the
 * snippet and set afterwards.
 */
#ifndef LIB_X86_COLD_H
#define LIB_X86_COLD_H

#include "snippet.h"

#include <stdbool.h>
#include <stdint.h>

/* A page never touched before, to be touched by nobody but the snippet and its events. */
void *cold_page(void);

/* The same for a page that the caller fills; it is made cold by the next run(). */
void *cold_filled_page(void);

/* Each of these makes one thing cold that the delivery of `vector` needs, for one run(). */
void cold_ist_stack(unsigned vector);
void cold_rsp0_stack(void);
void cold_idt(void);
void cold_gdt(void);
void cold_tss(unsigned vector);
void cold_handler(unsigned vector);
void cold_page_table(unsigned vector);

/*
 * The next run(snippet) has its code up to the mark at the end of one page, and what follows in a cold
 * page, or in one that is not mapped.
 */
void cold_successor(const struct snippet *snippet, const char *mark);
void absent_successor(const struct snippet *snippet, const char *mark);

/* Page number `page` of the window (paging.h) is a page never touched before. */
void cold_window_page(unsigned page);

/* Delivery of `vector` switches to this stack (IST 1), in every environment. */
void use_ist(unsigned vector, uint64_t top);

/* Drops the hypervisor's mappings of all memory; false where there is no PAM register to do it with. */
bool make_all_cold(void);

/* Why a filled page cannot be made cold on this machine, or NULL. */
const char *cold_obstacle(void);

/* For run(): what was asked for becomes cold now; and was it used? */
void cold_before_run(void);
void cold_after_run(void);

/* The next run may do without what is cold: not touching it is no missing witness. */
void cold_is_optional(void);

/* The witness: each cold page was accessed during the run that it was made for. */
bool cold_was_used(void);

/* Forgets what the case asked for. */
void cold_reset(void);

#endif
