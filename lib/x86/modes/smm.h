/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System management mode: a handler at the default SMBASE, which is memory like any other as long as no firmware has
 * locked it. It writes down the raw saved state and what it finds; C understands it behind RSM.
 */
#ifndef LIB_X86_MODES_SMM_H
#define LIB_X86_MODES_SMM_H

#include "smm_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the handler counts, and what it is to do at the SMI of that number (SMM_SEND, …). */
struct smm_plan {
	uint32_t count; /* SMIs so far */
	uint32_t icr;	/* the command that it sends, to the destination that ICR_HIGH has */
	uint32_t delivered_at;
	uint32_t poke_at, poke; /* what it writes into the saved state: offset, value */
	uint32_t events;	/* that were delivered within SMM */
	struct {
		uint16_t vector, ip, cs, flags;
	} event_list[SMM_MAX_EVENTS];
	uint32_t actions[SMM_MAX_ACTIONS];
	uint16_t table_limit, table_low, table_high, reserved;
	uint32_t pae; /* what CR3 points to in PAE paging, or 0 */
};

/* What it found at an SMI. */
struct smm_seen {
	uint8_t state[SMM_STATE_BYTES];
	uint32_t eflags, cr0, cr4, dr7, efer;
	uint32_t delivered; /* events that the CPU had recorded by then */
	uint16_t cs;
	uint16_t reserved[3];
};

#define SMM_HAS(what, field, offset) \
	_Static_assert(offsetof(what, field) == (offset), "smm_layout.h")
SMM_HAS(struct smm_plan, events, PLAN_EVENTS);
SMM_HAS(struct smm_plan, event_list, PLAN_EVENT_LIST);
SMM_HAS(struct smm_plan, actions, PLAN_ACTIONS);
SMM_HAS(struct smm_plan, table_limit, PLAN_TABLE);
SMM_HAS(struct smm_plan, pae, PLAN_PAE);
SMM_HAS(struct smm_seen, eflags, SEEN_EFLAGS);
SMM_HAS(struct smm_seen, delivered, SEEN_DELIVERED);
SMM_HAS(struct smm_seen, cs, SEEN_CS);
_Static_assert(sizeof(struct smm_plan) == PLAN_BYTES, "smm_layout.h");
_Static_assert(sizeof(struct smm_seen) == SEEN_BYTES, "smm_layout.h");
_Static_assert(SMM_SEEN + SMM_MAX_SEEN * SEEN_BYTES < SMM_STACK - 0x100, "smm_layout.h");

extern volatile struct smm_plan *const smm;
extern const volatile struct smm_seen *const smm_seen;

/* Fields of the saved state that both maps have. */
enum smm_field {
	SMM_RIP,
	SMM_RFLAGS,
	SMM_CR0,
	SMM_CR3,
	SMM_CR4, /* Intel's map has none */
	SMM_EFER,
	SMM_DR6,
	SMM_DR7,
	SMM_RAX,
	SMM_RCX,
	SMM_RSI,
	SMM_RSP,
	SMM_AUTO_HALT,
	SMM_IO_RESTART,
	SMM_REVISION,
	SMM_BASE,
	SMM_FIELDS,
};

/* Puts the handler in its place, with an empty plan and nothing seen. */
void smm_install(void);

/* Offset of a field from SMBASE, in the map that the revision identifier of the first SMI names; 0: it has none. */
unsigned smm_offset(enum smm_field field);

/* What SMI number n (from 0) has saved. */
uint64_t smm_saved(unsigned n, enum smm_field field);

/* Puts the SMIs that this CPU has had since smm_install() into its last run, in their order: `smi@place`. */
void smm_into_trace(void);

#endif
