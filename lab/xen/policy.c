/* SPDX-License-Identifier: BSD-2-Clause */
#include "policy.h"

#include "abi.h"
#include "domain.h"

#define MAX_LEAVES 512
#define LEAF_FEATURES 1
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_SVM 0x8000000au
#define FEATURES_C_VMX (1u << 5)
#define AMD_FEATURES_C_SVM (1u << 2)

static struct cpuid_leaf possible[MAX_LEAVES];
static unsigned possible_count;

/* A leaf of the most that this Xen can show a guest. */
static struct cpuid_leaf leaf_of(uint32_t number)
{
	for (unsigned i = 0; i < possible_count; i++)
		if (possible[i].leaf == number)
			return possible[i];
	end("Xen's CPU policy has no CPUID leaf %#x", number);
}

static void set_leaves(struct cpuid_leaf *leaves, unsigned count)
{
	struct domctl op = {.policy = {.leaves = count, .leaf = leaves}};
	long result = domctl(&op, DOMCTL_SET_CPU_POLICY);

	if (result < 0)
		end("set_cpu_policy: Xen gives error %d for leaf %#x", (int)-result,
		    op.policy.bad_leaf);
}

/* What a guest is shown without being asked for, less than the most in these leaves only by what is added. */
static struct cpuid_leaf own_leaf(uint32_t number)
{
	static struct cpuid_leaf own[MAX_LEAVES];
	struct domctl op = {.policy = {.leaves = MAX_LEAVES, .leaf = own}};

	must("get_cpu_policy", domctl(&op, DOMCTL_GET_CPU_POLICY));
	for (unsigned i = 0; i < op.policy.leaves; i++)
		if (own[i].leaf == number)
			return own[i];
	end("the domain's CPU policy has no CPUID leaf %#x", number);
}

void policy_show_nested(void)
{
	struct sysctl op = {
		SYSCTL_CPU_POLICY,
		domain.version->sysctl,
		{.policy = {.index = POLICY_HVM_MAX, .leaves = MAX_LEAVES, .leaf = possible}}};
	struct cpuid_leaf wanted[2];

	must("sysctl get_cpu_policy", hypercall(OP_SYSCTL, &op));
	possible_count = op.policy.leaves;
	if (leaf_of(LEAF_FEATURES).c & FEATURES_C_VMX) {
		wanted[0] = own_leaf(LEAF_FEATURES);
		wanted[0].c |= FEATURES_C_VMX;
		set_leaves(wanted, 1);
	} else {
		wanted[0] = own_leaf(LEAF_AMD_FEATURES);
		wanted[0].c |= AMD_FEATURES_C_SVM;
		wanted[1] = leaf_of(LEAF_SVM);
		set_leaves(wanted, 2);
	}
}
