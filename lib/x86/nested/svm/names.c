/* SPDX-License-Identifier: BSD-2-Clause */
/* APM 2, "SVM Intercept Codes". */
#include "svm.h"

static const char *const from_0x60[] = {
	"INTR",	       "NMI",	    "SMI",	  "INIT",    "VINTR",	   "CR0_SEL_WRITE",
	"IDTR_READ",   "GDTR_READ", "LDTR_READ",  "TR_READ", "IDTR_WRITE", "GDTR_WRITE",
	"LDTR_WRITE",  "TR_WRITE",  "RDTSC",	  "RDPMC",   "PUSHF",	   "POPF",
	"CPUID",       "RSM",	    "IRET",	  "SWINT",   "INVD",	   "PAUSE",
	"HLT",	       "INVLPG",    "INVLPGA",	  "IOIO",    "MSR",	   "TASK_SWITCH",
	"FERR_FREEZE", "SHUTDOWN",  "VMRUN",	  "VMMCALL", "VMLOAD",	   "VMSAVE",
	"STGI",	       "CLGI",	    "SKINIT",	  "RDTSCP",  "ICEBP",	   "WBINVD",
	"MONITOR",     "MWAIT",	    "MWAIT_COND", "XSETBV",  "RDPRU",
};

const char *svm_exit_name(uint64_t code)
{
	if (code - 0x60 < sizeof(from_0x60) / sizeof(from_0x60[0]))
		return from_0x60[code - 0x60];
	switch (code) {
	case 0x20 ... 0x2f:
		return "DR_READ";
	case 0x30 ... 0x3f:
		return "DR_WRITE";
	case SVM_EXIT_NPF:
		return "NPF";
	case SVM_EXIT_INVALID:
		return "INVALID";
	default:
		return NULL;
	}
}
