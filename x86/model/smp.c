/* SPDX-License-Identifier: BSD-2-Clause */
#include "smp.h"

#include "bug.h"
#include "devices/sensors.h"
#include "events/events.h"
#include "exits.h"
#include "memory.h"
#include "ports.h"
#include "sev/sev.h"
#include "time.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/desc.h"
#include "x86/devices/apic.h"
#include "x86/devices/smp.h"

#include "panic.h"

#define MSR_VM_HSAVE_PA 0xc0010117
#define CPUID_1_C_HYPERVISOR (1u << 31)

/* Takes a CPU of ours out of L2, or out of HLT. */
#define KICK_VECTOR 0xf0

static struct vcpu vcpus[MOST_VCPUS] __attribute__((section(".noinit"), aligned(4096)));
static uint8_t host_save[MOST_VCPUS][4096] __attribute__((section(".noinit"), aligned(4096)));
static unsigned count;
static bool locked, by_nmi;

unsigned smp_count(void)
{
	return count;
}

struct vcpu *smp_vcpu(unsigned number)
{
	return &vcpus[number];
}

static void lock(void)
{
	while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE))
		cpu_relax();
}

static void unlock(void)
{
	__atomic_clear(&locked, __ATOMIC_RELEASE);
}

void smp_let_others_run(void)
{
	if (count < 2)
		return;
	unlock();
	for (unsigned i = 0; i < 1000; i++)
		cpu_relax();
	lock();
}

/* A kick has done its work when it arrives. */
asm("	.pushsection .text\n"
    "kicked:\n"
    "	push	%rax\n"
    "	mov	$0xfee000b0, %eax\n"
    "	movl	$0, (%rax)\n"
    "	pop	%rax\n"
    "kicked_by_nmi:\n"
    "	iretq\n"
    "	.popsection");
extern const uint8_t kicked[], kicked_by_nmi[];

static void take_kicks(void)
{
	asm volatile("sti; nop; cli" : : : "memory");
}

void smp_kick(struct vcpu *v)
{
	if (v->inside || v->asleep)
		apic_icr(percpu[v->number].apic_id, ICR_FIXED | ICR_ASSERT | KICK_VECTOR);
	/* One that sleeps might take it before its HLT. */
	if (v->inside && by_nmi)
		apic_icr(percpu[v->number].apic_id, ICR_NMI | ICR_ASSERT);
}

static void take_out(struct vcpu *v)
{
	smp_kick(v);
	while (v->inside)
		cpu_relax();
}

void smp_stop(struct vcpu *v)
{
	v->forget_exit = v->entered;
	take_out(v);
}

void smp_flush(struct vcpu *self)
{
	for (unsigned i = 0; i < count; i++) {
		if (&vcpus[i] != self)
			take_out(&vcpus[i]);
		vcpus[i].vmcb.tlb_control = SVM_TLB_FLUSH_ALL;
	}
}

void smp_drop_mappings(struct vcpu *self)
{
	/* Before, too: the tables are written anew. */
	smp_flush(self);
	memory_drop_all();
	smp_flush(self);
}

/* -- Sleep. ------------------------------------------------------------------------------------ */

/* SDM 2A, "HLT": an NMI, or an interrupt that nothing holds back. */
static bool wakes(struct vcpu *v)
{
	bool due = events_due(v);

	if (due && v->nmi_pending && bug(HALT_NMI_SLEEPS))
		return false;
	return due ? !v->overslept : lapic_is_asked(&v->apic) && bug(HALT_WAKES_MASKED);
}

static bool may_run(struct vcpu *v)
{
	if (!ap_runs(v))
		return false;
	if (v->halted && wakes(v)) {
		v->halted = false;
		v->woken = true;
	}
	return !v->halted;
}

/* Nothing of what L2 does then could be seen from outside, and it would do it for ever. */
static void panic_if_all_sleep(struct vcpu *self)
{
	if (port_machine_ends())
		return;
	for (unsigned i = 0; i < count; i++) {
		struct vcpu *v = &vcpus[i];

		/* The tick first: it may be the one that wakes. */
		if ((v != self && !v->asleep) || lapic_tick(v) || may_run(v))
			return;
	}
	panic("model: every CPU of the guest sleeps, and nothing is there to wake one");
}

/* Until it may run. The timer is ours to look at. */
static void wait(struct vcpu *v)
{
	while (!may_run(v)) {
		bool timer = lapic_tick(v);

		if (may_run(v))
			return;
		panic_if_all_sleep(v);
		if (timer)
			time_waits(v);
		v->asleep = true;
		unlock();
		if (timer)
			take_kicks();
		else
			asm volatile("sti; hlt; cli" : : : "memory");
		lock();
		v->asleep = false;
	}
}

/* -- The loop. --------------------------------------------------------------------------------- */

static void enter(struct vcpu *v)
{
	/* An NMI for L2's processor is to be one for L2. */
	asm volatile("clgi" : : : "memory");
	v->entered = v->inside = true;
	unlock();
	vcpu_enter(v);
	asm volatile("stgi");
	v->inside = false;
	if (v->vmcb.exit_code == SVM_EXIT(INTR) || v->vmcb.exit_code == SVM_EXIT(NMI))
		take_kicks();
	lock();
	v->entered = false;
}

static void run(void *vcpu)
{
	struct vcpu *v = vcpu;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, (uint64_t)host_save[v->number]);
	lock();
	for (;;) {
		lapic_tick(v);
		wait(v);
		if (v->init_came)
			vcpu_end_init(v);
		sev_before_entry(v);
		events_before_entry(v);
		enter(v);
		if (v->forget_exit) {
			v->forget_exit = false;
			continue;
		}
		events_after_exit(v);
		exit_handle(v);
		sensors_tick(v);
	}
}

void smp_run(unsigned wanted)
{
	count = wanted;
	if (!cpus_start(count))
		panic("model: CPU %u of ours did not start", cpus_started());
	gate_set_handler(KICK_VECTOR, kicked);
	gate_set_handler(VECTOR_NMI, kicked_by_nmi);
	/* Bochs, the only one that does not call itself a hypervisor, masks our interrupts by L2's IF. */
	by_nmi = !(cpuid(1, 0).c & CPUID_1_C_HYPERVISOR);
	for (unsigned i = 0; i < count; i++)
		vcpu_power_up(&vcpus[i], i);
	for (unsigned i = 1; i < count; i++)
		cpu_start_work(i, run, &vcpus[i]);
	run(&vcpus[0]);
	__builtin_unreachable();
}
