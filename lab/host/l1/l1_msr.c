/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSRs that L1 does not have to itself. APM 2, appendix A; PPR of family 19h for SYSCFG and HWCR. */
#include "l1.h"

#include "base/log.h"
#include "base/options.h"
#include "l2/guard.h"
#include "memory/rmp.h"

#define HWCR_SMM_LOCK 1ul

/* EFER.SVME is always set for the CPU, since L1 runs from a VMCB. */
static uint64_t read_efer(const struct cpu *c)
{
	return c->svme ? c->l1.efer : c->l1.efer & ~(uint64_t)EFER_SVME;
}

static void write_efer(struct cpu *c, uint64_t value)
{
	c->svme = value & EFER_SVME;
	c->l1.efer = (value & ~(uint64_t)EFER_LMA) | (c->l1.efer & EFER_LMA) | EFER_SVME;
}

/* SNPEn stays once it is set. */
static void write_syscfg(struct cpu *c, uint64_t value)
{
	uint64_t snp = features.snp ? (value | c->syscfg) & SYSCFG_SNP : 0;

	if (snp && !rmp_is_enabled())
		rmp_enable();
	c->syscfg = (value & ~SYSCFG_SNP) | snp;
}

/* False: #GP. */
static bool read_msr(struct cpu *c, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_EFER:
		*value = read_efer(c);
		return true;
	case MSR_SYSCFG:
		*value = features.sev ? c->syscfg : rdmsr(msr);
		return true;
	case MSR_HWCR:
		*value = features.sev ? c->hwcr : rdmsr(msr);
		return true;
	case MSR_VM_HSAVE_PA:
		*value = c->hsave;
		return true;
	case MSR_SEV_STATUS: /* of a guest; L1 is none */
		*value = 0;
		return features.sev;
	case MSR_GHCB:
		*value = 0;
		return features.es;
	case MSR_VM_PAGE_FLUSH:
		*value = 0;
		return features.sev;
	case MSR_RMP_BASE:
		*value = rmp_base();
		return true;
	case MSR_RMP_END:
		*value = rmp_last();
		return true;
	}
	*value = rdmsr(msr); /* beyond the map, where all exit */
	return true;
}

static bool write_msr(struct cpu *c, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_EFER:
		write_efer(c, value);
		return true;
	case MSR_APIC_BASE:
		if (!guard_allows_apic(value))
			stop("L1 moves its local APIC to %#lx; the monitor wants it where it is",
			     value);
		break;
	case MSR_SYSCFG:
		if (features.sev)
			write_syscfg(c, value);
		return true;
	case MSR_HWCR:
		c->hwcr = value | HWCR_SMM_LOCK;
		return true;
	case MSR_VM_HSAVE_PA:
		c->hsave = value;
		return !(value & (PAGE - 1));
	case MSR_VM_PAGE_FLUSH: /* memory is coherent: nothing to flush */
		return features.sev;
	case MSR_SEV_STATUS:
	case MSR_GHCB:
	case MSR_RMP_BASE: /* firmware has set them, and locked them */
	case MSR_RMP_END:
		return false;
	}
	wrmsr(msr, value);
	return true;
}

void l1_msr(struct cpu *c)
{
	uint32_t msr = c->regs.rcx;
	uint64_t value;

	if (c->l1.exit_info1 & 1) {
		if (!write_msr(c, msr, cpu_get_pair(c, &c->l1))) {
			l1_gp(c);
			return;
		}
	} else {
		if (!read_msr(c, msr, &value)) {
			l1_gp(c);
			return;
		}
		cpu_set_pair(c, &c->l1, value);
	}
	l1_skip(c, 2);
}
