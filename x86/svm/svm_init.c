/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INIT while L2 runs.
 *
 * The rule (APM 2, "INIT Intercept", "Global Interrupt Flag"). An intercepted INIT is an exit before it has any
 * effect; it stays pending until L1 sets GIF, and is L1's then.
 *
 * The bugs that taught it. Bochs before 2.8 reset the machine on an INIT in L2, seen under VMX (vmx_init.c).
 *
 * A buggy hypervisor resets the CPU, and L1 has seen no exit.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_INIT "APM 2, INIT Intercept: an INIT in the guest is an exit, before it has any effect"

/*
 * CPU 1 is in L2, and CPU 0 sends it an INIT. Whether that was an exit is read in CPU 1's VMCB, as it is reset
 * as soon as its L1 sets GIF.
 */
SNIPPET(spin, "movl $1, (%edi); 1: jmp 1b");

static struct vmcb *volatile vmcb_of_1;
static volatile uint32_t inside;

static void intercept_init(struct l2 *v)
{
	svm_intercept(v, SVM_INTERCEPT_INIT);
	vmcb_of_1 = v->vmcb;
}

static enum l2_action end(struct l2 *v)
{
	(void)v;
	return L2_END;
}

static void spin_in_l2(void *argument)
{
	(void)argument;
	run(spin);
}

static uint64_t exit_code_of_1(void)
{
	return *(volatile uint64_t *)&vmcb_of_1->exit_code;
}

CASE_NEEDS("cpus=2", init, CPL0, RULE_INIT, "")
{
	bool exited;

	inside = 0;
	setup.regs.rdi = (uint64_t)&inside;
	l2_setup.before = intercept_init;
	l2_setup.on_exit = end;
	cpu_start_work(1, spin_in_l2, NULL);
	witness(wait_until(inside), "CPU 1 is not in L2");
	apic_icr(percpu[1].apic_id, ICR_INIT | ICR_ASSERT);
	exited = wait_until(exit_code_of_1() == SVM_EXIT(INIT));
	check(exited, "CPU 1's L2 had no exit by INIT, the code is %#lx", exit_code_of_1());
	give_it_time();
	check(cpu_restart(1), "CPU 1 cannot be started anew");
}
