/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of SEV, SEV-ES and SEV-SNP: what it runs under (found out by boot/sev.S), its GHCB
 * pages, its calls to the hypervisor. The #VC handler is in vc/.
 *
 * Sources: GHCB specification rev. 2.04; APM 2, "Secure Encrypted Virtualization" and what follows it.
 */
#ifndef LIB_X86_SEV_H
#define LIB_X86_SEV_H

#include "ghcb_answer.h"
#include "x86/boot/reasons.h"

#include <stdbool.h>
#include <stdint.h>

#define MSR_SEV_STATUS 0xc0010131
#define SEV_STATUS_SEV (1u << 0)
#define SEV_STATUS_ES (1u << 1)
#define SEV_STATUS_SNP (1u << 2)
#define SEV_STATUS_DEBUG_SWAP (1u << 7)

/* SEV_STATUS, 0 without SEV; the C-bit is sev_c_bit of paging.h. */
extern uint64_t sev_status;

static inline bool sev_is_on(void)
{
	return sev_status & SEV_STATUS_SEV;
}

/* Events are not exits but #VC, and registers are the guest's secret. */
static inline bool sev_is_es(void)
{
	return sev_status & SEV_STATUS_ES;
}

/* Each page has an owner, and only what the guest has validated is its own (snp.h). */
static inline bool sev_is_snp(void)
{
	return sev_status & SEV_STATUS_SNP;
}

/* "no SEV", "SEV", "SEV-ES", "SEV-SNP" */
const char *sev_mode_name(void);

/*
 * Under SEV-ES: from now on each CPU that starts gets its GHCB, and devices, other CPUs and the end of the
 * machine are reached by it (bus.h, smp.h). Before percpu_init.
 */
void sev_begin(void);

/* Protocol version agreed upon, 0 without SEV-ES. */
unsigned sev_ghcb_version(void);

/* One request by the MSR protocol; what the MSR holds afterwards. The GHCB's address is put back. */
uint64_t sev_msr_call(uint64_t request);

/* -- Calls by the GHCB page. ------------------------------------------------------------------- */

/*
 * One call. The request's own fields are offered by themselves; others by ghcb_offer(). RIP and the
 * like are nobody's business here.
 */
struct ghcb_call {
	struct ghcb_request request; /* .rax: as offered */
	uint64_t exit_info_2;
	uint32_t offered; /* mask of GHCB_BIT() */
	uint64_t value[GHCB_FIELDS];
	struct ghcb_answer answer;
	struct ghcb_outcome outcome;
};

void ghcb_offer(struct ghcb_call *call, unsigned field, uint64_t value);

/*
 * The page is one per CPU, and a #VC may come in the middle of its use (in an NMI handler): whoever
 * opens it keeps what the interrupted owner had in it, and puts it back. Interrupts are off in between.
 */
#define GHCB_LEVELS 4 /* of such owners, and of #VCs in each other */
struct ghcb_use {
	uint64_t msr, rflags;
	unsigned depth;
};

volatile struct ghcb_page *ghcb_open(struct ghcb_use *use);
void ghcb_close(const struct ghcb_use *use);

/* Physical address of the open page. */
uint64_t ghcb_gpa(void);

/* With the page open: fills it, VMGEXIT, takes and judges the answer; false: no hypervisor may say that. */
bool ghcb_exit(struct ghcb_call *call);

/* The same for a call that needs no shared buffer. */
bool ghcb_call(struct ghcb_call *call);

/* Ends the guest, with what is wrong with the answer. */
void ghcb_refuse(const struct ghcb_call *call) __attribute__((noreturn));

/* VMGEXIT, and nothing else. */
static inline void vmgexit(void)
{
	asm volatile("rep; vmmcall" : : : "memory");
}

/* The code that had the page open was left, and nobody returns to it. */
void ghcb_abandon(void);

#endif
