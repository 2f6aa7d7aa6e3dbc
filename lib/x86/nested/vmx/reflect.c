/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layer `vmx-reflect`: L1 catches whatever happens in L2 and gives it back (../reflect.h). Exceptions,
 * INT3, INTO and INT1 come back by the VM-entry interruption information, with the type and the
 * instruction length that the exit had; INT n cannot be caught. Interrupts exit, and wait for an
 * interrupt window where L2 cannot take them; NMIs as well, with virtual NMIs and their window. CPUID, port
 * I/O, MOV to and from CR8, RDMSR and WRMSR (of one MSR that L1 and L2 share) are done in L2's place.
 * What a case makes cold is taken away in the EPT, so its deliveries fault in L1's sight and are injected
 * again, as the IDT-vectoring information has them.
 */
#include "l1.h"
#include "vmx.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/nested/l2_insn.h"
#include "x86/nested/reflect.h"
#include "x86/record/recording.h"

#define PORT_BYTES(qualification) (((qualification)&7) + 1)
#define PORT_IN (1u << 3)
#define PORT_STRING (1u << 4)

/* Per CPU: an NMI that L1 has taken for L2. Another one meanwhile is the same one. */
static volatile bool nmi_taken[MAX_CPUS];

static void prepare(struct l2 *v)
{
	l2_intercept_exceptions(v, ~0u);
	vmset(VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMIS);
	vmset(VMCS_CPU_CONTROLS, CPU_ALL_PORTS | CPU_CR8_LOAD | CPU_CR8_STORE);
	vmx_intercept_msr(MSR_APIC_BASE);
	nmi_taken[v->cpu->index] = false;
	reflect_begin(v);
}

/* -- NMIs. ------------------------------------------------------------------------------------- */

static bool is_nmi(void)
{
	return (vmread(VMCS_EXIT_EVENT) & L2_EVENT_TYPE) == L2_NMI;
}

/* An NMI in L1, between two runs of L2, is L2's. */
static bool take_l1_event(struct recording *rec, const struct event *event)
{
	if (event->vector != 2 || event->origin != FROM_EXCEPTION)
		return reflect_take_l1_event(rec, event);
	nmi_taken[rec->cpu] = true;
	return true;
}

/* L2 gets it when the window for NMIs opens, which is at once if nothing is in the way. */
static void wait_for_nmi_window(const struct l2 *v)
{
	if (nmi_taken[v->cpu->index])
		vmset(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
	else
		vmclear_bits(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
}

static void take_nmi(struct l2 *v)
{
	nmi_taken[v->cpu->index] = true;
	l2_unblock_nmis();
}

static void inject_nmi(struct l2 *v)
{
	nmi_taken[v->cpu->index] = false;
	l2_inject(v, L2_NMI | VECTOR_NMI, 0, 0);
}

/* -- Everything else. -------------------------------------------------------------------------- */

static bool is_trap(uint32_t what)
{
	uint32_t type = what & L2_EVENT_TYPE;

	return type == L2_SOFT_INT || type == L2_SOFT_EXCEPTION || type == L2_PRIVILEGED_SOFT;
}

/* SDM 3C, "Vectored-Event Information" and "Exit Qualification": CR2 and DR6 were not written. */
static enum l2_action reflect_vector(struct l2 *v)
{
	uint32_t what = vmread(VMCS_EXIT_EVENT) & VMX_EVENT_BITS & ~L2_EVENT_VALID;
	unsigned vector = what & L2_EVENT_VECTOR;

	if (is_trap(what)) {
		l2_set(v, L2_SHADOW, 0);
		l2_inject(v, what, 0, vmx_next(v));
		return L2_RESUME;
	}
	if (vector == VECTOR_PF)
		l2_set(v, L2_CR2, vmread(VMCS_QUALIFICATION));
	if (vector == VECTOR_DB) {
		l2_set(v, L2_DR6, l2_get(v, L2_DR6) | vmread(VMCS_QUALIFICATION));
		vmclear_bits(VMCS_GUEST_DR7, DR7_GD);
	}
	reflect_exception(v, what, what & L2_EVENT_HAS_ERROR ? vmread(VMCS_EXIT_ERROR_CODE) : 0,
			  vmread(VMCS_VECTORING_EVENT));
	return L2_RESUME;
}

static bool can_take_interrupt(const struct l2 *v)
{
	return l2_get(v, L2_RFLAGS) & X86_EFLAGS_IF && !l2_get(v, L2_SHADOW);
}

/*
 * SDM 3C, "Other Causes of VM Exits": a window's exit comes before an interrupt's. So with the window
 * open for L2, L1 leaves the interrupt in the APIC, where L2's own IF holds it back.
 */
static void wait_for_window(bool wait)
{
	if (wait) {
		vmclear_bits(VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT);
		vmset(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
	} else {
		vmset(VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT);
		vmclear_bits(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
	}
}

static enum l2_action do_port(struct l2 *v)
{
	uint64_t q = vmread(VMCS_QUALIFICATION);

	if (q & PORT_STRING)
		vmclear_bits(VMCS_CPU_CONTROLS, CPU_ALL_PORTS); /* not worth an emulator */
	else
		l2_do_port(v, q >> 16, PORT_BYTES(q), q & PORT_IN, vmx_next(v));
	return L2_RESUME;
}

#define CR_NUMBER(qualification) ((qualification)&0xf)
#define CR_TYPE(qualification) ((qualification) >> 4 & 3)
#define CR_GPR(qualification) ((qualification) >> 8 & 0xf)
#define CR_MOV_FROM 1

/* SDM 3C, "Exit Qualification": control-register accesses, of which only those to CR8 exit. */
static enum l2_action do_cr(struct l2 *v)
{
	uint64_t q = vmread(VMCS_QUALIFICATION);

	if (CR_NUMBER(q) != 8 || CR_TYPE(q) > CR_MOV_FROM)
		return L2_UNEXPECTED;
	l2_do_cr8(v, CR_GPR(q), CR_TYPE(q) != CR_MOV_FROM, vmx_next(v));
	return L2_RESUME;
}

/* SDM 3C, "Information about NMI Unblocking Due to IRET": an IRET that missed is executed again. */
static void mend(struct l2 *v)
{
	bool vectoring = vmread(VMCS_VECTORING_EVENT) & L2_EVENT_VALID;

	slat_map(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	if (!vectoring && vmread(VMCS_QUALIFICATION) & EPT_BY_IRET)
		vmset(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
	l2_inject_again(v, 0);
}

static enum l2_action answer(struct l2 *v)
{
	switch (vmx_reason(v)) {
	case VMX_EXCEPTION_OR_NMI:
		if (!is_nmi())
			return reflect_vector(v);
		take_nmi(v);
		return L2_RESUME;
	case VMX_NMI_WINDOW:
		inject_nmi(v);
		return L2_RESUME;
	case VMX_EXTERNAL_INTERRUPT:
		if (can_take_interrupt(v))
			reflect_interrupt(v);
		else
			wait_for_window(true);
		return L2_RESUME;
	case VMX_INTERRUPT_WINDOW:
		wait_for_window(false);
		return L2_RESUME;
	case VMX_RDMSR:
		l2_do_rdmsr(v, vmx_next(v));
		return L2_RESUME;
	case VMX_WRMSR:
		l2_do_wrmsr(v, vmx_next(v));
		return L2_RESUME;
	case VMX_PORT:
		return do_port(v);
	case VMX_CR_ACCESS:
		return do_cr(v);
	case VMX_EPT_VIOLATION:
		if (slat_is_mapped(vmread(VMCS_GUEST_PHYSICAL_ADDRESS)))
			return L2_UNEXPECTED;
		mend(v);
		return L2_RESUME;
	default:
		return vmx_do_unavoidable(v);
	}
}

static enum l2_action reflect(struct l2 *v)
{
	enum l2_action action = answer(v);

	wait_for_nmi_window(v);
	return action;
}

static void enter(struct entry *entry)
{
	static const struct l2_hooks hooks = {.prepare = prepare, .on_exit = reflect};

	vmx_enter(entry, true, &hooks);
}

const struct layer layer_vmx_reflect = {
	.name = "vmx-reflect",
	.obstacle = vmx_obstacle_ept,
	.reset = vmx_reset,
	.leave = vmx_leave,
	.enter = enter,
	.make_cold = slat_unmap,
	.take_l1_event = take_l1_event,
};
