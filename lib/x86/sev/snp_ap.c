/* SPDX-License-Identifier: BSD-2-Clause */
#include "snp_ap.h"

#include "snp.h"
#include "x86/boot/layout.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/smp.h"

#include "string.h"

#define LIMIT_16 0xffff
#define CODE_16 0x9b
#define DATA_16 0x93
#define LDT_16 0x82
#define TSS_16 0x8b
#define PAT_RESET 0x0007040600070406ul
#define CR0_RESET 0x60000010u
#define MXCSR_RESET 0x1f80
#define X87_CONTROL_RESET 0x0040
#define X87_TAGS_EMPTY 0x5555
#define TARGET_VMPL 1 /* RMPADJUST must name one that is not the own; nobody uses it */

/* An erratum wants that no VMSA lies where 2 MiB begin: one page is to spare. */
static struct vmsa pages[MAX_CPUS + 1] __attribute__((section(".noinit")));
static bool is_vmsa[MAX_CPUS];

static struct vmsa *page_of(unsigned index)
{
	uint64_t boundary = ((uint64_t)pages + BLOCK_BYTES - 1) & ~(BLOCK_BYTES - 1);

	return &pages[index + ((uint64_t)&pages[index] >= boundary)];
}

static void reset_state(struct vmsa *v)
{
	struct svm_segment data = {.attributes = DATA_16, .limit = LIMIT_16};

	memset(v, 0, sizeof(*v));
	v->es = v->ss = v->ds = v->fs = v->gs = data;
	v->cs = (struct svm_segment){AP_START_PAGE >> 4, CODE_16, LIMIT_16, AP_START_PAGE};
	v->gdtr.limit = v->idtr.limit = LIMIT_16;
	v->ldtr = (struct svm_segment){.attributes = LDT_16, .limit = LIMIT_16};
	v->tr = (struct svm_segment){.attributes = TSS_16, .limit = LIMIT_16};
	v->efer = EFER_SVME;
	v->cr0 = CR0_RESET;
	v->dr6 = DR6_CLEAR;
	v->dr7 = DR7_CLEAR;
	v->rflags = X86_EFLAGS_FIXED;
	v->pat = PAT_RESET;
	v->sev_features = sev_status >> 2;
	v->xcr0 = 1;
	v->mxcsr = MXCSR_RESET;
	v->x87_tags = X87_TAGS_EMPTY;
	v->x87_control = X87_CONTROL_RESET;
}

/* False also while the CPU that it was for has not yet come out of it. */
static bool adjust(unsigned index, bool vmsa)
{
	uint64_t rights = TARGET_VMPL | (vmsa ? SNP_MAKE_VMSA : 0);

	if (is_vmsa[index] != vmsa &&
	    !wait_until(rmpadjust((uint64_t)page_of(index), SNP_SIZE_4K, rights) == SNP_DONE))
		return false;
	is_vmsa[index] = vmsa;
	return true;
}

struct vmsa *snp_ap_page(unsigned index)
{
	if (!adjust(index, false))
		return NULL;
	reset_state(page_of(index));
	return page_of(index);
}

bool snp_ap_ask(unsigned index, unsigned operation)
{
	struct ghcb_call call = {
		.request = {.exit_code = GHCB_EVENT_AP_CREATION,
			    .exit_info_1 = SNP_AP_INFO1(index, operation)},
		.exit_info_2 = (uint64_t)page_of(index),
	};

	if (operation != SNP_AP_DESTROY) {
		if (!adjust(index, true))
			return false;
		ghcb_offer(&call, GHCB_RAX, sev_status >> 2);
	}
	return ghcb_call(&call) && call.outcome.verdict == GHCB_OK;
}

bool snp_ap_start(unsigned index)
{
	if (is_vmsa[index] && !snp_ap_ask(index, SNP_AP_DESTROY))
		return false;
	return snp_ap_page(index) && snp_ap_ask(index, SNP_AP_CREATE);
}
