/* SPDX-License-Identifier: BSD-2-Clause */
/* APM 2, "Enabling SVM" and "SVM Feature Identification". */
#include "l1.h"

#include "x86/cpu/cpu.h"

#define CPUID_FEATURES 0x80000001
#define CPUID_SVM 0x8000000a
#define FEATURE_SVM (1u << 2)
#define SVM_FEATURE_NPT (1u << 0)
#define SVM_FEATURE_NEXT_RIP (1u << 3)

#define MSR_VM_CR 0xc0010114
#define VM_CR_SVMDIS (1u << 4)

static bool has_npt(void)
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
		return "SVM";
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return "SVM that is enabled (VM_CR.SVMDIS)";
	return NULL;
}

const char *svm_obstacle_npt(void)
{
	const char *general = svm_obstacle();

	if (general)
		return general;
	return has_npt() ? NULL : "nested paging (SVM)";
}
