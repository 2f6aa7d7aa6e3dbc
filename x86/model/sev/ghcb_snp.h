/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that only a guest under SEV-SNP has. GHCB specification rev. 2.04; KVM of Linux 6.12. */
#ifndef MODEL_GHCB_SNP_H
#define MODEL_GHCB_SNP_H

#include "vcpu.h"

#include "x86/sev/ghcb_msr.h"

#include <stdbool.h>
#include <stdint.h>

/* The MSR protocol; false: none of SNP's. */
bool ghcb_snp_msr(struct vcpu *v, const struct ghcb_msr *request, struct ghcb_msr *answer);

/* Whether the page at the address was registered by this vCPU. */
bool ghcb_snp_is_registered(const struct vcpu *v, uint64_t gpa);

/* Page state change, by the buffer of sev/psc.h: SW_EXITINFO2 of the answer. */
uint64_t ghcb_snp_page_states(struct vcpu *v, volatile void *buffer);

/* Guest request: whether the two addresses are such as they must be; SW_EXITINFO2 in *info2. */
bool ghcb_snp_guest_request(uint64_t request, uint64_t response, uint64_t *info2);

/* AP creation: SW_EXITINFO1, SW_EXITINFO2, RAX; false: the request is malformed. */
bool ghcb_snp_ap_creation(uint64_t info1, uint64_t info2, uint64_t features);

#endif
