/* SPDX-License-Identifier: BSD-2-Clause */
/* The layers `vmx` and `vmx-noept`, and L2 as VMX has it. */
#include "vmx.h"

#include "kept.h"
#include "l1.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/nested/l2_insn.h"
#include "x86/nested/reflect.h"
#include "x86/record/event.h"

/* DR6's bits in the qualification of a #DB. */
#define QUALIFICATION_DR6 (0xfu | DR6_BD | DR6_BS)

static struct {
	struct l2 l2;
	bool on, launched;
	unsigned slat_changes; /* of which its caches know */
	uint32_t error;	       /* VM-instruction error of an entry that failed; ~0: VMfailInvalid */
} cpus[MAX_CPUS];

enum vmx_shadow vmx_enter_behind;
bool vmx_enter_by_other;

uint32_t vmx_entry_error(const struct l2 *v)
{
	return cpus[v->cpu->index].error;
}

uint32_t vmx_reason(const struct l2 *v)
{
	uint32_t reason;

	if (vmx_entry_error(v))
		return VMX_ENTRY_FAILURE;
	reason = vmread(VMCS_EXIT_REASON);
	return (reason & 0xffff) | (reason & VMX_ENTRY_FAILURE);
}

uint64_t vmx_next(const struct l2 *v)
{
	return l2_get(v, L2_RIP) + vmread(VMCS_EXIT_LENGTH);
}

/* -- Entry and exit. --------------------------------------------------------------------------- */

static void begin(struct l2 *v, const struct l2_start *start)
{
	unsigned cpu = v->cpu->index;

	if (!cpus[cpu].on) {
		vmx_on(cpu);
		cpus[cpu].on = true;
		cpus[cpu].launched = false;
	}
	vmcs_fill(v, start);
	cpus[cpu].error = 0;
}

void vmx_leave(void)
{
	unsigned cpu = this_cpu()->index;

	if (cpus[cpu].on)
		vmx_off(cpu);
	cpus[cpu].on = false;
}

static void enter(struct l2 *v)
{
	unsigned cpu = v->cpu->index, failed;

	if (v->slat && cpus[cpu].slat_changes != slat_changes()) {
		cpus[cpu].slat_changes = slat_changes();
		vmx_invept();
	}
	failed = vmx_entry(&v->regs, cpus[cpu].launched ^ vmx_enter_by_other, vmx_enter_behind);
	cpus[cpu].error = failed == 0 ? 0 : failed == 1 ? ~0u : vmread(VMCS_INSTRUCTION_ERROR);
	if (!(vmx_reason(v) & VMX_ENTRY_FAILURE))
		cpus[cpu].launched = true;
	kept_compare(v, !(vmx_reason(v) & VMX_ENTRY_FAILURE));
}

void vmx_launch_again(struct l2 *v)
{
	vmcs_load(v->cpu->index);
	cpus[v->cpu->index].launched = false;
}

static bool has_left(const struct l2 *v)
{
	return vmx_reason(v) == VMX_VMCALL && l2_get(v, L2_RIP) == (uint64_t)vmx_l2_end;
}

static bool is_call(const struct l2 *v)
{
	return vmx_reason(v) == VMX_VMCALL;
}

static int exception(const struct l2 *v)
{
	uint32_t event;

	if (vmx_reason(v) != VMX_EXCEPTION_OR_NMI)
		return -1;
	event = vmread(VMCS_EXIT_EVENT);
	return (event & L2_EVENT_TYPE) == L2_NMI ? -1 : (int)(event & L2_EVENT_VECTOR);
}

/* An entry that failed has left the field as it was. */
static void forget_injection(struct l2 *v)
{
	(void)v;
	vmwrite(VMCS_ENTRY_EVENT, 0);
}

/* L1 holds nothing back but by IF. */
static void settle(void)
{
}

static bool end(struct l2 *v, struct l1_registers *registers)
{
	bool good = !(vmx_reason(v) & VMX_ENTRY_FAILURE);

	if (good)
		vmcs_registers(registers);
	vmcs_returned(has_left(v));
	/*
	 * The first CPU stays in VMX operation until the case is over: below a hypervisor, going there and back is half
	 * of a run. Another one may be wanted by INIT, which VMX operation blocks.
	 */
	if (v->cpu->index)
		vmx_leave();
	registers->cr0 |= vmx_cr0_fixed();
	if (!v->cpu->index)
		registers->cr4 |= vmx_cr4_fixed();
	return good;
}

static void window(bool interrupts)
{
	asm volatile("nop");
	if (interrupts)
		asm volatile("sti; nop; nop; cli" : : : "memory");
}

static void describe_exception(struct event *event)
{
	uint32_t info = vmread(VMCS_EXIT_EVENT);

	event->is_exception_exit = true;
	event->exit_type = info & L2_EVENT_TYPE;
	event->vector = info & L2_EVENT_VECTOR;
	event->has_error = info & L2_EVENT_HAS_ERROR;
	if (event->has_error)
		event->error = vmread(VMCS_EXIT_ERROR_CODE);
	if (event->vector == VECTOR_PF)
		event->cr2 = vmread(VMCS_QUALIFICATION);
	if (event->vector == VECTOR_DB)
		event->dr6 = vmread(VMCS_QUALIFICATION) & QUALIFICATION_DR6;
}

static void describe(const struct l2 *v, struct event *event)
{
	uint32_t reason = vmx_reason(v);

	event->exit_code = reason;
	event->no_place = reason & VMX_ENTRY_FAILURE;
	event->exit_name =
		vmx_entry_error(v) ? vmx_error_name(vmx_entry_error(v)) : vmx_reason_name(reason);
	if (reason & VMX_ENTRY_FAILURE)
		return;
	event->vectoring = vmread(VMCS_VECTORING_EVENT) & VMX_EVENT_BITS;
	if (event->vectoring & L2_EVENT_HAS_ERROR)
		event->vectoring_error = vmread(VMCS_VECTORING_ERROR_CODE);
	if (reason == VMX_EXCEPTION_OR_NMI)
		describe_exception(event);
	if (reason == VMX_EPT_VIOLATION) {
		event->has_gpa = true;
		event->gpa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
		event->gpa_error = vmread(VMCS_QUALIFICATION) & EPT_QUALIFICATION;
	}
}

/* -- Events, intercepts, state. ---------------------------------------------------------------- */

/* The type that VMX has for a trap. */
static uint32_t as_trap(uint32_t what)
{
	if ((what & L2_EVENT_TYPE) != L2_EXCEPTION)
		return what;
	switch (what & L2_EVENT_VECTOR) {
	case VECTOR_DB:
		return (what & ~L2_EVENT_TYPE) | L2_PRIVILEGED_SOFT;
	case VECTOR_BP:
	case VECTOR_OF:
		return (what & ~L2_EVENT_TYPE) | L2_SOFT_EXCEPTION;
	default:
		return what;
	}
}

static void inject(struct l2 *v, uint32_t what, uint32_t error, uint64_t next)
{
	vmwrite(VMCS_ENTRY_EVENT, L2_EVENT_VALID | (next ? as_trap(what) : what));
	vmwrite(VMCS_ENTRY_ERROR_CODE, error);
	if (next)
		vmwrite(VMCS_ENTRY_LENGTH, next - l2_get(v, L2_RIP));
}

/* SDM 3C, "Information for VM Exits That Occur During Event Delivery": all that L1 needs is there. */
static void inject_again(struct l2 *v, uint64_t next)
{
	uint32_t what = vmread(VMCS_VECTORING_EVENT) & VMX_EVENT_BITS;

	(void)v;
	(void)next;
	if (!(what & L2_EVENT_VALID))
		return;
	if ((what & L2_EVENT_TYPE) == L2_NMI)
		vmclear_bits(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
	vmclear_bits(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
	vmwrite(VMCS_ENTRY_EVENT, what);
	if (what & L2_EVENT_HAS_ERROR)
		vmwrite(VMCS_ENTRY_ERROR_CODE, vmread(VMCS_VECTORING_ERROR_CODE));
	vmwrite(VMCS_ENTRY_LENGTH, vmread(VMCS_EXIT_LENGTH));
}

static void trap(struct l2 *v, uint32_t dr6)
{
	(void)v;
	vmset(VMCS_GUEST_PENDING_DEBUG, dr6 | (dr6 & 0xf ? PENDING_DEBUG_ENABLED : 0));
}

static void intercept_exceptions(struct l2 *v, uint32_t vectors)
{
	(void)v;
	vmset(VMCS_EXCEPTION_BITMAP, vectors);
}

static uint64_t get(const struct l2 *v, enum l2_field field)
{
	(void)v;
	switch (field) {
	case L2_RIP:
		return vmread(VMCS_GUEST_RIP);
	case L2_RFLAGS:
		return vmread(VMCS_GUEST_RFLAGS);
	case L2_CR2:
		return read_cr2();
	case L2_DR6:
		return read_dr6();
	case L2_DR7:
		return vmread(VMCS_GUEST_DR7);
	case L2_IDT_LIMIT:
		return vmread(VMCS_GUEST_IDTR_LIMIT);
	case L2_SHADOW:
		return vmread(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
	case L2_FAULT_ADDRESS:
		return vmread(VMCS_QUALIFICATION);
	case L2_CS_L:
	default:
		return vmread(VMCS_GUEST_ACCESS + 2 * VMCS_CS) & ACCESS_LONG;
	}
}

static void set(struct l2 *v, enum l2_field field, uint64_t value)
{
	(void)v;
	switch (field) {
	case L2_RIP:
		vmwrite(VMCS_GUEST_RIP, value);
		break;
	case L2_RFLAGS:
		vmwrite(VMCS_GUEST_RFLAGS, value);
		break;
	case L2_CR2:
		write_cr2(value);
		break;
	case L2_DR6:
		write_dr6(value);
		break;
	case L2_DR7:
		vmwrite(VMCS_GUEST_DR7, value);
		break;
	case L2_IDT_LIMIT:
		vmwrite(VMCS_GUEST_IDTR_LIMIT, value);
		break;
	case L2_SHADOW:
		vmclear_bits(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
		vmset(VMCS_GUEST_INTERRUPTIBILITY, value);
		break;
	case L2_CS_L:
	case L2_FAULT_ADDRESS:
		break;
	}
}

static const struct l2_vendor vmx = {
	L2_VENDOR_FUNCTIONS,
	.l2_return = vmx_l2_return,
};

/* -- The layers. ------------------------------------------------------------------------------- */

enum l2_action vmx_do_unavoidable(struct l2 *v)
{
	switch (vmx_reason(v)) {
	case VMX_CPUID:
		l2_do_cpuid(v, vmx_next(v));
		return L2_RESUME;
	case VMX_INVD: /* nothing to lose where WBINVD is as good */
		asm volatile("wbinvd" : : : "memory");
		l2_skip(v, 0, vmx_next(v));
		return L2_RESUME;
	case VMX_VMCALL ... VMX_VMXON:
		/* L2 has no VMX and no hypervisor that it knew of. */
		l2_set(v, L2_RFLAGS, l2_get(v, L2_RFLAGS) | X86_EFLAGS_RF);
		reflect_exception(v, L2_EXCEPTION | VECTOR_UD, 0, 0);
		return L2_RESUME;
	default:
		return L2_UNEXPECTED;
	}
}

void vmx_enter(struct entry *entry, bool ept, const struct l2_hooks *hooks)
{
	struct l2 *v = &cpus[this_cpu()->index].l2;

	v->slat = ept;
	l2_run(&vmx, v, entry, hooks);
}

void vmx_reset(void)
{
	vmx_enter_behind = VMX_NO_SHADOW;
	vmx_enter_by_other = false;
	l2_reset(&slat_ept);
}

static const struct l2_hooks hooks = {.on_exit = vmx_do_unavoidable};

static void enter_ept(struct entry *entry)
{
	vmx_enter(entry, true, &hooks);
}

static void enter_noept(struct entry *entry)
{
	vmx_enter(entry, false, &hooks);
}

const struct layer layer_vmx = {
	.name = "vmx",
	.obstacle = vmx_obstacle_ept,
	.reset = vmx_reset,
	.leave = vmx_leave,
	.enter = enter_ept,
	.take_l1_event = l1_take_event,
};

const struct layer layer_vmx_noept = {
	.name = "vmx-noept",
	.obstacle = vmx_obstacle,
	.reset = vmx_reset,
	.leave = vmx_leave,
	.enter = enter_noept,
	.take_l1_event = l1_take_event,
};
