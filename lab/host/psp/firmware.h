/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Secure Processor's firmware: the commands of the "Secure Encrypted Virtualization API" (AMD publication 55766,
 * rev. 3.24), with the states of platform and guests and the errors for a wrong order or wrong arguments. Which
 * commands there are, and where each may be given, is firmware.def. Those of SEV-SNP are in snp.h.
 *
 * Nothing is secret here: keys are numbers (views.h), or known to all (measure.c), certificates are filler. What a
 * command does to memory is done: the guest's pages change from raw to private. What is launched is measured.
 */
#ifndef HOST_FIRMWARE_H
#define HOST_FIRMWARE_H

#include <stdbool.h>
#include <stdint.h>

/* Status codes, chapter "Status Codes". */
enum sev_error {
	SEV_OK,
	SEV_INVALID_PLATFORM_STATE,
	SEV_INVALID_GUEST_STATE,
	SEV_INVALID_CONFIG,
	SEV_INVALID_LENGTH,
	SEV_ALREADY_OWNED,
	SEV_INVALID_CERTIFICATE,
	SEV_POLICY_FAILURE,
	SEV_INACTIVE,
	SEV_INVALID_ADDRESS,
	SEV_BAD_SIGNATURE,
	SEV_BAD_MEASUREMENT,
	SEV_ASID_OWNED,
	SEV_INVALID_ASID,
	SEV_WBINVD_REQUIRED,
	SEV_DFFLUSH_REQUIRED,
	SEV_INVALID_GUEST,
	SEV_INVALID_COMMAND,
	SEV_ACTIVE,
	SEV_HWERROR_PLATFORM,
	SEV_HWERROR_UNSAFE,
	SEV_UNSUPPORTED,
	SEV_INVALID_PARAM,
	SEV_RESOURCE_LIMIT,
	/* SNP ABI, "Status Codes". */
	SEV_INVALID_PAGE_SIZE = 0x19,
	SEV_INVALID_PAGE_STATE,
	SEV_INVALID_PAGE_OWNER = 0x1c,
	SEV_RMP_INIT_REQUIRED = 0x20,
};

/* Version that PLATFORM_STATUS reports. KVM wants 0.17 for most, 1.51 for SNP. */
#define SEV_API_MAJOR 1
#define SEV_API_MINOR 55
#define SEV_BUILD 9

enum platform_state { PLATFORM_UNINIT, PLATFORM_INIT, PLATFORM_WORKING };
enum guest_state { GUEST_UNINIT, GUEST_LUPDATE, GUEST_LSECRET, GUEST_RUNNING };

#define POLICY_NODBG (1u << 0)
#define POLICY_NOKS (1u << 1)
#define POLICY_ES (1u << 2)

/**
 * firmware_command - carry out a command
 * @id:     of the command
 * @buffer: address of its parameters in L1's memory
 *
 * Returns the status code.
 */
enum sev_error firmware_command(unsigned id, uint64_t buffer);

/**
 * firmware_memory - L1's memory as the Secure Processor reads and writes it: raw
 * @at, @bytes: of the range
 *
 * Returns NULL where any of it is no memory of L1's. By whoever runs the firmware.
 */
void *firmware_memory(uint64_t at, uint64_t bytes);

#endif
