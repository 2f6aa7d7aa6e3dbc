/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layers `vmx`, `vmx-noept` and `vmx-reflect`: what cases use of VMX besides l2.h. The VMCS of a run
 * is current from the first hook on, so its fields are there by vmread() and vmwrite().
 */
#ifndef LIB_X86_VMX_VMX_H
#define LIB_X86_VMX_VMX_H

#include "vmcs.h"
#include "x86/nested/l2.h"

#include <stdbool.h>
#include <stdint.h>

/* The types of events that only VMX has, besides those of l2.h. */
#define L2_PRIVILEGED_SOFT (5u << 8) /* INT1 */
#define L2_SOFT_EXCEPTION (6u << 8)  /* INT3, INTO */

/* What an interruption-information field has in common with the word of an event; bit 12 is its own. */
#define VMX_EVENT_BITS (L2_EVENT_VALID | L2_EVENT_HAS_ERROR | L2_EVENT_TYPE | L2_EVENT_VECTOR)

/* As in svm.h; VMX can inject whatever it delivers. */
#define need_soft_injection() ((void)0)

/* Does the CPU let L1 inject these? SDM 3D, "Basic VMX Information", "Miscellaneous Data". */
bool vmx_takes_any_error_code(void); /* exceptions with and without one, whatever the vector */
bool vmx_takes_length_0(void);	     /* software interrupts and exceptions of no length */

/* Makes RDMSR and WRMSR of one of the MSRs below 2000H exit. */
void vmx_intercept_msr(uint32_t msr);

/* Panic for a field that this CPU does not have. */
uint64_t vmread(enum vmcs_field field);
void vmwrite(enum vmcs_field field, uint64_t value);

/* Sets bits of a field, or clears them. */
void vmset(enum vmcs_field field, uint64_t bits);
void vmclear_bits(enum vmcs_field field, uint64_t bits);

/* The basic exit reason; with VMX_ENTRY_FAILURE where the entry failed. After VMfail: that bit alone. */
uint32_t vmx_reason(const struct l2 *v);

/* VM-instruction error of an entry that failed by VMfail; ~0: VMfailInvalid; 0: there was none. */
uint32_t vmx_entry_error(const struct l2 *v);

/* The VMCS is cleared and loaded again, so that L2 goes on by VMLAUNCH. */
void vmx_launch_again(struct l2 *v);

/* What of L1's VMRESUME stands right behind. Reset before each case. */
enum vmx_shadow {
	VMX_NO_SHADOW = 0,
	VMX_BEHIND_MOV_SS = 1,
	VMX_BEHIND_STI = 3
}; /* run.S knows the numbers */
extern enum vmx_shadow vmx_enter_behind;

/* The next entry is by the other of VMLAUNCH and VMRESUME. Reset before each case. */
extern bool vmx_enter_by_other;

/* The flags that the last VMLAUNCH or VMRESUME left that did not enter L2. */
extern uint64_t vmx_flags_of_failure;

/* Does this CPU allow the 1-setting of these secondary controls? */
bool vmx_has_secondary(uint32_t controls);

/* Of one of the five fields of controls: bits 31:0 must be 1, bits 63:32 may be 1; 0: there is no such field. */
uint64_t vmx_limits(enum vmcs_field controls);

/* The fields that this CPU's VMCS has, in the order of their numbers. */
const uint16_t *vmcs_fields(unsigned *count);

/* SDM 3D, "Field Encoding in VMCS". */
enum vmcs_type { VMCS_CONTROL, VMCS_READ_ONLY, VMCS_GUEST, VMCS_HOST };
static inline enum vmcs_type vmcs_type(enum vmcs_field field)
{
	return field >> 10 & 3;
}

/* The name of an exit or of an entry's failure; NULL for exceptions and for reasons without one. */
const char *vmx_reason_name(uint32_t reason);
const char *vmx_error_name(uint32_t error);

#endif
