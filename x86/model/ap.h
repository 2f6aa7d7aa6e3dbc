/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a processor of L2's starts: SDM 3A, "Multiple-Processor (MP) Initialization". Under SEV-ES its
 * registers are sealed: the first start-up takes it to where the payload's ROM says (the reset block),
 * and every later one only ends an AP reset hold, which the processor has asked for itself (GHCB
 * specification, "AP Booting"; Linux 6.12, sev_vcpu_deliver_sipi_vector).
 */
#ifndef MODEL_AP_H
#define MODEL_AP_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct ghcb_page;

struct ap_state {
	bool waits_for_sipi; /* after INIT; a processor that is not the first begins so */
	bool started;	     /* has had its first start-up */
	uint8_t last_page;   /* that a start-up IPI named */
	bool destroyed;	     /* by request; only AP creation makes it run again */
	uint64_t on_init;    /* the VMSA that it starts with at the next INIT, or 0 */
	/* An AP reset hold: by the MSR protocol, or by the page that is to be answered. */
	bool held;
	volatile struct ghcb_page *page;
};

/* Takes note of the reset block; before any processor runs. */
void ap_read_rom(const void *rom, uint64_t bytes);

/* What an INIT and a start-up IPI do to the processor. */
void ap_init(struct vcpu *v);
void ap_sipi(struct vcpu *v, unsigned vector);

/* Anything else that arrives at the processor: only a bug takes it for a start-up IPI. */
void ap_other_event(struct vcpu *v);

/* It waits for a start-up IPI; `page` is NULL for the MSR protocol. */
void ap_hold(struct vcpu *v, volatile struct ghcb_page *page);

/*
 * AP creation under SEV-SNP: with the registers of a VMSA, at once or at the next INIT; and its end. The page
 * is one that VMRUN takes, or the machine ends.
 */
void ap_create(struct vcpu *v, uint64_t vmsa);
void ap_create_on_init(struct vcpu *v, uint64_t vmsa);
void ap_destroy(struct vcpu *v);

/* None of these keeps it from running. */
bool ap_runs(const struct vcpu *v);

#endif
