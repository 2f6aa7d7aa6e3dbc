/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State that cannot be: VMRUN refuses it.
 *
 * The rule (APM 2, "Canonicalization and Consistency Checks"). EFER.SVME clear, ASID 0, the intercept of VMRUN
 * off, CR0.NW without CD, bits above 31 in CR0, DR6 or DR7, long mode without PAE: each is VMEXIT_INVALID,
 * exit code -1 in 64 bits, and L2 has not run. What cannot be injected is in svm_inject.c, GIF behind such an
 * exit in svm_gif.c.
 *
 * The bugs that taught it. QEMU before 10 writes -1 as 32 bits, and so did KVM until 6.19, where it refuses by itself.
 * KVM and Xen have had to learn the checks one by one, as each is a way for L1 to bring L0 into a state that it does
 * not expect.
 *
 * A buggy hypervisor shows another exit code, or runs L2.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#include <stddef.h>

#define RULE_INVALID \
	"APM 2, Canonicalization and Consistency Checks: illegal state is VMEXIT_INVALID"

/* An offset in the VMCB; narrower fields are changed in the low half of eight bytes. */
static void field_change(struct l2 *v, size_t field, uint64_t set, uint64_t clear)
{
	uint8_t *at = (uint8_t *)v->vmcb + field;
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	value = (value & ~clear) | set;
	memcpy(at, &value, sizeof(value));
}

SNIPPET(call, "mark call; vmmcall; mark target; nop");

struct wrong {
	size_t field;
	uint64_t set, clear;
};

static const struct wrong *wrong;

static void make_wrong(struct l2 *v)
{
	field_change(v, wrong->field, wrong->set, wrong->clear);
}

static void try_wrong(const char *exit, const struct wrong *table, unsigned count)
{
	if (count > 1)
		expect("exit %s x%u", exit, count);
	else
		expect("exit %s", exit);
	l2_setup.on_call = make_wrong;
	for (wrong = table; wrong < table + count; wrong++)
		run(call);
}

/* A case with one run for each {field, bits to set, bits to clear}; `exit` as the trace shows it. */
#define WRONG(name, rule, exit, bugs, ...)                                \
	CASE(name, CPL0, rule, bugs)                                      \
	{                                                                 \
		static const struct wrong table[] = {__VA_ARGS__};        \
                                                                          \
		try_wrong(exit, table, sizeof(table) / sizeof(table[0])); \
	}

#define ILLEGAL(name, field, set, clear)                                                        \
	WRONG(name, RULE_INVALID, "INVALID", CATCHES("tcg-vmexit-invalid nsvm-exit-code-high"), \
	      {offsetof(struct vmcb, field), set, clear})

ILLEGAL(no_svme, efer, 0, EFER_SVME)
ILLEGAL(no_asid, asid, 0, 0xffffffff)
ILLEGAL(no_vmrun_intercept, intercept[SVM_INTERCEPT_VMRUN / 32], 0, 1u << SVM_INTERCEPT_VMRUN % 32)
ILLEGAL(nw_without_cd, cr0, 1ul << 29, 0)
ILLEGAL(high_cr0, cr0, 1ul << 32, 0)
ILLEGAL(high_dr6, dr6, 1ul << 32, 0)
ILLEGAL(high_dr7, dr7, 1ul << 32, 0)
ILLEGAL(long_mode_without_pae, cr4, 0, X86_CR4_PAE)
