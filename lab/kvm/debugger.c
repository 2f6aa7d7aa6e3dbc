/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest stops at host_waits_here, where host_plan says what is due: a breakpoint of hardware or an
 * INT3 in memory at one address, then some single steps, whose RIPs are written down. A step over a
 * breakpoint that the CPU stands on is made with all breakpoints out.
 */
#include "debugger.h"

#include "machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define INT3 0xcc
#define VECTOR_DB 1
#define MAX_STEPS 16
#define DR7_GLOBAL(n) (2u << 2 * (n))
#define DR7_ALWAYS 0x600

/* struct host_plan of x86/debug/hoststep.c. */
struct plan {
	uint64_t address;
	uint64_t breakpoint;
	uint64_t sstep;
	uint64_t steps;
	uint64_t stops;
	uint64_t seen[MAX_STEPS];
};
enum { HARDWARE = 1, SOFTWARE = 2 };
enum { SSTEP_NOIRQ = 2 };

static unsigned long plan_at, waits_at, done_at;
static struct plan *plan; /* in the guest's memory; NULL without a debugger */

/* What the CPU does until it stops. */
static enum { RUNS, STEPS_OVER, STEPS } phase;
static bool armed;	/* the plan's breakpoint is there */
static uint8_t covered; /* what its INT3 stands in place of */
static uint64_t stops, steps;
static bool can_block;

static void debug(uint32_t control, const uint64_t *registers)
{
	struct kvm_guest_debug request = {.control = KVM_GUESTDBG_ENABLE | control};

	if (registers)
		memcpy(request.arch.debugreg, registers, 8 * sizeof(registers[0]));
	must("KVM_SET_GUEST_DEBUG", ioctl(machine.vcpus[0], KVM_SET_GUEST_DEBUG, &request));
}

static void run_on(void)
{
	uint64_t registers[8] = {waits_at,
				 done_at, [7] = DR7_ALWAYS | DR7_GLOBAL(0) | DR7_GLOBAL(1)};
	uint32_t control = KVM_GUESTDBG_USE_HW_BP;

	phase = RUNS;
	if (armed && plan->breakpoint == HARDWARE) {
		registers[2] = plan->address;
		registers[7] |= DR7_GLOBAL(2);
	} else if (armed) {
		machine.ram[plan->address] = INT3;
		control |= KVM_GUESTDBG_USE_SW_BP;
	}
	debug(control, registers);
}

static void step(bool over)
{
	phase = over ? STEPS_OVER : STEPS;
	if (armed && plan->breakpoint == SOFTWARE)
		machine.ram[plan->address] = covered;
	debug(KVM_GUESTDBG_SINGLESTEP |
		      (can_block && plan->sstep & SSTEP_NOIRQ ? KVM_GUESTDBG_BLOCKIRQ : 0),
	      NULL);
}

/* On from `pc`, where a breakpoint may be. */
static void go_from(uint64_t pc)
{
	if (pc == waits_at || pc == done_at || (armed && pc == plan->address))
		step(true);
	else
		run_on();
}

/* The steps that are due are made. */
static void leave(uint64_t pc)
{
	/* A debugger that steps over an INT3 of its own that stands on the guest's never lets that run. */
	if (armed && covered == INT3) {
		if (plan->breakpoint == SOFTWARE)
			machine.ram[plan->address] = covered;
		armed = false;
	}
	go_from(pc);
}

/* A #DB that is none of ours is the guest's: QEMU hands it on, and so do we. */
static void hand_on(uint64_t dr6)
{
	struct kvm_vcpu_events events;
	struct kvm_debugregs registers;
	int cpu = machine.vcpus[0];

	must("KVM_GET_DEBUGREGS", ioctl(cpu, KVM_GET_DEBUGREGS, &registers));
	registers.dr6 = dr6;
	must("KVM_SET_DEBUGREGS", ioctl(cpu, KVM_SET_DEBUGREGS, &registers));
	must("KVM_GET_VCPU_EVENTS", ioctl(cpu, KVM_GET_VCPU_EVENTS, &events));
	events.exception.injected = 1;
	events.exception.nr = VECTOR_DB;
	events.exception.has_error_code = 0;
	must("KVM_SET_VCPU_EVENTS", ioctl(cpu, KVM_SET_VCPU_EVENTS, &events));
}

static void stopped_at(uint64_t pc, uint64_t dr6)
{
	if (pc == waits_at) {
		/* Without BLOCKIRQ (before 5.15) a plan that wants it is left alone, and the guest says so. */
		armed = plan->address < RAM_BYTES && plan->steps <= MAX_STEPS &&
			(can_block || !(plan->sstep & SSTEP_NOIRQ));
		if (armed)
			covered = machine.ram[plan->address];
		stops = 0;
		step(true);
	} else if (pc == done_at) {
		if (armed && plan->breakpoint == SOFTWARE)
			machine.ram[plan->address] = covered;
		armed = false;
		plan->stops = stops;
		step(true);
	} else if (armed && pc == plan->address) {
		steps = 0;
		if (!stops++ && plan->steps)
			step(false);
		else
			leave(pc);
	} else {
		hand_on(dr6);
	}
}

void debugger_start(const char *places)
{
	if (sscanf(places, "%lx:%lx:%lx", &plan_at, &waits_at, &done_at) != 3 ||
	    plan_at + sizeof(*plan) > RAM_BYTES) {
		pthread_mutex_lock(&machine.lock);
		end("step=%s is not understood", places);
	}
	plan = (struct plan *)(machine.ram + plan_at);
	can_block = ioctl(machine.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2) > 0 &&
		    ioctl(machine.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2) &
			    KVM_GUESTDBG_BLOCKIRQ;
	run_on();
}

void debugger_exit(const struct kvm_run *run)
{
	uint64_t pc = run->debug.arch.pc;

	switch (phase) {
	case RUNS:
		stopped_at(pc, run->debug.arch.dr6);
		break;
	case STEPS_OVER:
		run_on();
		break;
	case STEPS:
		plan->seen[steps++] = pc;
		if (steps < plan->steps)
			step(false);
		else
			leave(pc);
	}
}
