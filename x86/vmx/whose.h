/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the products about VMX have in common (../nested/whose.h): L1's wishes, as controls, and what the exits of
 * events and windows must leave.
 */
#ifndef X86_VMX_WHOSE_H
#define X86_VMX_WHOSE_H

#define CALL "vmcall"
#include "../nested/whose.h"

/* The controls of a run, that L1 sets at the snippet's first call. */
static struct {
	uint32_t pin, cpu, exit;
	uint32_t interruptibility;
	uint64_t timer; /* of preemption, where `pin` has it */
} want;

static void want_nothing(unsigned combination)
{
	now = combination;
	memset(&want, 0, sizeof(want));
	l2_setup.show_exits = true;
	vmx_enter_behind = VMX_NO_SHADOW;
}

static void ask_for_it(void)
{
	vmset(VMCS_PIN_CONTROLS, want.pin);
	vmset(VMCS_CPU_CONTROLS, want.cpu);
	vmset(VMCS_EXIT_CONTROLS, want.exit);
	vmset(VMCS_GUEST_INTERRUPTIBILITY, want.interruptibility);
	if (want.pin & PIN_PREEMPTION_TIMER)
		vmwrite(VMCS_PREEMPTION_TIMER, want.timer);
}

static inline bool has_timer(void)
{
	return vmx_limits(VMCS_PIN_CONTROLS) >> 32 & PIN_PREEMPTION_TIMER;
}

/* SDM 3C, "Information for VM Exits That Occur During Event Delivery": none of these does. */
static void judge_exit(void)
{
	uint64_t vectoring = vmread(VMCS_VECTORING_EVENT);

	check(!(vectoring & L2_EVENT_VALID),
	      "combination %#x: the IDT-vectoring information is %#lx at an exit that interrupted no event",
	      now, vectoring);
}

/* Acknowledged by the exit, or waiting still. */
static enum l2_action take_intr(void)
{
	uint64_t info = vmread(VMCS_EXIT_EVENT);
	bool acknowledged = want.exit & EXIT_ACK_INTERRUPT;

	judge_exit();
	check(acknowledged ? info == (L2_EVENT_VALID | L2_INTR | PHYSICAL)
			   : !(info & L2_EVENT_VALID),
	      "combination %#x: the exit's information is %#lx", now, info);
	check(apic_bit(APIC_IRR, PHYSICAL) == !acknowledged &&
		      apic_bit(APIC_ISR, PHYSICAL) == acknowledged,
	      "combination %#x: the interrupt of an exit is in IRR %u, in ISR %u", now,
	      apic_bit(APIC_IRR, PHYSICAL), apic_bit(APIC_ISR, PHYSICAL));
	if (acknowledged)
		apic_eoi();
	else
		l2_window(true);
	return L2_RESUME;
}

/* The exit of an NMI blocks NMIs in L1: an IRET of its own ends that. */
static enum l2_action take_nmi(void)
{
	uint64_t info = vmread(VMCS_EXIT_EVENT);

	judge_exit();
	if ((info & L2_EVENT_TYPE) != L2_NMI)
		return L2_UNEXPECTED;
	check(info == (L2_EVENT_VALID | L2_NMI | VECTOR_NMI),
	      "combination %#x: the exit's information is %#lx", now, info);
	l2_unblock_nmis();
	return L2_RESUME;
}

static enum l2_action close(enum vmcs_field controls, uint32_t bit)
{
	judge_exit();
	vmclear_bits(controls, bit);
	return L2_RESUME;
}

/* Each of them once. */
static inline enum l2_action take_each(struct l2 *v)
{
	switch (vmx_reason(v)) {
	case VMX_EXTERNAL_INTERRUPT:
		return take_intr();
	case VMX_EXCEPTION_OR_NMI:
		return take_nmi();
	case VMX_INTERRUPT_WINDOW:
		return close(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
	case VMX_NMI_WINDOW:
		return close(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
	case VMX_PREEMPTION_TIMER:
		return close(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	default:
		return L2_UNEXPECTED;
	}
}

/* A list in a demand. */
static const char *separator;

static inline void then(struct text *out, const char *what, const char *place)
{
	text_append(out, "%s%s@%s", separator, what, place);
	separator = ", ";
}

#endif
