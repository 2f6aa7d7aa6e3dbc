/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a guest of ours terminates itself: reason codes of its own reason set, in the request to terminate
 * (GHCB specification, "Termination Request"). Shared with assembly.
 */
#ifndef LIB_X86_REASONS_H
#define LIB_X86_REASONS_H

#define REASON_SET_GHCB 0
#define REASON_SET_TRAPLINE 0xa

/* In the boot code, before anything can be printed. */
#define REASON_EARLY_VC 1    /* a #VC that is not CPUID's */
#define REASON_EARLY_CPUID 2 /* no sensible answer to CPUID by the MSR protocol */
#define REASON_NO_SEV 3	     /* a #VC was raised, but CPUID denies SEV */
#define REASON_STATUS 4	     /* a #VC was raised, but SEV_STATUS denies SEV-ES */
#define REASON_C_BIT 5	     /* the C-bit lies where none can, or sources disagree */
#define REASON_EARLY_EVENT 6 /* another exception in the boot code */
/* Later. */
#define REASON_INFO 7	    /* no sensible SEV information */
#define REASON_REGISTER 8   /* the hypervisor does not take the GHCB's address */
#define REASON_PAGE_STATE 9 /* the GHCB's page cannot be made shared */
#define REASON_ANSWER 10    /* an answer that no hypervisor may give */
#define REASON_BAIL_OUT 11  /* the report says why */

#endif
