/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of SEV, SEV-ES and SEV-SNP: what it runs under (found out by boot/sev.S), its GHCB
 * pages, its calls to the hypervisor, its #VC handler (vc.c).
 *
 * Sources: GHCB specification rev. 2.04; APM 2, "Secure Encrypted Virtualization" and what follows it.
 */
#ifndef TRAPLINE_SEV_SEV_H
#define TRAPLINE_SEV_SEV_H

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

/* For cases about what only SEV-ES has, and about what it has not. */
#define need_es() need_of_machine(sev_is_es(), "SEV-ES")
#define need_snp() need_of_machine(sev_is_snp(), "SEV-SNP")
#define need_iret_unblocks_nmi() \
	need_of_machine(!sev_is_es(), "IRET that unblocks NMIs (SEV-ES has a call for it)")

/* Gives the running CPU its GHCB; before its first instruction that can raise #VC. */
void sev_init_cpu(unsigned index);

/* Protocol version agreed upon, 0 without SEV-ES. */
unsigned sev_ghcb_version(void);

/* After a bail-out: ends an encrypted machine that has no other way out. */
void sev_end(void);

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

/*
 * A device register without an instruction that raises #VC: for the library itself, which must work while a case
 * bends the IDT. The guest ends if there is no sensible answer.
 */
uint32_t ghcb_mmio_read32(uint64_t gpa);
void ghcb_mmio_write32(uint64_t gpa, uint32_t value);

/* Ends the guest, with what is wrong with the answer. */
void ghcb_refuse(const struct ghcb_call *call) __attribute__((noreturn));

/* VMGEXIT, and nothing else. */
static inline void vmgexit(void)
{
	asm volatile("rep; vmmcall" : : : "memory");
}

/* -- #VC. -------------------------------------------------------------------------------------- */

struct trap_frame;

/* A gate of vector 29 leads here under SEV-ES (entry.S). */
extern const uint8_t vc_entry[], vc_entry_held[], vc_exit[], vc_exit_end[];

/*
 * Around every other event: one that came between the CPU's switch to the #VC stack and the moment when
 * that is safe from a second #VC keeps it safe. What vc_hold_stack() returned goes to the other.
 */
bool vc_hold_stack(const struct trap_frame *frame);
void vc_release_stack(bool held);

/* An NMI was handled: the hypervisor may deliver the next one. True: it has done so, and it is due now. */
bool sev_nmi_complete(void);

/*
 * An NMI comes when the hypervisor likes, in the middle of the #VC handler or at the call that completes the one
 * before. True: it is kept for the moment when that is over, since the architecture knows of neither.
 */
bool vc_defer_nmi(void);

/* The snippet was left from within the #VC handler: nobody returns to it. */
void vc_abandon(void);

#endif
