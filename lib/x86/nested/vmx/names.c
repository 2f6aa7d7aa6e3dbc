/* SPDX-License-Identifier: BSD-2-Clause */
/* SDM 3D, "VMX Basic Exit Reasons", shortened; what SVM has as well is called as it is there. */
#include "vmx.h"

#include <stddef.h>

static const char *const names[] = {
	[1] = "INTR",
	[2] = "TRIPLE_FAULT",
	[3] = "INIT",
	[4] = "SIPI",
	[7] = "INTR_WINDOW",
	[8] = "NMI_WINDOW",
	[9] = "TASK_SWITCH",
	[10] = "CPUID",
	[11] = "GETSEC",
	[12] = "HLT",
	[13] = "INVD",
	[14] = "INVLPG",
	[15] = "RDPMC",
	[16] = "RDTSC",
	[17] = "RSM",
	[18] = "VMCALL",
	[19] = "VMCLEAR",
	[20] = "VMLAUNCH",
	[21] = "VMPTRLD",
	[22] = "VMPTRST",
	[23] = "VMREAD",
	[24] = "VMRESUME",
	[25] = "VMWRITE",
	[26] = "VMXOFF",
	[27] = "VMXON",
	[28] = "CR_ACCESS",
	[29] = "DR_ACCESS",
	[30] = "IOIO",
	[31] = "RDMSR",
	[32] = "WRMSR",
	[33] = "INVALID_GUEST",
	[34] = "INVALID_MSR_LOAD",
	[36] = "MWAIT",
	[37] = "MTF",
	[39] = "MONITOR",
	[40] = "PAUSE",
	[41] = "MACHINE_CHECK",
	[43] = "TPR_THRESHOLD",
	[44] = "APIC_ACCESS",
	[45] = "VIRTUALIZED_EOI",
	[46] = "GDTR_OR_IDTR",
	[47] = "LDTR_OR_TR",
	[48] = "EPT_VIOLATION",
	[49] = "EPT_MISCONFIGURATION",
	[50] = "INVEPT",
	[51] = "RDTSCP",
	[52] = "PREEMPTION_TIMER",
	[53] = "INVVPID",
	[54] = "WBINVD",
	[55] = "XSETBV",
	[56] = "APIC_WRITE",
	[57] = "RDRAND",
	[58] = "INVPCID",
	[59] = "VMFUNC",
	[60] = "ENCLS",
	[61] = "RDSEED",
	[63] = "XSAVES",
	[64] = "XRSTORS",
};

const char *vmx_reason_name(uint32_t reason)
{
	reason &= 0xffff;
	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : NULL;
}

const char *vmx_error_name(uint32_t error)
{
	switch (error) {
	case VMX_ERROR_LAUNCHED:
		return "LAUNCHED";
	case VMX_ERROR_NOT_LAUNCHED:
		return "NOT_LAUNCHED";
	case VMX_ERROR_CONTROLS:
		return "INVALID_CONTROLS";
	case VMX_ERROR_HOST:
		return "INVALID_HOST";
	case VMX_ERROR_MOV_SS:
		return "BLOCKED_BY_MOV_SS";
	default:
		return "VMfail";
	}
}
