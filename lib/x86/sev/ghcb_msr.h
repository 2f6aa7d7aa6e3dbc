/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GHCB MSR protocol: requests and responses in one 64-bit value, for the time
 * when there is no GHCB page. Both sides: a guest encodes requests and checks
 * responses, the model hypervisor does the reverse.
 *
 * Source: GHCB specification rev. 2.04, section 2.3.1.
 */
#ifndef LIB_X86_GHCB_MSR_H
#define LIB_X86_GHCB_MSR_H

#include <stdbool.h>
#include <stdint.h>

#define MSR_GHCB 0xc0010130

/* Bits 11:0. The response to a request, where there is one, is request | 1; the
 * exception is SEV information, which the hypervisor gives unasked at reset. */
enum ghcb_msr_code {
	GHCB_MSR_GPA = 0x000,
	GHCB_MSR_SEV_INFO = 0x001,
	GHCB_MSR_SEV_INFO_REQUEST = 0x002,
	GHCB_MSR_CPUID_REQUEST = 0x004,
	GHCB_MSR_CPUID_RESPONSE = 0x005,
	GHCB_MSR_AP_RESET_HOLD_REQUEST = 0x006,
	GHCB_MSR_AP_RESET_HOLD_RESPONSE = 0x007,
	GHCB_MSR_PREFERRED_GPA_REQUEST = 0x010,
	GHCB_MSR_PREFERRED_GPA_RESPONSE = 0x011,
	GHCB_MSR_REGISTER_GPA_REQUEST = 0x012,
	GHCB_MSR_REGISTER_GPA_RESPONSE = 0x013,
	GHCB_MSR_PAGE_STATE_REQUEST = 0x014,
	GHCB_MSR_PAGE_STATE_RESPONSE = 0x015,
	GHCB_MSR_RUN_VMPL_REQUEST = 0x016,
	GHCB_MSR_RUN_VMPL_RESPONSE = 0x017,
	GHCB_MSR_FEATURES_REQUEST = 0x080,
	GHCB_MSR_FEATURES_RESPONSE = 0x081,
	GHCB_MSR_TERMINATE = 0x100,
};

/* .reg of a CPUID request and response */
enum {
	GHCB_CPUID_EAX,
	GHCB_CPUID_EBX,
	GHCB_CPUID_ECX,
	GHCB_CPUID_EDX,
};

/* .operation of a page state change */
enum {
	GHCB_PAGE_PRIVATE = 1,
	GHCB_PAGE_SHARED = 2,
};

/* .reason of a termination with .reason_set 0 */
enum {
	GHCB_TERMINATE_GENERAL = 0,
	GHCB_TERMINATE_VERSION = 1,
	GHCB_TERMINATE_NO_SNP = 2,
};

/* .gfn that means "no preference" or "refused" */
#define GHCB_MSR_NO_GFN 0xfffffffffffffull

/* A value of the MSR taken apart. Fields that its code doesn't have are 0. */
struct ghcb_msr {
	uint16_t code; /* enum ghcb_msr_code */

	uint64_t gfn; /* GPA, preferred and register: 52 bits; page state: 40 bits */
	uint16_t max_version, min_version;
	uint8_t c_bit;	   /* bit number in a guest-physical address */
	uint32_t function; /* CPUID leaf */
	uint8_t reg;	   /* 0..3 */
	uint32_t value;	   /* CPUID register */
	uint64_t sipi;	   /* AP reset hold: not 0 if a SIPI ended it; 52 bits */
	uint8_t operation; /* page state */
	uint32_t error;	   /* page state, run VMPL; 0 is success */
	uint8_t vmpl;
	uint64_t features;  /* 52 bits of GHCB_FEATURE_* */
	uint8_t reason_set; /* 0..15 */
	uint8_t reason;
};

/**
 * ghcb_msr_encode - value of the MSR for a request or a response
 * @msr: its parts; bits that don't fit are dropped
 *
 * Returns the value; only the code for a code that isn't in the enum.
 */
uint64_t ghcb_msr_encode(const struct ghcb_msr *msr);

/**
 * ghcb_msr_decode - take a value of the MSR apart
 * @value: the MSR
 * @msr:   its parts
 *
 * Returns false for a code that isn't in the enum, and for bits set that the
 * specification reserves: then encoding @msr doesn't give @value again.
 */
bool ghcb_msr_decode(uint64_t value, struct ghcb_msr *msr);

enum ghcb_msr_verdict {
	GHCB_MSR_OK,
	GHCB_MSR_REFUSED, /* the hypervisor says no: see .gfn, .error */

	/* Answers that a hypervisor must not give. */
	GHCB_MSR_UNANSWERED, /* the value is still the request */
	GHCB_MSR_WRONG_CODE, /* not the response to this request */
	GHCB_MSR_WRONG_ECHO, /* about another register or address than asked for */
	GHCB_MSR_RESERVED_BITS,
	GHCB_MSR_SENSELESS,   /* versions out of order, C-bit out of range */
	GHCB_MSR_NO_RESPONSE, /* that was no request with a response */
	GHCB_MSR_VERDICTS
};

/**
 * ghcb_msr_check - judge the hypervisor's response
 * @request:  what the guest had written
 * @response: what it reads after VMGEXIT
 * @msr:      parts of the response, to be used after GHCB_MSR_OK only (and .error
 *            after GHCB_MSR_REFUSED)
 *
 * A C-bit position is in range from 32 to 63: below 4 GiB it would split the
 * addresses that the reset code lives at.
 */
enum ghcb_msr_verdict ghcb_msr_check(uint64_t request, uint64_t response, struct ghcb_msr *msr);

/**
 * ghcb_msr_verdict_name - a verdict as a few words, for messages
 * @verdict: enum ghcb_msr_verdict; "?" for anything else
 */
const char *ghcb_msr_verdict_name(unsigned int verdict);

/**
 * ghcb_negotiate - protocol version to use
 * @info:    checked SEV information, for its .min_version and .max_version
 * @minimum: lowest version that the guest speaks, at least 1
 * @maximum: highest
 *
 * Returns the highest version that both speak, or 0: then the guest terminates
 * with reason set 0, GHCB_TERMINATE_VERSION.
 */
unsigned int ghcb_negotiate(const struct ghcb_msr *info, unsigned int minimum,
			    unsigned int maximum);

#endif
