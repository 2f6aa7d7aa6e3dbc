/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The events that a guest can ask for with SW_EXITCODE, and which fields each
 * of them takes and gives.
 *
 * Source: GHCB specification rev. 2.04, section 4.1 with Table 7; exit_code.h has the
 * codes of hardware events.
 */
#ifndef LIB_X86_GHCB_EVENT_H
#define LIB_X86_GHCB_EVENT_H

#include "ghcb_page.h"
#include "x86/insn/exit_code.h"

#define GHCB_EVENT_MMIO_READ 0x80000001
#define GHCB_EVENT_MMIO_WRITE 0x80000002
#define GHCB_EVENT_NMI_COMPLETE 0x80000003
#define GHCB_EVENT_AP_RESET_HOLD 0x80000004
#define GHCB_EVENT_AP_JUMP_TABLE 0x80000005
#define GHCB_EVENT_PAGE_STATE_CHANGE 0x80000010
#define GHCB_EVENT_GUEST_REQUEST 0x80000011
#define GHCB_EVENT_EXT_GUEST_REQUEST 0x80000012
#define GHCB_EVENT_AP_CREATION 0x80000013
#define GHCB_EVENT_HV_DOORBELL 0x80000014
#define GHCB_EVENT_HV_IPI 0x80000015
#define GHCB_EVENT_HV_TIMER 0x80000016
#define GHCB_EVENT_APIC_ID_LIST 0x80000017
#define GHCB_EVENT_RUN_VMPL 0x80000018
#define GHCB_EVENT_TIO_REQUEST 0x80000019
#define GHCB_EVENT_HV_FEATURES 0x8000fffd
#define GHCB_EVENT_TERMINATE 0x8000fffe
#define GHCB_EVENT_UNSUPPORTED 0x8000ffff

/* Bits of the hypervisor-features answer (SW_EXITINFO2, or MSR code 0x081). */
#define GHCB_FEATURE_SNP (1u << 0)
#define GHCB_FEATURE_AP_CREATION (1u << 1)
#define GHCB_FEATURE_RESTRICTED_INJECTION (1u << 2)
#define GHCB_FEATURE_RESTRICTED_INJECTION_TIMER (1u << 3)
#define GHCB_FEATURE_APIC_ID_LIST (1u << 4)
#define GHCB_FEATURE_MULTI_VMPL (1u << 5)
#define GHCB_FEATURE_ES_PAGE_STATE_CHANGE (1u << 6)
#define GHCB_FEATURE_TIO (1u << 7)

/* A request, as far as its fields depend on its values. */
struct ghcb_request {
	uint64_t exit_code;
	uint64_t exit_info_1;
	uint64_t rax;
};

/**
 * ghcb_event_inputs - fields that a guest must mark valid for a request
 * @request: SW_EXITCODE, SW_EXITINFO1 and RAX that go with it
 *
 * Returns a mask of GHCB_BIT(). SW_EXITCODE, SW_EXITINFO1 and SW_EXITINFO2 are
 * always in it. Leaf 0xd of CPUID needs XCR0; XSS may go with it in version 2
 * and is not in the mask. The hypercall's own arguments are not either.
 */
uint32_t ghcb_event_inputs(const struct ghcb_request *request);

/**
 * ghcb_event_outputs - fields that the hypervisor must mark valid on success
 * @request: as for ghcb_event_inputs()
 *
 * Returns a mask of GHCB_BIT(). SW_EXITINFO2 counts as an output without being
 * marked, and is not in the mask.
 */
uint32_t ghcb_event_outputs(const struct ghcb_request *request);

/**
 * ghcb_event_name - short name of an event, for messages
 * @exit_code: SW_EXITCODE; "?" if the specification has no such event
 */
const char *ghcb_event_name(uint64_t exit_code);

#endif
