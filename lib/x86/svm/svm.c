/* SPDX-License-Identifier: BSD-2-Clause */
#include "svm.h"

#include "l1.h"

#include "../cpu.h"
#include "../event.h"
#include "../l1.h"
#include "../percpu.h"

#include "../../string.h"

#define CPUID_FEATURES 0x80000001
#define CPUID_SVM 0x8000000a
#define FEATURE_SVM (1u << 2)
#define SVM_FEATURE_NPT (1u << 0)
#define SVM_FEATURE_NEXT_RIP (1u << 3)

#define MSR_PAT 0x277
#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define VM_CR_SVMDIS (1u << 4)
#define DR7_GD (1u << 13)

struct svm_setup svm_setup;

static struct vmcb vmcbs[MAX_CPUS] __attribute__((section(".noinit"), aligned(4096)));
static uint8_t host_save[MAX_CPUS][4096] __attribute__((section(".noinit"), aligned(4096)));
static struct svm_vcpu vcpus[MAX_CPUS];

/* Intercepted ports and MSRs, where a case or a layer intercepts those at all: every one. */
uint8_t svm_all_ports[3 * 4096] __attribute__((section(".noinit"), aligned(4096)));
uint8_t svm_all_msrs[2 * 4096] __attribute__((section(".noinit"), aligned(4096)));

bool svm_has_npt(void)
{
	return cpuid(CPUID_SVM, 0).d & SVM_FEATURE_NPT;
}

bool svm_has_next_rip(void)
{
	return cpuid(CPUID_SVM, 0).d & SVM_FEATURE_NEXT_RIP;
}

const char *svm_obstacle(void)
{
	if (cpuid(0x80000000, 0).a < CPUID_SVM || !(cpuid(CPUID_FEATURES, 0).c & FEATURE_SVM))
		return "the CPU has no SVM";
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return "SVM is disabled (VM_CR.SVMDIS)";
	return NULL;
}

const char *svm_obstacle_npt(void)
{
	const char *general = svm_obstacle();

	if (general)
		return general;
	return svm_has_npt() ? NULL : "the CPU's SVM has no nested paging";
}

/* -- L2 begins as what L1 is. --------------------------------------------------------------------- */

static struct svm_segment segment(uint16_t selector)
{
	/* By what layout.h says of each: reading the GDT would warm it. */
	struct svm_segment s = {.selector = selector, .limit = 0xffffffff};

	if (selector == KERNEL_CS)
		s.attributes = 0xa9b;
	else if (selector)
		s.attributes = selector & 3 ? 0xcf3 : 0xc93;
	return s;
}

static uint16_t read_ds(void)
{
	uint16_t selector;

	asm volatile("mov %%ds, %0" : "=r"(selector));
	return selector;
}

static uint16_t read_es(void)
{
	uint16_t selector;

	asm volatile("mov %%es, %0" : "=r"(selector));
	return selector;
}

static struct svm_vcpu *prepare_cpu(void)
{
	struct percpu *cpu = this_cpu();
	struct svm_vcpu *v = &vcpus[cpu->index];

	if (!v->vmcb) {
		v->vmcb = &vmcbs[cpu->index];
		v->cpu = cpu;
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
		wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save[cpu->index]);
		memset(svm_all_ports, 0xff, sizeof(svm_all_ports));
		memset(svm_all_msrs, 0xff, sizeof(svm_all_msrs));
	}
	return v;
}

static void fill_control(struct vmcb *vmcb, bool nested_paging)
{
	memset(vmcb, 0, offsetof(struct vmcb, es));
	vmcb->intercept[SVM_INTERCEPT_SHUTDOWN / 32] |= 1u << SVM_INTERCEPT_SHUTDOWN % 32;
	vmcb->intercept[SVM_INTERCEPT_VMRUN / 32] |= 1u << SVM_INTERCEPT_VMRUN % 32;
	vmcb->iopm = (uint64_t)svm_all_ports;
	vmcb->msrpm = (uint64_t)svm_all_msrs;
	vmcb->asid = 1;
	/* The cases edit page tables with L1's INVLPG, which does not reach L2's ASID. */
	vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	if (nested_paging) {
		vmcb->nested_control = SVM_NESTED_PAGING;
		vmcb->nested_cr3 = npt_root();
	}
}

/*
 * A case may have set DR7.GD for its snippet; then it is L1 that meets it first. What L1's #DB says is
 * all that can be known of it.
 */
static volatile bool gd_was_set;

bool svm_take_l1_event(struct percpu *cpu, const struct event *event)
{
	(void)cpu;
	if (event->vector != 1 || !(event->dr6 & DR6_BD))
		return false;
	gd_was_set = true;
	return true;
}

static void fill_debug(struct vmcb *vmcb)
{
	gd_was_set = false;
	vmcb->dr7 = read_dr7();
	vmcb->dr6 = read_dr6();
	if (gd_was_set)
		vmcb->dr7 |= DR7_GD;
}

static void fill_save(struct vmcb *vmcb, const struct l1_tables *tables)
{
	vmcb->cs = segment(KERNEL_CS);
	vmcb->ss = segment(KERNEL_DS);
	vmcb->ds = segment(read_ds());
	vmcb->es = segment(read_es());
	vmcb->gdtr = (struct svm_segment){.limit = tables->gdtr.limit, .base = tables->gdtr.base};
	vmcb->idtr = (struct svm_segment){.limit = tables->idtr.limit, .base = tables->idtr.base};
	vmcb->cpl = 0;
	vmcb->efer = rdmsr(MSR_EFER);
	vmcb->cr4 = read_cr4();
	vmcb->cr3 = read_cr3();
	vmcb->cr2 = read_cr2();
	vmcb->cr0 = read_cr0();
	fill_debug(vmcb);
	vmcb->rflags = X86_EFLAGS_FIXED;
	vmcb->rax = 0;
	vmcb->pat = rdmsr(MSR_PAT);
}

static void call_in_l2(struct svm_vcpu *v, struct entry *entry)
{
	uint64_t *stack = (uint64_t *)stack_top(v->cpu->index, STACK_LAYER);

	*--stack = (uint64_t)svm_l2_return;
	v->vmcb->rsp = (uint64_t)stack;
	v->vmcb->rip = (uint64_t)snippet_enter;
	v->regs.rdi = (uint64_t)entry;
}

/* -- What L2 left behind becomes L1's, as if it had run here. -------------------------------------- */

static bool state_is_good(const struct vmcb *vmcb)
{
	return vmcb->exit_code != SVM_EXIT(SHUTDOWN) &&
	       (uint32_t)vmcb->exit_code != (uint32_t)SVM_EXIT_INVALID;
}

static void take_over(const struct vmcb *vmcb)
{
	if (!state_is_good(vmcb))
		return;
	if (vmcb->cr0 != read_cr0())
		write_cr0(vmcb->cr0);
	if (vmcb->cr4 != read_cr4())
		write_cr4(vmcb->cr4);
	if (vmcb->cr3 != read_cr3())
		write_cr3(vmcb->cr3);
	write_cr2(vmcb->cr2);
	write_dr6(vmcb->dr6);
	write_dr7(vmcb->dr7);
}

/* -- Running. ---------------------------------------------------------------------------------------- */

void svm_inject(struct svm_vcpu *v, uint32_t what, uint32_t error)
{
	v->vmcb->inject = (struct svm_event){SVM_EVENT_VALID | what, error};
}

void svm_intercept(struct svm_vcpu *v, unsigned intercept)
{
	v->vmcb->intercept[intercept / 32] |= 1u << intercept % 32;
}

void svm_intercept_exceptions(struct svm_vcpu *v, uint32_t vectors)
{
	v->vmcb->intercept_exceptions |= vectors;
}

static bool is_soft(uint32_t what)
{
	switch (what & SVM_EVENT_TYPE) {
	case SVM_SOFT_INT:
		return true;
	case SVM_EXCEPTION:
		return (what & SVM_EVENT_VECTOR) == 3 || (what & SVM_EVENT_VECTOR) == 4;
	default:
		return false;
	}
}

void svm_reinject(struct svm_vcpu *v, uint64_t next)
{
	v->vmcb->inject = v->vmcb->exit_int_info;
	if (!is_soft(v->vmcb->inject.what))
		return;
	v->vmcb->next_rip = next;
	if (!svm_has_next_rip())
		v->vmcb->rip = next;
}

void svm_window(bool interrupts)
{
	stgi();
	if (interrupts)
		asm volatile("sti; nop; nop; cli" : : : "memory");
	clgi();
}

/* After these the rest of the VMCB is undefined, or RIP alone is (#DF). */
static bool has_place(uint64_t exit_code)
{
	return exit_code != SVM_EXIT(SHUTDOWN) &&
	       (uint32_t)exit_code != (uint32_t)SVM_EXIT_INVALID &&
	       exit_code != SVM_EXIT_EXCEPTION + 8;
}

void svm_show_exit(struct svm_vcpu *v)
{
	const struct vmcb *vmcb = v->vmcb;
	uint64_t vector = vmcb->exit_code - SVM_EXIT_EXCEPTION;
	struct event event = {
		.is_exit = true,
		.exit_code = vmcb->exit_code,
		.exit_name = svm_exit_name(vmcb->exit_code),
		.rip = vmcb->rip,
		.rflags = vmcb->rflags,
	};

	if (vmcb->exit_int_info.what & SVM_EVENT_VALID) {
		event.vectoring = vmcb->exit_int_info.what;
		event.vectoring_error = vmcb->exit_int_info.error;
	}

	if (!has_place(vmcb->exit_code)) {
		event.no_place = true;
		event.rip = v->cpu->run.base;
		event.vectoring = 0;
	}
	if (vector < 32) {
		event.is_exception_exit = true;
		event.vector = vector;
		event.has_error = 1u << vector & EXCEPTIONS_WITH_ERROR;
		event.error = vmcb->exit_info1;
		event.dr6 = vmcb->dr6;
		event.cr2 = vmcb->exit_info2;
	}
	if (vmcb->exit_code == SVM_EXIT_NPF) {
		event.has_gpa = true;
		event.gpa = vmcb->exit_info2;
		event.gpa_error = vmcb->exit_info1;
	}
	event_append(v->cpu, &event);
}

static bool left_snippet(const struct vmcb *vmcb)
{
	return vmcb->exit_code == SVM_EXIT(VMRUN) && vmcb->rip == (uint64_t)svm_l2_done;
}

/* The snippet will not hand back the CPU by itself any more. */
static void abandon(struct svm_vcpu *v)
{
	v->cpu->run.entry.regs = v->regs;
	v->cpu->run.entry.regs.rax = v->vmcb->rax;
}

#define VMMCALL_BYTES 3

static bool is_call(const struct vmcb *vmcb)
{
	return vmcb->exit_code == SVM_EXIT(VMMCALL);
}

/* L1 intercepts #UD, and so the UD2 that closes the snippet. */
static bool is_end(const struct svm_vcpu *v)
{
	return v->vmcb->exit_code == SVM_EXIT_EXCEPTION + END_VECTOR &&
	       v->vmcb->rip == v->cpu->run.end;
}

/* False ends the run. */
static bool handle_exit(struct svm_vcpu *v, svm_exit_hook *of_layer)
{
	enum svm_action action = SVM_UNEXPECTED;

	v->exits++;
	if (is_end(v)) {
		abandon(v);
		return false;
	}
	v->vmcb->inject.what = 0;
	v->vmcb->clean = 0;
	if (svm_setup.show_exits && !is_call(v->vmcb))
		svm_show_exit(v);
	if (is_call(v->vmcb) && svm_setup.on_call) {
		v->vmcb->rip += VMMCALL_BYTES;
		v->vmcb->rflags &= ~(uint64_t)X86_EFLAGS_RF; /* as any instruction does */
		svm_setup.on_call(v);
		action = SVM_RESUME;
	} else if (svm_setup.on_exit) {
		action = svm_setup.on_exit(v);
	}
	if (action == SVM_UNEXPECTED && of_layer)
		action = of_layer(v);
	if (action == SVM_UNEXPECTED && !svm_setup.show_exits)
		svm_show_exit(v);
	if (action == SVM_RESUME && !v->cpu->trace->full)
		return true;
	abandon(v);
	return false;
}

/*
 * What L2 has left pending comes now, and shows as L1's in the trace. An NMI handler that L2 did not
 * finish still blocks NMIs, until an IRET.
 */
static void settle(struct svm_vcpu *v, const struct code *code)
{
	v->cpu->run.code = code;
	asm volatile("mov %%rsp, %%rax\n"
		     "pushq %0\n"
		     "pushq %%rax\n"
		     "pushfq\n"
		     "pushq %1\n"
		     "pushq $1f\n"
		     "iretq\n"
		     "1: stgi\n"
		     "nop"
		     :
		     : "i"(KERNEL_DS), "i"(KERNEL_CS)
		     : "rax", "memory");
	v->cpu->run.code = NULL;
}

void svm_enter(struct entry *entry, bool nested_paging, void (*prepare)(struct svm_vcpu *),
	       svm_exit_hook *on_exit)
{
	struct svm_vcpu *v = prepare_cpu();
	const struct code *code = v->cpu->run.code;
	struct l1_tables tables;

	l1_tables_load(&tables);
	fill_control(v->vmcb, nested_paging);
	fill_save(v->vmcb, &tables);
	call_in_l2(v, entry);
	v->exits = 0;
	if (prepare)
		prepare(v);
	if (svm_setup.on_call)
		svm_intercept(v, SVM_INTERCEPT_VMMCALL);
	if (svm_setup.before)
		svm_setup.before(v);
	clgi();
	do
		svm_vmrun(&v->regs, (uint64_t)v->vmcb, X86_EFLAGS_FIXED | svm_setup.host_rflags);
	while (!left_snippet(v->vmcb) && handle_exit(v, on_exit));
	settle(v, code);
	take_over(v->vmcb);
	l1_tables_restore(&tables);
}

static void enter_npt(struct entry *entry)
{
	svm_enter(entry, true, NULL, NULL);
}

static void enter_nonpt(struct entry *entry)
{
	svm_enter(entry, false, NULL, NULL);
}

void svm_reset(void)
{
	svm_setup = (struct svm_setup){0};
	/* DR6 may show a match of a breakpoint that is not enabled (SDM 3B, Debug Status Register). */
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	write_dr6(DR6_CLEAR);
	npt_reset();
}

const struct layer layer_svm = {
	.name = "svm",
	.obstacle = svm_obstacle_npt,
	.reset = svm_reset,
	.enter = enter_npt,
	.take_l1_event = svm_take_l1_event,
};

const struct layer layer_svm_nonpt = {
	.name = "svm-nonpt",
	.obstacle = svm_obstacle,
	.reset = svm_reset,
	.enter = enter_nonpt,
	.take_l1_event = svm_take_l1_event,
};
