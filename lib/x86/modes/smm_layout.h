/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the handler of SMIs and C find each other: offsets from the default SMBASE. */
#ifndef LIB_X86_MODES_SMM_LAYOUT_H
#define LIB_X86_MODES_SMM_LAYOUT_H

#define SMBASE 0x30000
#define SMM_SELECTOR 0x3000 /* the segment of real mode at SMBASE */

#define SMM_ENTRY 0x8000
#define SMM_PLAN 0x9000
#define SMM_VECTORS 0x9400 /* the table of real mode, for events in SMM */
#define SMM_SEEN 0xa000	   /* struct smm_seen, one after the other */
#define SMM_STACK 0xe000
#define SMM_STATE 0xfc00 /* saved state of either vendor: from here to the segment's end */
#define SMM_STATE_BYTES 0x400

/* struct smm_plan */
#define PLAN_COUNT 0x00
#define PLAN_ICR 0x04
#define PLAN_DELIVERED_AT 0x08
#define PLAN_POKE_AT 0x0c
#define PLAN_POKE 0x10
#define PLAN_EVENTS 0x14
#define PLAN_EVENT_LIST 0x18
#define PLAN_ACTIONS 0x38
#define PLAN_TABLE 0x48 /* 6 bytes for LIDT */
#define PLAN_PAE 0x50
#define PLAN_BYTES 0x54

#define SMM_MAX_SEEN 6
#define SMM_MAX_EVENTS 4 /* of 8 bytes: vector, IP, CS, FLAGS */
#define SMM_MAX_ACTIONS 4

/* struct smm_seen, behind the saved state */
#define SEEN_EFLAGS (SMM_STATE_BYTES + 0x00)
#define SEEN_CR0 (SMM_STATE_BYTES + 0x04)
#define SEEN_CR4 (SMM_STATE_BYTES + 0x08)
#define SEEN_DR7 (SMM_STATE_BYTES + 0x0c)
#define SEEN_EFER (SMM_STATE_BYTES + 0x10)
#define SEEN_DELIVERED (SMM_STATE_BYTES + 0x14)
#define SEEN_CS (SMM_STATE_BYTES + 0x18)
#define SEEN_BYTES (SMM_STATE_BYTES + 0x20)

/* What the handler does besides, by bits of an action; in this order. */
#define SMM_SEND 0x01	    /* writes the plan's command to the ICR */
#define SMM_SEND_AGAIN 0x02 /* and once more */
#define SMM_IRET 0x04
#define SMM_INT3 0x08
#define SMM_INT_N 0x10 /* INT 0x20 */
#define SMM_UD2 0x20
#define SMM_DIVIDE 0x40
#define SMM_POKE 0x80	    /* a doubleword of the saved state */
#define SMM_POKE_BYTE 0x100 /* a byte of it */
#define SMM_POKE_HALF 0x200 /* 16 bits of it */

#endif
