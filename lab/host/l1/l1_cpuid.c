/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU that L1 sees: the emulator's, and what the monitor adds. APM 3, appendix E. */
#include "l1.h"

#include "base/log.h"
#include "base/options.h"
#include "base/sev_cpuid.h"

#define CR4_OSXSAVE 18
#define CR4_PKE 22
#define CPUID_1_C_OSXSAVE (1u << 27)
#define CPUID_7_C_OSPKE (1u << 4)

#define SVM_D_LBRV (1u << 1)
#define SVM_D_NRIPS (1u << 3)
#define SVM_D_FLUSH_BY_ASID (1u << 6)
#define SVM_D_DECODE_ASSISTS (1u << 7)
#define SVM_D_VIRTUAL_VMLOAD (1u << 15)
#define SVM_LEAST_ASIDS 0x1000

#define SEV_A_SEV (1u << 1)
#define SEV_A_ES (1u << 3)
#define SEV_A_SNP (1u << 4)
#define SEV_A_VMPL (1u << 5)
#define SEV_A_COHERENT (1u << 10)

/* Linux knows the RMP's layout by the processor's family: this is the first with SNP (Milan). A hypervisor's guest
 * has no RMP for it, so it is no guest. */
#define FAMILY_19H 0x00a00f11u
#define CPUID_1_C_HYPERVISOR (1u << 31)

#define LAST_LEAF 0x8000001f /* where there is SEV */

/* A leaf of our own: whoever asks gets the counts into the log. */
#define CPUID_COUNTS 0x4c300000

/* A bit that mirrors one of CR4, which is L1's and not the monitor's. */
static uint32_t mirror(uint32_t value, uint32_t bit, uint64_t cr4, unsigned from)
{
	return cr4 >> from & 1 ? value | bit : value & ~bit;
}

static void encryption(struct cpuid *r)
{
	*r = (struct cpuid){0};
	if (!features.sev)
		return;
	r->a = SEV_A_SEV | (features.es ? SEV_A_ES : 0) |
	       (features.snp ? SEV_A_SNP | SEV_A_VMPL : 0) | SEV_A_COHERENT;
	r->b = C_BIT_POSITION | C_BIT_REDUCTION << 6;
	r->c = SEV_ASIDS;
	r->d = features.es ? SEV_MIN_ASID : 1;
}

/* Fn8000_001D: caches as a processor of that family has them. Two threads would share the first three. */
static struct cpuid caches(uint32_t subleaf)
{
	static const struct cpuid levels[] = {
		{0x121, 7u << 22 | 63, 63, 0},
		{0x122, 7u << 22 | 63, 63, 0},
		{0x143, 7u << 22 | 63, 1023, 2},
		{0x163, 15u << 22 | 63, 16383, 1},
	};

	return subleaf < 4 ? levels[subleaf] : (struct cpuid){0};
}

void l1_cpuid(struct cpu *c)
{
	struct vmcb *b = &c->l1;
	uint32_t leaf = b->rax, subleaf = c->regs.rcx;
	struct cpuid r = cpuid(leaf, subleaf);

	/* Behind its own last leaf the emulator answers with another one's. */
	if (features.sev && leaf <= LAST_LEAF && leaf > cpuid(0x80000000, 0).a)
		r = (struct cpuid){0};
	switch (leaf) {
	case 1:
		r.c = mirror(r.c, CPUID_1_C_OSXSAVE, b->cr4, CR4_OSXSAVE);
		if (features.snp) {
			r.a = FAMILY_19H;
			r.c &= ~CPUID_1_C_HYPERVISOR;
		}
		break;
	case 7:
		if (!subleaf)
			r.c = mirror(r.c, CPUID_7_C_OSPKE, b->cr4, CR4_PKE);
		break;
	case 0x80000000:
		if (features.sev && r.a < LAST_LEAF)
			r.a = LAST_LEAF;
		break;
	case 0x80000001:
		if (features.snp)
			r.a = FAMILY_19H;
		break;
	case 0x8000001d:
		if (features.sev)
			r = caches(subleaf);
		break;
	case 0x80000008:
		if (features.sev)
			r.a = (r.a & ~0xffu) | PHYSICAL_BITS;
		break;
	case 0x8000000a:
		if (r.b < SVM_LEAST_ASIDS)
			r.b = SVM_LEAST_ASIDS;
		if (features.nrips)
			r.d |= SVM_D_NRIPS;
		if (features.decode)
			r.d |= SVM_D_DECODE_ASSISTS | SVM_D_FLUSH_BY_ASID;
		if (features.lbrv)
			r.d |= SVM_D_LBRV;
		/* For L1 itself (l1.c); L2's are intercepted. */
		r.d &= ~SVM_D_VIRTUAL_VMLOAD;
		break;
	case 0x8000001f:
		encryption(&r);
		break;
	case CPUID_COUNTS:
		say_state();
		break;
	}
	b->rax = r.a;
	c->regs.rbx = r.b;
	c->regs.rcx = r.c;
	c->regs.rdx = r.d;
	l1_skip(c, 2);
}
