/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State and controls that cannot be: the entry is refused.
 *
 * The rule (SDM 3C, "Checks on VMX Controls", "Checks on Host Control Registers, MSRs, and SSP", "Checks on the
 * Guest State Area"). Wrong controls are VMfail with error 7, a wrong host state VMfail with error 8, a wrong
 * guest state the exit with reason 33. What cannot be injected is in vmx_inject.c, interruptibility and pending
 * debug exceptions are in vmx_carried.c and vmx_pending_debug.c.
 *
 * The bugs that taught it. Bochs enters L2 at an address that is not canonical. KVM and Xen have had to learn
 * the checks one by one, as each is a way for L1 to bring L0 into a state that it does not expect.
 *
 * A buggy hypervisor shows another refusal, or runs L2.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_NONSENSE \
	"SDM 3C, Checks on the Guest State Area: state that cannot be fails the entry, exit reason 33"
#define RULE_CONTROLS "SDM 3C, Checks on VMX Controls: VMfail with error 7"
#define RULE_HOST \
	"SDM 3C, Checks on Host Control Registers, MSRs, and SSP, and on Host Segments: VMfail with error 8"

#define CALL "vmcall"
#define FIELD enum vmcs_field

static void field_change(struct l2 *v, enum vmcs_field field, uint64_t set, uint64_t clear)
{
	(void)v;
	vmset(field, set);
	vmclear_bits(field, clear);
}

#include "../nested/invalid_state.h"

WRONG(wrong_guest, RULE_NONSENSE, "INVALID_GUEST", "", {VMCS_GUEST_RFLAGS, 0, X86_EFLAGS_FIXED},
      {VMCS_GUEST_RFLAGS, 1ul << 63, 0}, {VMCS_GUEST_RFLAGS, 1ul << 17, 0},
      {VMCS_GUEST_CR0, 0, X86_CR0_NE}, {VMCS_GUEST_CR0, 1ul << 32, 0},
      {VMCS_GUEST_CR4, 0, X86_CR4_PAE}, {VMCS_GUEST_DR7, 1ul << 32, 0},
      {VMCS_GUEST_IDTR_LIMIT, 1u << 16, 0}, {VMCS_GUEST_ACCESS + 2 * VMCS_TR, 0, 2},
      {VMCS_GUEST_ACCESS + 2 * VMCS_CS, 1u << 14, 0}, {VMCS_LINK_POINTER, 0, 1ul << 63})

/* Bits 63:48 must be alike, on a CPU with 48 bits of linear addresses. */
WRONG(wrong_rip, RULE_NONSENSE, "INVALID_GUEST", CATCHES("bochs-vmentry-rip"),
      {VMCS_GUEST_RIP, 1ul << 62, ~(1ul << 62)}, {VMCS_GUEST_RIP, 3ul << 61, ~(3ul << 61)})

WRONG(wrong_host, RULE_HOST, "INVALID_HOST", "", {VMCS_HOST_CS, 3, 0}, {VMCS_HOST_CS, 0, 0xffff},
      {VMCS_HOST_TR, 4, 0}, {VMCS_HOST_CR0, 0, X86_CR0_NE}, {VMCS_HOST_CR4, 0, X86_CR4_PAE},
      {VMCS_HOST_IDTR_BASE, 1ul << 62, 0}, {VMCS_HOST_RIP, 1ul << 62, 0},
      {VMCS_EXIT_CONTROLS, 0, EXIT_HOST_64_BIT})

WRONG(wrong_controls, RULE_CONTROLS, "INVALID_CONTROLS", "",
      {VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS, 0}, {VMCS_CPU_CONTROLS, CPU_NMI_WINDOW, 0},
      {VMCS_CR3_TARGET_COUNT, 5, 0}, {VMCS_MSR_BITMAP, 1, 0}, {VMCS_PIN_CONTROLS, 1u << 31, 0})
