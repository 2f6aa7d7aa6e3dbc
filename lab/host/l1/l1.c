/* SPDX-License-Identifier: BSD-2-Clause */
#include "l1.h"

#include "base/log.h"
#include "base/options.h"
#include "l2/guard.h"
#include "l2/l2.h"
#include "memory/boot.h"
#include "memory/identity.h"
#include "psp/iommu.h"
#include "psp/psp.h"

#define PORTS 65536
/* CPUID Fn8000_000A EDX and lbr_control: VMLOAD and VMSAVE go through the nested tables. */
#define SVM_D_VIRTUAL_VMLOAD (1u << 15)
#define VIRTUAL_VMLOAD (1ul << 1)
#define PAT_RESET 0x0007040600070406ul

static uint8_t io_map[3 * PAGE] __attribute__((aligned(4096)));
static uint8_t msr_map[2 * PAGE] __attribute__((aligned(4096)));

/* Reads and writes. APM 2, "MSR Intercepts". */
static void watch_msr(uint32_t msr)
{
	unsigned range = msr >> 16 == 0xc000 ? 1 : msr >> 16 == 0xc001 ? 2 : 0;
	unsigned bit = 8 * 0x800 * range + 2 * (msr & 0x1fff);

	msr_map[bit / 8] |= 3 << bit % 8;
}

static void watch_port(uint16_t port)
{
	io_map[port / 8] |= 1 << port % 8;
}

static void intercept(struct vmcb *b, unsigned which)
{
	b->intercept[which / 32] |= 1u << which % 32;
}

/*
 * VMLOAD and VMSAVE are not among them: they would be three more exits in each round trip to an L2, and those come
 * while L1 has GIF clear, which an exit cannot preserve (l2.c). L1's go through the tables of identity instead.
 */
static void watch(struct vmcb *b)
{
	static const uint32_t msrs[] = {MSR_EFER,	 MSR_SYSCFG,	    MSR_HWCR,
					MSR_VM_HSAVE_PA, MSR_VM_PAGE_FLUSH, MSR_GHCB,
					MSR_SEV_STATUS,	 MSR_APIC_BASE};

	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		watch_msr(msrs[i]);
	intercept(b, SVM_INTERCEPT_CPUID);
	intercept(b, SVM_INTERCEPT_MSR);
	intercept(b, SVM_INTERCEPT_VMRUN);
	intercept(b, SVM_INTERCEPT_SHUTDOWN);
	intercept(b, SVM_INTERCEPT_IOIO);
	for (unsigned port = 0; port < PORTS; port++)
		if (guard_claims_port(port, 1))
			watch_port(port);
	if (features.sev) {
		for (uint16_t port = 0xcf8; port < 0xd00; port++)
			watch_port(port);
		psp_init();
	}
	if (features.snp) {
		b->intercept_exceptions |= EXCEPTION(VECTOR_UD);
		watch_msr(MSR_RMP_BASE);
		watch_msr(MSR_RMP_END);
		iommu_init();
	}
	if (!(cpuid(0x8000000a, 0).d & SVM_D_VIRTUAL_VMLOAD))
		stop("the CPU has no virtualized VMLOAD and VMSAVE: without them L1's could reach the monitor's memory "
		     "(QEMU's TCG has them with -cpu ...,x-force-features=on,v-vmsave-vmload=on)");
	b->lbr_control = VIRTUAL_VMLOAD;
}

void l1_init(struct cpu *c)
{
	static const struct svm_segment data = {0x18, 0xc93, 0xffffffff, 0};
	struct vmcb *b = &c->l1;

	c->syscfg = 1ul << 23; /* memory encryption is on */
	c->hwcr = 1;	       /* SmmLock, which SEV demands */
	b->nested_cr3 = identity_make();
	b->nested_control = SVM_NESTED_PAGING;
	b->asid = 1;
	b->tlb_control = SVM_TLB_FLUSH_ALL;
	b->iopm = (uint64_t)io_map;
	b->msrpm = (uint64_t)msr_map;
	watch(b);

	b->cs = (struct svm_segment){0x10, 0xa9b, 0xffffffff, 0};
	b->ds = b->es = b->ss = data;
	b->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME;
	b->cr0 = 0x80000033;
	b->cr4 = X86_CR4_PAE;
	b->dr6 = DR6_CLEAR;
	b->dr7 = DR7_CLEAR;
	b->rflags = X86_EFLAGS_FIXED;
	b->pat = PAT_RESET;
}

void l1_exit(struct cpu *c)
{
	struct vmcb *b = &c->l1;
	uint64_t code = b->exit_code;

	b->tlb_control = 0;
	b->inject.what = 0;
	c->count.l1[code < COUNTED ? code : COUNTED - 1]++;
	/* What was being delivered to L1 when its tables lacked a page. */
	if (code == SVM_EXIT_NPF && b->exit_int_info.what & SVM_EVENT_VALID)
		b->inject = l1_interrupted(c);
	switch (code) {
	case SVM_EXIT(CPUID):
		l1_cpuid(c);
		break;
	case SVM_EXIT(MSR):
		l1_msr(c);
		break;
	case SVM_EXIT(IOIO):
		l1_port(c);
		break;
	case SVM_EXIT_NPF:
		l1_npf(c);
		break;
	case SVM_EXIT(VMRUN):
		l2_vmrun(c);
		break;
	case SVM_EXIT_EXCEPTION + VECTOR_UD:
		if (!l1_rmp_instruction(c))
			b->inject =
				(struct svm_event){SVM_EVENT_VALID | SVM_EXCEPTION | VECTOR_UD, 0};
		break;
	case SVM_EXIT(SHUTDOWN):
		stop("the kernel of L1 has shut down its CPU (a triple fault), at %#lx", b->rip);
	default:
		stop("L1 left its CPU with exit code %#lx, which the monitor did not ask for",
		     code);
	}
}
