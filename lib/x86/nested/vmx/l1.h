/* SPDX-License-Identifier: BSD-2-Clause */
/* What the layers by VMX have in common. */
#ifndef LIB_X86_VMX_L1_H
#define LIB_X86_VMX_L1_H

#include "vmx.h"

/* Why this CPU has no VMX, or none with EPT; NULL if it has. */
const char *vmx_obstacle(void);
const char *vmx_obstacle_ept(void);

/* -- capability.c: what the CPU allows. -------------------------------------------------------- */

/* False if this CPU's firmware has locked VMX out. */
bool vmx_enable(void);

/* In the order of the MSRs that describe them. */
enum vmx_controls { VMX_PIN, VMX_CPU, VMX_EXIT, VMX_ENTRY, VMX_SECONDARY };

/* The nearest value to `wanted` that the CPU takes: what must be 1 added, what must be 0 left out. */
uint32_t vmx_allowed(enum vmx_controls controls, uint32_t wanted);

uint32_t vmx_revision(void);

/* Bits of CR0 or CR4 that must be 1 in VMX operation. */
uint64_t vmx_cr0_fixed(void);
uint64_t vmx_cr4_fixed(void);

/* -- vmcs.c: the VMCS. ------------------------------------------------------------------------- */

/* Goes to VMX operation with an empty current VMCS, and back. */
void vmx_on(unsigned cpu);
void vmx_off(unsigned cpu);

/* VMCLEAR and VMPTRLD: the next entry must be VMLAUNCH. */
void vmcs_load(unsigned cpu);

void vmcs_fill(const struct l2 *v, const struct l2_start *start);

/* L2 is over on this CPU, by way of vmx_l2_return or not. */
void vmcs_returned(bool by_l2_return);

/* L2's registers as they are in the VMCS. */
void vmcs_registers(struct l1_registers *r);

void vmx_invept(void);

/* -- vmx.c: the layers. ------------------------------------------------------------------------ */

void vmx_reset(void);
void vmx_leave(void);

/* Runs snippet_enter in L2. */
void vmx_enter(struct entry *entry, bool ept, const struct l2_hooks *hooks);

/* The exits that nobody can switch off: L1 does what L2 wanted. For on_exit of a layer. */
enum l2_action vmx_do_unavoidable(struct l2 *v);

/* Where the instruction ends that the exit is about. */
uint64_t vmx_next(const struct l2 *v);

/* -- run.S ------------------------------------------------------------------------------------- */

unsigned vmx_entry(struct regs *regs, bool launched, enum vmx_shadow shadow);
extern const uint8_t vmx_exit[], vmx_l2_return[], vmx_l2_end[];

#endif
