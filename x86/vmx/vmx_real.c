/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2 in real mode: there is no error code there.
 *
 * The rule (SDM 3C, "Vectored-Event Information", "VM-Entry Control Fields"; SDM 3A, "Interrupt and Exception
 * Handling"). A fault that is delivered in real mode pushes FLAGS, CS and IP, six bytes. One that exits from real
 * mode has the bit of the error code clear, whatever its vector; to inject an exception with that bit set is
 * VMfail with error 7.
 *
 * The bugs that taught it. Bochs before 2.8 sets the bit at the exit, and lets an entry with it pass (issue 211).
 * KVM from 5.13 to 6.2 set it in an exit of its own making (80962ec912db), and in what it injected itself, so
 * that its entry failed (6c41468c7c12).
 *
 * What SVM does alike is in real_mode.h. A buggy hypervisor shows `exit #GP(0x0)`, an exit INVALID_CONTROLS, or a
 * frame of another size.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_REAL \
	"SDM 3A, Real-Address Mode Interrupt Handling: FLAGS, CS and IP are pushed, and no error code"
#define RULE_INJECTED \
	"SDM 3C, Details of Vectored-Event Injection: in real mode an event goes through the vector table, as one of L2's own"
#define RULE_NO_BIT_11 \
	"SDM 3C, Vectored-Event Information: bit 11 is always 0 if the exit occurred in real-address mode"
#define RULE_CHECKED \
	"SDM 3C, VM-Entry Control Fields: an exception with an error code cannot be injected where CR0.PE is 0; VMfail with error 7"

#define BUGS_SOFT ""

#define CALL "vmcall"

static void need_real_mode(void)
{
	need_of_machine(layer == &layer_vmx, "EPT in %s", layer->name);
	need_of_machine(vmx_has_secondary(SECONDARY_UNRESTRICTED), "unrestricted guest");
}

static uint32_t real_fault_of_exit(const struct l2 *v)
{
	(void)v;
	return vmread(VMCS_EXIT_EVENT) & (L2_EVENT_HAS_ERROR | L2_EVENT_TYPE | L2_EVENT_VECTOR);
}

#include "../nested/real_mode.h"

#define SEGMENTS 4 /* ES, CS, SS, DS */
#define ACCESS_REAL 0x93

#define SEGMENT_FIELDS(segment)                                                \
	VMCS_GUEST_SELECTOR + 2 * (segment), VMCS_GUEST_LIMIT + 2 * (segment), \
		VMCS_GUEST_ACCESS + 2 * (segment), VMCS_GUEST_BASE + 2 * (segment)

static const enum vmcs_field fields[] = {
	VMCS_GUEST_CR0,		 VMCS_GUEST_EFER,	  VMCS_GUEST_RIP,
	VMCS_GUEST_RSP,		 VMCS_GUEST_IDTR_BASE,	  VMCS_GUEST_IDTR_LIMIT,
	VMCS_ENTRY_CONTROLS,	 VMCS_SECONDARY_CONTROLS, VMCS_GUEST_RFLAGS,
	SEGMENT_FIELDS(VMCS_ES), SEGMENT_FIELDS(VMCS_CS), SEGMENT_FIELDS(VMCS_SS),
	SEGMENT_FIELDS(VMCS_DS),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static uint64_t kept[FIELDS];

static void real_mode_enter(struct l2 *v, uint16_t ip)
{
	(void)v;
	for (unsigned i = 0; i < FIELDS; i++)
		kept[i] = vmread(fields[i]);
	vmset(VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED);
	vmclear_bits(VMCS_ENTRY_CONTROLS, ENTRY_GUEST_64_BIT);
	vmclear_bits(VMCS_GUEST_EFER, EFER_LME | EFER_LMA);
	vmclear_bits(VMCS_GUEST_CR0, X86_CR0_PG | X86_CR0_PE);
	for (unsigned segment = 0; segment < SEGMENTS; segment++) {
		vmwrite(VMCS_GUEST_SELECTOR + 2 * segment, REAL_SELECTOR);
		vmwrite(VMCS_GUEST_BASE + 2 * segment, REAL_BASE);
		vmwrite(VMCS_GUEST_LIMIT + 2 * segment, 0xffff);
		vmwrite(VMCS_GUEST_ACCESS + 2 * segment, ACCESS_REAL);
	}
	vmwrite(VMCS_GUEST_IDTR_BASE, REAL_BASE);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, REAL_VECTORS_BYTES - 1);
	vmwrite(VMCS_GUEST_RIP, ip);
	vmwrite(VMCS_GUEST_RSP, REAL_STACK);
	vmwrite(VMCS_GUEST_RFLAGS, X86_EFLAGS_FIXED | setup.rflags);
}

static void real_mode_leave(struct l2 *v)
{
	(void)v;
	for (unsigned i = 0; i < FIELDS; i++)
		vmwrite(fields[i], kept[i]);
}

static uint16_t real_mode_sp(const struct l2 *v)
{
	(void)v;
	return vmread(VMCS_GUEST_RSP);
}

CASE(fault_intercepted, CPL0, RULE_NO_BIT_11, CATCHES("real-mode-error-code"))
{
	begin_real(fault);
	l2_setup.before = intercept_gp;
	expect("exit #GP@insn");
	run(call);
}

CASE(error_code_injected, CPL0, RULE_CHECKED, CATCHES("real-mode-error-code"))
{
	begin_real(fault);
	real.what = L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_GP;
	expect("exit INVALID_CONTROLS");
	run(call);
}
