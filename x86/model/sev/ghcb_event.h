/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest asks for by the GHCB's page, event by event.
 *
 * L2's registers are its secret. Nothing here looks at struct vcpu's copy of them: `struct ghcb_known` is
 * all that the hypervisor knows.
 */
#ifndef MODEL_GHCB_EVENT_H
#define MODEL_GHCB_EVENT_H

#include "vcpu.h"

#include "x86/sev/ghcb_answer.h"

#include <stdint.h>

#define GHCB_FEATURES_OFFERED 3 /* what KVM says in every mode */

/* One call: what was offered, and the answer. */
struct ghcb_known {
	struct vcpu *v;
	uint64_t gpa;
	volatile struct ghcb_page *page;
	struct ghcb_answer in;
	uint64_t rax, rbx, rcx, rdx; /* 0 where not offered */
	uint64_t code, info1, info2;
	uint64_t result1, result2;
};

/* Does what is asked for; the answer is in *k. */
void ghcb_event(struct ghcb_known *k);

/* Whether it asks for nothing that this hypervisor does, so that nothing is given back. */
bool ghcb_event_is_plain(uint64_t code);

/* Ports and device registers (ghcb_io.c). */
void ghcb_event_ioio(struct ghcb_known *k);
void ghcb_event_mmio(struct ghcb_known *k);

/* Answers. */
void ghcb_malformed(struct ghcb_known *k, enum ghcb_reason reason);
void ghcb_raise_gp(struct ghcb_known *k);

/* A scratch area as version 2 wants it; NULL with the answer that says so. */
volatile uint8_t *ghcb_scratch(struct ghcb_known *k, uint64_t bytes);

/* The guest has asked to be ended. */
void ghcb_terminated(unsigned set, unsigned reason) __attribute__((noreturn));

#endif
