/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulated local APIC: xAPIC page and x2APIC MSRs. SDM 3A, "Advanced Programmable Interrupt Controller". */
#ifndef MODEL_LAPIC_H
#define MODEL_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

struct lapic {
	unsigned number; /* the id that it has after power-up */
	uint32_t id, tpr, ldr, dfr, spurious, icr_low, icr_high;
	uint32_t esr, esr_collected;
	uint32_t isr[8], tmr[8], irr[8];
	uint32_t lvt[6]; /* timer, thermal, performance, LINT0, LINT1, error */
	uint32_t timer_initial, timer_divide;
	uint64_t timer_started; /* TSC; 0: not running */
	/* For bugs: the entry and the divider when the count was written; what read-only registers were told. */
	uint32_t timer_entry_then, timer_divide_then;
	uint32_t scribbled[64];
	uint64_t base; /* IA32_APIC_BASE */
};

struct vcpu;

/* After power-up, with `number` for an id; after INIT, which keeps the id and the mode. */
void lapic_reset(struct lapic *a, unsigned number);
void lapic_init(struct lapic *a);

/* Register `offset` (xAPIC offsets); false: the register does not exist (x2APIC: #GP). */
bool lapic_read(struct vcpu *v, unsigned offset, uint32_t *value);
bool lapic_write(struct vcpu *v, unsigned offset, uint32_t value, uint32_t high);

/* IA32_APIC_BASE; false for an illegal transition. */
bool lapic_write_base(struct lapic *a, uint64_t value);
bool lapic_is_x2(const struct lapic *a);
bool lapic_is_on(const struct lapic *a);

/* Enabled by software. */
bool lapic_takes(const struct lapic *a);

/* The vector to deliver next at the current priority, or -1. */
int lapic_deliverable(const struct lapic *a);

/* Whether anything is in IRR. */
bool lapic_is_asked(const struct lapic *a);

/* An interrupt arrives: into IRR, or it is an error. */
void lapic_request(struct vcpu *v, unsigned vector);

/* The request was one of a level-triggered interrupt. */
void lapic_was_level(struct lapic *a, unsigned vector);

/* A source of this CPU's own: the interrupt that the LVT entry says (APIC_LVT_...). */
void lapic_local_interrupt(struct vcpu *v, unsigned entry);

/* An error, an ESR_ bit: for the ESR, and the error interrupt. */
void lapic_error(struct vcpu *v, uint32_t bit);

/* The CPU takes the vector: IRR to ISR. */
void lapic_accept(struct lapic *a, unsigned vector);

/* The processor priority: that of the vector in service, or TPR. */
uint32_t lapic_priority(const struct lapic *a);

/* Whether the vector is requested; or in service, too. */
bool lapic_is_requested(const struct lapic *a, unsigned vector);
bool lapic_has(const struct lapic *a, unsigned vector);

/* A bug: INT n of this vector and its interrupt count as one. True if the interrupt came first. */
bool lapic_merge(struct lapic *a, unsigned vector);

/* Lets time pass: the timer may expire. True while it runs. */
bool lapic_tick(struct vcpu *v);

#endif
