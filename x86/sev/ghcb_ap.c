/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GHCB protocol with more than one CPU: each CPU's page is its own, and a CPU that has nothing to do holds
 * until it is started anew.
 *
 * The rule. The page of a request is the one whose address the MSR of the CPU that executes VMGEXIT holds. Under
 * SEV-ES a CPU's registers are sealed, so INIT and a start-up IPI cannot send it anywhere: a guest (its
 * firmware, for the operating system behind it) parks a CPU with AP reset hold, by the MSR or by the page. The
 * call returns when a start-up IPI comes, with a value that is not 0, and the guest goes where it
 * likes. Under SEV-SNP there is AP creation as well, but a CPU that is held is woken the same way.
 *
 * A buggy hypervisor takes the page of another CPU, ends a hold before anybody has asked for it, or says 0 as
 * if no start-up IPI had come: then the guest goes back to sleep, and the CPU is lost.
 */
#include "trapline.h"

#include "x86/sev/ghcb_msr.h"

#define RULE_HOLD \
	"GHCB 4.3, SMP Booting: AP reset hold lasts until a start-up IPI, and says that there was one"

static void need_cpus(void)
{
	need_es();
	need_native("the hypervisor of L2 is our own, and offers no SEV");
}

/* -- Another CPU's page. ----------------------------------------------------------------------- */

#define POISON 0x9e3779b97f4a7c15ul

static void ask_cpuid(void *answer)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_CPUID};

	ghcb_offer(&call, GHCB_RAX, 0x80000000);
	ghcb_offer(&call, GHCB_RCX, 0);
	ghcb_call(&call);
	*(uint64_t *)answer = call.outcome.verdict == GHCB_OK ? call.answer.value[GHCB_RAX] : 0;
}

/* CPU 1 asks while CPU 0 has its own page open. */
CASE_NEEDS("cpus=2", other_cpu, CPL0, "GHCB 2.6: the page whose address this CPU's MSR holds",
	   CATCHES("model-ghcb-one-for-all"))
{
	volatile uint64_t *word;
	struct ghcb_use use;
	uint64_t answer = 0;
	unsigned changed = 0;
	bool done;

	need_cpus();
	word = (volatile uint64_t *)ghcb_open(&use);
	for (unsigned i = 0; i < 512; i++)
		word[i] = POISON + i;
	cpu_start_work(1, ask_cpuid, &answer);
	done = cpu_wait(1);
	for (unsigned i = 0; i < 512; i++)
		changed += word[i] != POISON + i;
	ghcb_close(&use);
	check(done, "CPU 1 did not come back within the deadline");
	check(answer >= 0x8000001f, "CPU 1 was answered %#lx", answer);
	check(!changed, "%u words of the page of CPU 0 changed", changed);
}

/* -- AP reset hold. ---------------------------------------------------------------------------- */

static volatile bool holds, resumed;
static volatile uint64_t answer;

static void hold_by_msr(void *argument)
{
	struct ghcb_msr m, ask = {.code = GHCB_MSR_AP_RESET_HOLD_REQUEST};
	uint64_t request = ghcb_msr_encode(&ask);
	bool right;

	(void)argument;
	holds = true;
	right = ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK;
	answer = right ? m.sipi : 0;
	resumed = true;
	/* INIT has reset it. */
	apic_enable(this_cpu()->index);
}

static void hold_by_page(void *argument)
{
	struct ghcb_call call = {.request.exit_code = GHCB_EVENT_AP_RESET_HOLD};

	(void)argument;
	holds = true;
	ghcb_call(&call);
	answer = call.outcome.verdict == GHCB_OK ? call.answer.value[GHCB_EXIT_INFO_2] : 0;
	resumed = true;
	apic_enable(this_cpu()->index);
}

static void try_hold(void (*hold)(void *argument))
{
	need_cpus();
	holds = resumed = false;
	answer = 0;
	cpu_start_work(1, hold, NULL);
	witness(wait_until(holds), "CPU 1 did not begin");
	check(stays(!resumed), "CPU 1 goes on without a start-up IPI");
	apic_icr(percpu[1].apic_id, ICR_INIT | ICR_ASSERT);
	apic_icr(percpu[1].apic_id, ICR_STARTUP | ICR_ASSERT | AP_START_PAGE >> 12);
	check(wait_until(resumed), "CPU 1 does not go on");
	check(answer, "CPU 1 is told of no start-up IPI");
	check(cpu_wait(1), "CPU 1 did not come back within the deadline");
}

CASE_NEEDS("cpus=2 apic=1", reset_hold_msr, CPL0, RULE_HOLD,
	   CATCHES("model-ghcb-hold-ends model-ghcb-hold-silent"))
{
	need_cpus();
	need(sev_ghcb_version() >= 2, "the hypervisor speaks version %u", sev_ghcb_version());
	try_hold(hold_by_msr);
}

CASE_NEEDS("cpus=2 apic=1", reset_hold_page, CPL0, RULE_HOLD,
	   CATCHES("model-ghcb-hold-ends model-ghcb-hold-silent"))
{
	try_hold(hold_by_page);
}
