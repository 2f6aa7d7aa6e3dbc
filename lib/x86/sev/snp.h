/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's pages under SEV-SNP: PVALIDATE and RMPADJUST, page state changes and the registration of a GHCB
 * by the MSR protocol.
 *
 * Sources: APM 3, PVALIDATE and RMPADJUST; APM 2, "Page Validation"; GHCB specification rev. 2.04,
 * "GHCB MSR Protocol", "SNP Page State Change".
 */
#ifndef LIB_X86_SNP_H
#define LIB_X86_SNP_H

#include "ghcb_msr.h"

#include <stdbool.h>
#include <stdint.h>

/* Both instructions: RAX linear address, RCX size; #UD outside of a guest under SEV-SNP. */
#define SNP_PVALIDATE 0xf2, 0x0f, 0x01, 0xff
#define SNP_RMPADJUST 0xf3, 0x0f, 0x01, 0xfe
#define SNP_INSN_LENGTH 4
#define SNP_SIZE_4K 0
#define SNP_SIZE_2M 1

/* EAX afterwards. */
#define SNP_DONE 0
#define SNP_FAIL_INPUT 1
#define SNP_FAIL_PERMISSION 2
#define SNP_FAIL_SIZE 6 /* a large page was meant, and the RMP has small ones */

/* RDX of RMPADJUST: the VMPL that is adjusted, and whether the page is to be a VMSA. */
#define SNP_TARGET_VMPL 0xfful
#define SNP_MAKE_VMSA (1ul << 16)

/* The secrets page, which the launch fills: version, and four keys for messages to the AMD-SP. */
#define SNP_SECRETS_KEYS 0x20
#define SNP_SECRETS_KEY_BYTES 32

struct pvalidate_result {
	uint32_t code;	/* SNP_… */
	bool unchanged; /* CF: the page was in that state already */
};

static inline struct pvalidate_result pvalidate(uint64_t address, unsigned size, bool valid)
{
	struct pvalidate_result r;

	asm volatile(".byte 0xf2, 0x0f, 0x01, 0xff"
		     : "=a"(r.code), "=@ccc"(r.unchanged)
		     : "a"(address), "c"((uint64_t)size), "d"((uint64_t)valid)
		     : "memory");
	return r;
}

/* SNP_…; `rights` is RDX as the manual has it. */
static inline uint32_t rmpadjust(uint64_t address, unsigned size, uint64_t rights)
{
	uint32_t code;

	asm volatile(".byte 0xf3, 0x0f, 0x01, 0xfe"
		     : "=a"(code)
		     : "a"(address), "c"((uint64_t)size), "d"(rights)
		     : "memory", "cc");
	return code;
}

/**
 * snp_validate - say that a page of this guest's is known, or that it no longer is
 * @address: linear address of a page that is mapped private
 * @valid:   what it becomes
 *
 * Returns false if PVALIDATE failed, and if the page was in that state already: then somebody has
 * exchanged it, or the caller has lost count.
 */
bool snp_validate(uint64_t address, bool valid);

/**
 * snp_page_state - ask the hypervisor to change the hands that a page is in, by the MSR protocol
 * @gpa:       of the page
 * @operation: GHCB_PAGE_PRIVATE or GHCB_PAGE_SHARED
 *
 * Returns false where the answer is not the one of success.
 */
bool snp_page_state(uint64_t gpa, unsigned operation);

/**
 * snp_register_ghcb - tell the hypervisor which page this CPU's GHCB is
 * @gpa: of a shared page
 *
 * Returns false where the answer is not the one of success.
 */
bool snp_register_ghcb(uint64_t gpa);

/**
 * snp_share - give an identity-mapped page to the hypervisor, and map it shared
 * @address: of the page; what it held is lost
 *
 * Returns false if PVALIDATE or the hypervisor refused.
 */
bool snp_share(uint64_t address);

/**
 * snp_claim - the way back: private and validated
 * @address: of the page; its contents are undefined
 */
bool snp_claim(uint64_t address);

#endif
