/* SPDX-License-Identifier: BSD-2-Clause */
/* SDM 3D, "VMX Capability Reporting Facility". */
#include "l1.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"

#include <stddef.h>

#define CPUID_1_C_VMX (1u << 5)

#define MSR_FEATURE_CONTROL 0x3a
#define FEATURE_LOCKED (1u << 0)
#define FEATURE_VMX (1u << 2) /* outside of SMX */

#define MSR_VMX_BASIC 0x480
#define MSR_VMX_PIN 0x481 /* the others follow: CPU, EXIT, ENTRY */
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_SECONDARY 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define MSR_VMX_TRUE_PIN 0x48d

#define BASIC_TRUE_CONTROLS (1ul << 55)
#define BASIC_ANY_ERROR_CODE (1ul << 56)
#define MSR_VMX_MISC 0x485
#define MISC_LENGTH_0 (1u << 30)
#define EPT_4_LEVELS (1u << 6)
#define EPT_WRITE_BACK (1u << 14)
#define EPT_2_MIB (1u << 16)
#define EPT_INVEPT (1u << 20)
#define EPT_INVEPT_ALL (1u << 26)
#define EPT_NEEDED (EPT_4_LEVELS | EPT_WRITE_BACK | EPT_2_MIB | EPT_INVEPT | EPT_INVEPT_ALL)

/* One of these MSRs, which are constants, read once: below L1, each RDMSR is a VM exit. */
static uint64_t reported(uint32_t msr)
{
	static struct {
		bool read;
		uint64_t value;
	} known[32];
	unsigned i = msr - MSR_VMX_BASIC;

	if (!known[i].read) {
		known[i].value = rdmsr(msr);
		known[i].read = true;
	}
	return known[i].value;
}

static uint64_t capability(enum vmx_controls controls)
{
	if (controls == VMX_SECONDARY)
		return reported(MSR_VMX_SECONDARY);
	return reported(
		(reported(MSR_VMX_BASIC) & BASIC_TRUE_CONTROLS ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN) +
		controls);
}

/* SDM 3D, "VM-Execution Controls": bits 31:0 must be 1, bits 63:32 may be 1. */
uint32_t vmx_allowed(enum vmx_controls controls, uint32_t wanted)
{
	uint64_t allowed = capability(controls);

	return (wanted | (uint32_t)allowed) & allowed >> 32;
}

uint64_t vmx_limits(enum vmcs_field controls)
{
	switch (controls) {
	case VMCS_PIN_CONTROLS:
		return capability(VMX_PIN);
	case VMCS_CPU_CONTROLS:
		return capability(VMX_CPU);
	case VMCS_EXIT_CONTROLS:
		return capability(VMX_EXIT);
	case VMCS_ENTRY_CONTROLS:
		return capability(VMX_ENTRY);
	case VMCS_SECONDARY_CONTROLS:
	default:
		return vmx_allowed(VMX_CPU, CPU_SECONDARY) & CPU_SECONDARY
			       ? capability(VMX_SECONDARY)
			       : 0;
	}
}

uint32_t vmx_revision(void)
{
	return reported(MSR_VMX_BASIC) & 0x7fffffff;
}

uint64_t vmx_cr0_fixed(void)
{
	return reported(MSR_VMX_CR0_FIXED0);
}

uint64_t vmx_cr4_fixed(void)
{
	return reported(MSR_VMX_CR4_FIXED0);
}

bool vmx_has_secondary(uint32_t controls)
{
	return vmx_allowed(VMX_CPU, CPU_SECONDARY) & CPU_SECONDARY &&
	       vmx_allowed(VMX_SECONDARY, controls) & controls;
}

bool vmx_takes_any_error_code(void)
{
	return reported(MSR_VMX_BASIC) & BASIC_ANY_ERROR_CODE;
}

bool vmx_takes_length_0(void)
{
	return reported(MSR_VMX_MISC) & MISC_LENGTH_0;
}

/* Firmware that is not there has not locked it: we do. */
bool vmx_enable(void)
{
	static bool enabled[MAX_CPUS];
	unsigned cpu = this_cpu()->index;
	uint64_t feature;

	if (enabled[cpu])
		return true;
	feature = rdmsr(MSR_FEATURE_CONTROL);
	if (!(feature & FEATURE_LOCKED))
		wrmsr(MSR_FEATURE_CONTROL, feature | FEATURE_LOCKED | FEATURE_VMX);
	enabled[cpu] = rdmsr(MSR_FEATURE_CONTROL) & FEATURE_VMX;
	return enabled[cpu];
}

const char *vmx_obstacle(void)
{
	if (!(cpuid(1, 0).c & CPUID_1_C_VMX))
		return "VMX";
	if (!vmx_enable())
		return "VMX that is enabled (IA32_FEATURE_CONTROL)";
	return NULL;
}

const char *vmx_obstacle_ept(void)
{
	const char *general = vmx_obstacle();

	if (general)
		return general;
	if (!vmx_has_secondary(SECONDARY_EPT))
		return "EPT";
	if ((reported(MSR_VMX_EPT_VPID) & EPT_NEEDED) != EPT_NEEDED)
		return "EPT with 2 MiB pages, write-back memory and INVEPT";
	return NULL;
}
