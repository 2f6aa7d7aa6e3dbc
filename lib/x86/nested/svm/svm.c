/* SPDX-License-Identifier: BSD-2-Clause */
#include "svm.h"

#include "l1.h"
#include "unwritten.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/record/event.h"

#include "string.h"

#define MSR_PAT 0x277
#define MSR_VM_HSAVE_PA 0xc0010117

/* EVENTINJ and EXITINTINFO hold an event as l2.h has it. */
_Static_assert(L2_EVENT_VALID == SVM_EVENT_VALID && L2_EVENT_HAS_ERROR == SVM_EVENT_HAS_ERROR &&
		       L2_NMI == SVM_NMI && L2_EXCEPTION == SVM_EXCEPTION &&
		       L2_SOFT_INT == SVM_SOFT_INT,
	       "APM 2, Event Injection");

static struct vmcb vmcbs[MAX_CPUS] __attribute__((section(".noinit"), aligned(4096)));
static uint8_t host_save[MAX_CPUS][4096] __attribute__((section(".noinit"), aligned(4096)));
static struct l2 l2s[MAX_CPUS];

/* Intercepted ports and MSRs, where a case or a layer intercepts those at all: every one. */
static uint8_t all_ports[3 * 4096] __attribute__((section(".noinit"), aligned(4096)));
static uint8_t all_msrs[2 * 4096] __attribute__((section(".noinit"), aligned(4096)));

bool svm_sti_before_vmrun;

/* -- The VMCB. --------------------------------------------------------------------------------- */

static struct svm_segment segment(struct l1_segment from)
{
	return (struct svm_segment){
		.selector = from.selector,
		.attributes = (from.access & 0xff) | (from.access >> 4 & 0xf00),
		.limit = 0xffffffff,
	};
}

static void prepare_cpu(struct l2 *v)
{
	uint64_t efer = rdmsr(MSR_EFER);

	if (efer & EFER_SVME) /* which an INIT has cleared */
		return;
	v->vmcb = &vmcbs[v->cpu->index];
	wrmsr(MSR_EFER, efer | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save[v->cpu->index]);
	memset(all_ports, 0xff, sizeof(all_ports));
	memset(all_msrs, 0xff, sizeof(all_msrs));
}

static void fill_control(struct vmcb *vmcb, bool nested_paging)
{
	memset(vmcb, 0, offsetof(struct vmcb, es));
	vmcb->intercept[SVM_INTERCEPT_SHUTDOWN / 32] |= 1u << SVM_INTERCEPT_SHUTDOWN % 32;
	vmcb->intercept[SVM_INTERCEPT_VMRUN / 32] |= 1u << SVM_INTERCEPT_VMRUN % 32;
	vmcb->iopm = (uint64_t)all_ports;
	vmcb->msrpm = (uint64_t)all_msrs;
	vmcb->asid = 1;
	/* The cases edit page tables with L1's INVLPG, which does not reach L2's ASID. */
	vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	if (nested_paging) {
		vmcb->nested_control = SVM_NESTED_PAGING;
		vmcb->nested_cr3 = slat_root();
	}
}

/* What VMLOAD alone would read is nothing that L2 has. */
static void fill_unread(struct vmcb *vmcb)
{
	static const struct svm_segment none = {.selector = 0x5eec,
						.attributes = 0x2,
						.limit = 0x5eed,
						.base = 0x5eed5eed};

	vmcb->fs = vmcb->gs = vmcb->ldtr = vmcb->tr = none;
	vmcb->star = 0x5eed0001;
	vmcb->lstar = 0x5eed0002;
	vmcb->cstar = 0x5eed0003;
	vmcb->sfmask = 0x5eed0004;
	vmcb->kernel_gs_base = 0x5eed0005;
	vmcb->sysenter_cs = 0x5eed;
	vmcb->sysenter_esp = 0x5eed0006;
	vmcb->sysenter_eip = 0x5eed0007;
}

static void fill_save(struct vmcb *vmcb, const struct l2_start *start)
{
	const struct l1_registers *r = &start->registers;
	const struct l1_tables *tables = &start->tables;

	vmcb->cs = segment(start->cs);
	vmcb->ss = segment(start->ss);
	vmcb->ds = segment(start->ds);
	vmcb->es = segment(start->es);
	vmcb->gdtr = (struct svm_segment){.limit = tables->gdtr.limit, .base = tables->gdtr.base};
	vmcb->idtr = (struct svm_segment){.limit = tables->idtr.limit, .base = tables->idtr.base};
	vmcb->cpl = 0;
	vmcb->efer = rdmsr(MSR_EFER);
	vmcb->cr4 = r->cr4;
	vmcb->cr3 = r->cr3;
	vmcb->cr2 = r->cr2;
	vmcb->cr0 = r->cr0;
	vmcb->dr7 = r->dr7;
	vmcb->dr6 = r->dr6;
	vmcb->rflags = X86_EFLAGS_FIXED;
	vmcb->rip = start->rip;
	vmcb->rsp = start->rsp;
	vmcb->pat = rdmsr(MSR_PAT);
	fill_unread(vmcb);
}

static void begin(struct l2 *v, const struct l2_start *start)
{
	prepare_cpu(v);
	fill_control(v->vmcb, v->slat);
	fill_save(v->vmcb, start);
	v->regs.rax = 0;
	clgi();
}

/* False after a shutdown and an invalid VMCB: the save area is undefined. */
static bool state_is_good(const struct vmcb *vmcb)
{
	return vmcb->exit_code != SVM_EXIT(SHUTDOWN) &&
	       (uint32_t)vmcb->exit_code != (uint32_t)SVM_EXIT_INVALID;
}

static bool end(struct l2 *v, struct l1_registers *r)
{
	const struct vmcb *vmcb = v->vmcb;

	if (!state_is_good(vmcb))
		return false;
	*r = (struct l1_registers){
		.cr0 = vmcb->cr0,
		.cr2 = vmcb->cr2,
		.cr3 = vmcb->cr3,
		.cr4 = vmcb->cr4,
		.dr6 = vmcb->dr6,
		.dr7 = vmcb->dr7,
	};
	return true;
}

/* -- Entry and exit. --------------------------------------------------------------------------- */

static void enter(struct l2 *v)
{
	v->vmcb->rax = v->regs.rax;
	unwritten_note(v);
	svm_vmrun(&v->regs, (uint64_t)v->vmcb, X86_EFLAGS_FIXED | l2_setup.host_rflags,
		  svm_sti_before_vmrun);
	unwritten_compare(v);
	v->regs.rax = v->vmcb->rax;
}

static bool has_left(const struct l2 *v)
{
	return v->vmcb->exit_code == SVM_EXIT(VMRUN) && v->vmcb->rip == (uint64_t)svm_l2_done;
}

static bool is_call(const struct l2 *v)
{
	return v->vmcb->exit_code == SVM_EXIT(VMMCALL);
}

static void intercept_calls(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_VMMCALL);
}

static int exception(const struct l2 *v)
{
	uint64_t vector = v->vmcb->exit_code - SVM_EXIT_EXCEPTION;

	return vector < 32 ? (int)vector : -1;
}

static void forget_injection(struct l2 *v)
{
	v->vmcb->inject.what = 0;
	v->vmcb->clean = 0;
}

/* Sets GIF, and has a boundary at which an NMI comes that was held back. */
static void settle(void)
{
	stgi();
	asm volatile("nop");
}

static void window(bool interrupts)
{
	settle();
	if (interrupts)
		asm volatile("sti; nop; nop; cli" : : : "memory");
	clgi();
}

/* After these the rest of the VMCB is undefined, or RIP alone is (#DF). */
static bool has_place(const struct vmcb *vmcb)
{
	return state_is_good(vmcb) && vmcb->exit_code != SVM_EXIT_EXCEPTION + VECTOR_DF;
}

/* EXITINTINFO as the notation has events. APM 2, "Event Injection": an NMI's vector is ignored. */
static uint32_t interrupted_event(const struct vmcb *vmcb)
{
	uint32_t what = vmcb->exit_int_info.what;

	return (what & L2_EVENT_TYPE) == L2_NMI ? (what & ~L2_EVENT_VECTOR) | VECTOR_NMI : what;
}

static void describe(const struct l2 *v, struct event *event)
{
	const struct vmcb *vmcb = v->vmcb;

	event->exit_code = vmcb->exit_code;
	event->exit_name = svm_exit_name(vmcb->exit_code);
	event->no_place = !has_place(vmcb);
	if (vmcb->exit_int_info.what & L2_EVENT_VALID) {
		event->vectoring = interrupted_event(vmcb);
		event->vectoring_error = vmcb->exit_int_info.error;
	}
	if (exception(v) >= 0) {
		event->is_exception_exit = true;
		event->vector = exception(v);
		event->has_error = exception_has_error_code(event->vector);
		event->error = vmcb->exit_info1;
		event->dr6 = vmcb->dr6;
		event->cr2 = vmcb->exit_info2;
	}
	if (vmcb->exit_code == SVM_EXIT_NPF) {
		event->has_gpa = true;
		event->gpa = vmcb->exit_info2;
		event->gpa_error = vmcb->exit_info1;
	}
}

/* -- Events, intercepts, state. ---------------------------------------------------------------- */

static void inject(struct l2 *v, uint32_t what, uint32_t error, uint64_t next)
{
	v->vmcb->inject = (struct svm_event){L2_EVENT_VALID | what, error};
	if (next)
		v->vmcb->next_rip = next;
}

static bool is_soft(uint32_t what)
{
	switch (what & L2_EVENT_TYPE) {
	case L2_SOFT_INT:
		return true;
	case L2_EXCEPTION:
		return (what & L2_EVENT_VECTOR) == 3 || (what & L2_EVENT_VECTOR) == 4;
	default:
		return false;
	}
}

/*
 * APM 2, "Intercepts During IDT Interrupt Delivery": software interrupts, INT3 and INTO return to `next`
 * through nRIP where the CPU has it, else by moving L2's RIP. Without nRIP that is as good as it gets
 * (APM 2, "Event Injection").
 */
static void inject_again(struct l2 *v, uint64_t next)
{
	if (!(v->vmcb->exit_int_info.what & L2_EVENT_VALID))
		return;
	v->vmcb->inject = v->vmcb->exit_int_info;
	if (!is_soft(v->vmcb->inject.what))
		return;
	v->vmcb->next_rip = next;
	if (!svm_has_next_rip())
		v->vmcb->rip = next;
}

static void trap(struct l2 *v, uint32_t dr6)
{
	v->vmcb->dr6 |= dr6;
	inject(v, L2_EXCEPTION | VECTOR_DB, 0, 0);
}

void svm_intercept(struct l2 *v, unsigned intercept)
{
	v->vmcb->intercept[intercept / 32] |= 1u << intercept % 32;
}

static void intercept_exceptions(struct l2 *v, uint32_t vectors)
{
	v->vmcb->intercept_exceptions |= vectors;
}

#define SEGMENT_L (1u << 9)

static uint64_t get(const struct l2 *v, enum l2_field field)
{
	const struct vmcb *vmcb = v->vmcb;

	switch (field) {
	case L2_RIP:
		return vmcb->rip;
	case L2_RFLAGS:
		return vmcb->rflags;
	case L2_CR2:
		return vmcb->cr2;
	case L2_DR6:
		return vmcb->dr6;
	case L2_DR7:
		return vmcb->dr7;
	case L2_IDT_LIMIT:
		return vmcb->idtr.limit;
	case L2_SHADOW:
		return vmcb->int_state & SVM_INTERRUPT_SHADOW;
	case L2_FAULT_ADDRESS:
		return vmcb->exit_info2;
	case L2_CS_L:
	default:
		return vmcb->cs.attributes & SEGMENT_L;
	}
}

static void set(struct l2 *v, enum l2_field field, uint64_t value)
{
	struct vmcb *vmcb = v->vmcb;

	switch (field) {
	case L2_RIP:
		vmcb->rip = value;
		break;
	case L2_RFLAGS:
		vmcb->rflags = value;
		break;
	case L2_CR2:
		vmcb->cr2 = value;
		break;
	case L2_DR6:
		vmcb->dr6 = value;
		break;
	case L2_DR7:
		vmcb->dr7 = value;
		break;
	case L2_IDT_LIMIT:
		vmcb->idtr.limit = value;
		break;
	case L2_SHADOW:
		vmcb->int_state = value ? SVM_INTERRUPT_SHADOW : 0;
		break;
	case L2_CS_L:
	case L2_FAULT_ADDRESS:
		break;
	}
}

static const struct l2_vendor svm = {
	L2_VENDOR_FUNCTIONS,
	.intercept_calls = intercept_calls,
	.l2_return = svm_l2_return,
};

/* -- The layers. ------------------------------------------------------------------------------- */

void svm_enter(struct entry *entry, bool nested_paging, const struct l2_hooks *hooks)
{
	struct l2 *v = &l2s[this_cpu()->index];

	v->slat = nested_paging;
	l2_run(&svm, v, entry, hooks);
}

void svm_reset(void)
{
	svm_sti_before_vmrun = false;
	l2_reset(&slat_npt);
}

static const struct l2_hooks no_hooks;

static void enter_npt(struct entry *entry)
{
	svm_enter(entry, true, &no_hooks);
}

static void enter_nonpt(struct entry *entry)
{
	svm_enter(entry, false, &no_hooks);
}

const struct layer layer_svm = {
	.name = "svm",
	.obstacle = svm_obstacle_npt,
	.reset = svm_reset,
	.enter = enter_npt,
	.take_l1_event = l1_take_event,
};

const struct layer layer_svm_nonpt = {
	.name = "svm-nonpt",
	.obstacle = svm_obstacle,
	.reset = svm_reset,
	.enter = enter_nonpt,
	.take_l1_event = l1_take_event,
};
