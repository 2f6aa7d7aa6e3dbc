/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs under SEV-ES to ask the hypervisor, in TSC cycles; reported as x86/latency/latency.c does.
 *
 * Rule: none; a slow hypervisor is legal. But every port, every MSR and every CPUID of such a guest
 * pays this, so a gate may watch it.
 *
 * What is measured.
 *
 *	vmgexit_msr	VMGEXIT alone, with a request of the MSR protocol (SEV information)
 *	vmgexit_page	the same with a request in the GHCB (CPUID)
 *	vc_rdmsr	RDMSR from before to behind it: #VC, our handler with its decoder, VMGEXIT, IRET;
 *			elsewhere, where nothing intercepts it, the instruction
 */
#define GUEST_LAYERS(do) \
	do               \
	(native, "native")
#include "latency.h"

#include "x86/sev/ghcb_msr.h"

#define RULE "GHCB 2.3 and 4.1: cycles from VMGEXIT to the instruction behind it"
#define CPUID_EXTENDED 0x80000000

CASE(vmgexit_msr, CPL0, RULE, CATCHES("model-ghcb-info-once"))
{
	unsigned answered = 0;
	uint64_t before;

	need_es();
	before = rdmsr(MSR_GHCB);
	for (unsigned i = 0; i < SAMPLES_DUE; i++) {
		wrmsr(MSR_GHCB, GHCB_MSR_SEV_INFO_REQUEST);
		samples[i] = measure("rep; vmmcall");
		answered += (rdmsr(MSR_GHCB) & 0xfff) == GHCB_MSR_SEV_INFO;
	}
	wrmsr(MSR_GHCB, before);
	check(answered == SAMPLES_DUE, "%u of %u requests were answered", answered, SAMPLES_DUE);
	report("vmgexit_msr", SAMPLES_DUE);
}

static bool is_answered(const volatile struct ghcb_page *page)
{
	return page->exit_info_1 == GHCB_RESULT_DONE &&
	       ghcb_valid_fields(page) & GHCB_BIT(GHCB_RAX) &&
	       ghcb_get(page, GHCB_RAX) >= CPUID_EXTENDED;
}

CASE(vmgexit_page, CPL0, RULE, CATCHES("model-ghcb-output-not-valid"))
{
	volatile struct ghcb_page *page;
	unsigned answered = 0;
	struct ghcb_use use;

	need_es();
	page = ghcb_open(&use);
	wrmsr(MSR_GHCB, ghcb_gpa());
	page->version = sev_ghcb_version();
	page->usage = GHCB_USAGE_STANDARD;
	for (unsigned i = 0; i < SAMPLES_DUE; i++) {
		ghcb_clear(page);
		ghcb_set(page, GHCB_EXIT_CODE, SVM_EXIT_CPUID);
		ghcb_set(page, GHCB_EXIT_INFO_1, 0);
		ghcb_set(page, GHCB_EXIT_INFO_2, 0);
		ghcb_set(page, GHCB_RAX, CPUID_EXTENDED);
		ghcb_set(page, GHCB_RCX, 0);
		samples[i] = measure("rep; vmmcall");
		answered += is_answered(page);
	}
	ghcb_close(&use);
	check(answered == SAMPLES_DUE, "%u of %u requests were answered", answered, SAMPLES_DUE);
	report("vmgexit_page", SAMPLES_DUE);
}

CASE(vc_rdmsr, CPL0, "GHCB 4.1, MSR_PROT: cycles of an RDMSR that is #VC",
     CATCHES("model-ghcb-msr-halves"))
{
	for (unsigned i = 0; i < SAMPLES_DUE; i++)
		samples[i] = measure("rdmsr", "c"(MSR_APIC_BASE));
	check(rdmsr(MSR_APIC_BASE) >> 12 == 0xfee00, "the MSR is %#lx", rdmsr(MSR_APIC_BASE));
	report("vc_rdmsr", SAMPLES_DUE);
}
