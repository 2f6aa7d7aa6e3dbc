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

static const char *const cr_accesses[2][16] = {
	{[0] = "READ_CR0", [2] = "READ_CR2", [3] = "READ_CR3", [4] = "READ_CR4", [8] = "READ_CR8"},
	{[0] = "WRITE_CR0",
	 [2] = "WRITE_CR2",
	 [3] = "WRITE_CR3",
	 [4] = "WRITE_CR4",
	 [8] = "WRITE_CR8"},
};

const char *svm_exit_name(uint64_t code)
{
	if (code - 0x60 < sizeof(from_0x60) / sizeof(from_0x60[0]))
		return from_0x60[code - 0x60];
	if (code < 0x20)
		return cr_accesses[code / 16][code % 16];
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
