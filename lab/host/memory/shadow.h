/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nested tables that an L2 really runs on: filled at a fault from the ones that L1 has made for it, as a TLB is,
 * and brought up to date where L1 asks for a flush. So no L2 reaches what is not L1's, whatever L1 writes into its
 * tables; and a frame can be taken out while another view of it is shown (views.h).
 *
 * A TLB that is flushed is thrown away; these tables are gone through instead: each entry is compared with L1's, and
 * those that have changed are dropped. L1 cannot change its tables meanwhile, since the CPU is ours, so what is left
 * is what would be filled in again. APM 2, "TLB Control", "Nested Paging".
 */
#ifndef HOST_SHADOW_H
#define HOST_SHADOW_H

#include "base/cpu.h"
#include "memory.h"

#include <stdbool.h>
#include <stdint.h>

/* Of the arena, for so many frames of memory. */
uint64_t shadow_bytes(uint64_t frames);
void shadow_init(void);

/**
 * shadow_root - the tables for an L2 about to run
 * @b:    its VMCB: ASID, TLB control, paging mode
 * @ncr3: of L1's tables for it
 * @key:  of its private memory, or 0
 *
 * Obeys TLB control. Returns what nested CR3 is to be.
 */
uint64_t shadow_root(const struct vmcb *b, uint64_t ncr3, unsigned key);

/**
 * shadow_fault - a nested page fault of L2
 * @b: its VMCB, EXITINFO1 and EXITINFO2 as the CPU gave them
 * @s: its memory: L1's tables, its key, and whether the RMP is asked
 *
 * SHADOW_MAPPED: only our tables lacked something, which is there now, and L2 goes on. SHADOW_L1S: the fault is L1's, and
 * the VMCB says what L1's own tables, and the RMP, would have given. SHADOW_NOT_VALIDATED: it is L2's own, a #VC.
 */
enum shadow_answer { SHADOW_MAPPED, SHADOW_L1S, SHADOW_NOT_VALIDATED };
enum shadow_answer shadow_fault(struct vmcb *b, const struct space *s);

/* A frame changes hands: no L2 has it mapped afterwards. */
void shadow_forget(uint64_t frame);

#endif
