/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-SNP's reverse map table: for each frame of memory, whose it is, at which address of the guest's, and whether the
 * guest has said that it knows of it. The table lies in memory of L1's that it may read, and write until it sets
 * SYSCFG.SNPEn; from then on entries change by RMPUPDATE and PSMASH of L1, by PVALIDATE and RMPADJUST of L2, and by the
 * Secure Processor. Nothing of the monitor's own depends on what is in it.
 *
 * APM 2, "Secure Nested Paging (SEV-SNP)"; APM 3, RMPUPDATE, PSMASH, PVALIDATE, RMPADJUST. Layout of an entry: PPR of
 * family 19h, "RMP entry format"; Linux, arch/x86/virt/svm/sev.c.
 */
#ifndef HOST_RMP_H
#define HOST_RMP_H

#include <stdbool.h>
#include <stdint.h>

/* RMP_BASE leads to 16 KiB of the processor's own; the entries are behind them. */
#define RMP_HEAD_BYTES 0x4000ul
#define RMP_ENTRY_BYTES 16ul

#define RMP_ASSIGNED (1ul << 0)
#define RMP_LARGE (1ul << 1)
#define RMP_IMMUTABLE (1ul << 2)
#define RMP_GPA 0x0007fffffffff000ul
#define RMP_ASID_SHIFT 51
#define RMP_ASID (0x3fful << RMP_ASID_SHIFT)
#define RMP_VMSA (1ul << 61)
#define RMP_VALIDATED (1ul << 62)

#define RMP_LARGE_FRAMES 512ul

/* EAX of the four instructions. */
enum rmp_result {
	RMP_DONE,
	RMP_FAIL_INPUT,
	RMP_FAIL_PERMISSION,
	RMP_FAIL_IN_USE,
	RMP_FAIL_OVERLAP,
	RMP_FAIL_BAD_ADDRESS,
	RMP_FAIL_SIZE,
};

/* What RCX of RMPUPDATE leads to. APM 3, RMPUPDATE. */
struct rmp_state {
	uint64_t gpa;
	uint8_t assigned, large, immutable, reserved;
	uint32_t asid;
} __attribute__((packed));

/* Bytes of a table for so many frames, with its head. */
uint64_t rmp_bytes(uint64_t frames);

/* The table's memory, in whole pages, and how many frames it covers. */
void rmp_init(uint64_t base, uint64_t frames);
uint64_t rmp_base(void);
uint64_t rmp_last(void); /* its last byte: RMP_END */

/* L1 has set SYSCFG.SNPEn; from here on the table counts. */
void rmp_enable(void);
bool rmp_is_enabled(void);

/* The entry of a frame (of the first of its 512, where it is a large one); 0 where there is none. */
uint64_t rmp_entry(uint64_t at);
bool rmp_is_assigned(uint64_t at);

/* Whether L1, or a guest without the C-bit, may write there. APM 2, "RMP and VMPL Access Checks". */
bool rmp_allows_shared_write(uint64_t at);

/* The same for an SNP guest's own memory. */
enum rmp_check { RMP_FINE, RMP_MISMATCH, RMP_NOT_VALIDATED };

/**
 * rmp_check - an access of an SNP guest with the C-bit
 * @at:    address of the machine's
 * @gpa:   of the guest's
 * @asid:  the guest's
 * @large: the nested page is larger than 4 KiB
 */
enum rmp_check rmp_check(uint64_t at, uint64_t gpa, unsigned asid, bool large);

/* Whether VMRUN of this ASID may take the page for a VMSA. */
bool rmp_is_vmsa(uint64_t at, unsigned asid);

/* L1's instructions. */
enum rmp_result rmp_update(uint64_t at, const struct rmp_state *new);
enum rmp_result rmp_smash(uint64_t at);

/* Of L2, on a page that is its own. PVALIDATE: `unchanged` is CF. */
enum rmp_result rmp_validate(uint64_t at, bool valid, bool large, bool *unchanged);
enum rmp_result rmp_adjust(uint64_t at, bool large, unsigned vmpl, unsigned rights, bool vmsa);

/* The Secure Processor's changes: bits of an entry; and all of them to 0. */
void rmp_change(uint64_t at, uint64_t clear, uint64_t set);
void rmp_clear(void);

/* So many pages stay the hypervisor's for ever: HV-fixed. What the table does not cover is left out. */
void rmp_fix(uint64_t at, uint64_t pages);

#endif
