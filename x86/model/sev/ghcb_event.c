/* SPDX-License-Identifier: BSD-2-Clause */
#include "ghcb_event.h"

#include "ap.h"
#include "bug.h"
#include "calls.h"
#include "exits.h"
#include "ghcb.h"
#include "ghcb_snp.h"
#include "hostile.h"
#include "memory.h"
#include "ports.h"
#include "sev.h"
#include "time.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"

#include "panic.h"

#define MSR_TSC 0x10
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_TSC_AUX 0xc0000103
#define CPUID_XSTATE 0xd
#define XSAVE_LEGACY_BYTES 0x240

static uint64_t jump_table;

void ghcb_malformed(struct ghcb_known *k, enum ghcb_reason reason)
{
	k->result1 = GHCB_RESULT_MALFORMED;
	k->result2 = reason;
}

void ghcb_raise_gp(struct ghcb_known *k)
{
	k->result1 = GHCB_RESULT_EXCEPTION;
	k->result2 = GHCB_INJECT_VALID | GHCB_INJECT_TYPE_EXCEPTION | VECTOR_GP;
}

volatile uint8_t *ghcb_scratch(struct ghcb_known *k, uint64_t bytes)
{
	uint64_t at = k->in.value[GHCB_SCRATCH];

	if (ghcb_scratch_fits(k->gpa, at, bytes))
		return (volatile uint8_t *)k->page + (at - k->gpa);
	/* Version 1 has no such rule. */
	if ((ghcb_most_version == 1 || bug(GHCB_SCRATCH_IGNORED)) && sev_shared(at, bytes))
		return sev_shared(at, bytes);
	ghcb_malformed(k, GHCB_REASON_BAD_SCRATCH);
	return NULL;
}

void ghcb_terminated(unsigned set, unsigned reason)
{
	while (port_machine_ends())
		asm volatile("hlt");
	panic("model: the guest terminated itself, reason set %#x, reason %#x", set, reason);
}

static bool read_msr(struct ghcb_known *k, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = time_now();
		return true;
	case MSR_SYSENTER_ESP:
		*value = k->v->vmcb.sysenter_esp;
		return true;
	case MSR_SYSENTER_EIP:
		*value = k->v->vmcb.sysenter_eip;
		return true;
	case MSR_TSC_AUX:
		*value = rdmsr(MSR_TSC_AUX);
		return true;
	}
	return exits_read_msr(k->v, msr, value);
}

static bool write_msr(struct ghcb_known *k, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_SYSENTER_ESP:
		k->v->vmcb.sysenter_esp = value;
		return true;
	case MSR_SYSENTER_EIP:
		k->v->vmcb.sysenter_eip = value;
		return true;
	case MSR_TSC_AUX:
		wrmsr(MSR_TSC_AUX, value);
		return true;
	}
	return exits_write_msr(k->v, msr, value);
}

static void event_msr(struct ghcb_known *k)
{
	uint64_t value = k->rdx << 32 | (uint32_t)k->rax;

	if (k->info1 > 1)
		return ghcb_malformed(k, GHCB_REASON_BAD_INPUT);
	if (k->info1 == 1) {
		if (!write_msr(k, k->rcx, value) && !bug(GHCB_GP_LOST))
			ghcb_raise_gp(k);
		return;
	}
	if (!read_msr(k, k->rcx, &value)) {
		if (!bug(GHCB_GP_LOST))
			ghcb_raise_gp(k);
		value = 0;
	}
	k->rax = (uint32_t)value;
	k->rdx = value >> 32;
	if (bug(GHCB_MSR_HALVES)) {
		k->rax = value >> 32;
		k->rdx = (uint32_t)value;
	}
}

/* CPUID 0xd: how much XSAVE writes, for the XCR0 that the guest offers; ours is not the guest's. */
static uint32_t xsave_bytes(uint64_t xcr0)
{
	uint32_t most = XSAVE_LEGACY_BYTES;

	for (unsigned bit = 2; bit < 63; bit++) {
		struct cpuid r;

		if (!(xcr0 >> bit & 1))
			continue;
		r = cpuid(CPUID_XSTATE, bit);
		most = r.a + r.b > most ? r.a + r.b : most;
	}
	return most;
}

static void event_cpuid(struct ghcb_known *k)
{
	struct cpuid r = exits_cpuid(k->rax, bug(GHCB_CPUID_SUBLEAF) ? 0 : k->rcx);

	if ((uint32_t)k->rax == CPUID_XSTATE && !(uint32_t)k->rcx)
		r.b = xsave_bytes(bug(GHCB_XCR0_IGNORED) ? 1 : k->in.value[GHCB_XCR0]);
	k->rax = r.a;
	k->rbx = r.b;
	k->rcx = r.c;
	k->rdx = r.d;
}

static void event_tsc(struct ghcb_known *k)
{
	uint64_t now = time_now();

	k->rax = (uint32_t)now;
	k->rdx = now >> 32;
	if (k->code == SVM_EXIT_RDTSCP)
		k->rcx = (uint32_t)rdmsr(MSR_TSC_AUX);
}

static void event_vmmcall(struct ghcb_known *k)
{
	if (k->in.value[GHCB_CPL])
		k->rax = NOT_PERMITTED;
	else if (k->rax >> 32 != MODEL_CALL >> 32 || !hostile_call(k))
		k->rax = NO_SUCH_CALL;
}

static void event_jump_table(struct ghcb_known *k)
{
	switch (k->info1) {
	case 0:
		jump_table = bug(GHCB_JUMP_TABLE_LOST) ? 0 : k->info2;
		return;
	case 1:
		k->result2 = jump_table;
		return;
	}
	ghcb_malformed(k, GHCB_REASON_BAD_INPUT);
}

static void event_page_states(struct ghcb_known *k)
{
	volatile uint8_t *buffer = ghcb_scratch(k, GHCB_SHARED_BUFFER_SIZE);

	if (buffer)
		k->result2 = ghcb_snp_page_states(k->v, buffer);
}

static void event_guest_request(struct ghcb_known *k)
{
	uint64_t info2;

	if (ghcb_snp_guest_request(k->info1, k->info2, &info2))
		k->result2 = info2;
	else
		ghcb_malformed(k, GHCB_REASON_BAD_INPUT);
}

static void event_ap_creation(struct ghcb_known *k)
{
	if (!ghcb_snp_ap_creation(k->info1, k->info2, k->rax))
		ghcb_malformed(k, GHCB_REASON_BAD_INPUT);
}

bool ghcb_event_is_plain(uint64_t code)
{
	switch (code) {
	case SVM_EXIT_READ_DR7:
	case SVM_EXIT_WRITE_DR7:
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
	case SVM_EXIT_MONITOR:
	case SVM_EXIT_MWAIT:
		return true;
	}
	return false;
}

void ghcb_event(struct ghcb_known *k)
{
	if (ghcb_event_is_plain(k->code)) {
		if (bug(GHCB_PLAIN_GP))
			ghcb_raise_gp(k);
		return;
	}
	switch (k->code) {
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
		return event_tsc(k);
	case SVM_EXIT_RDPMC:
		return ghcb_raise_gp(k); /* no PMU here */
	case SVM_EXIT_CPUID:
		return event_cpuid(k);
	case SVM_EXIT_IOIO:
		return ghcb_event_ioio(k);
	case SVM_EXIT_MSR:
		return event_msr(k);
	case SVM_EXIT_VMMCALL:
		return event_vmmcall(k);
	case GHCB_EVENT_MMIO_READ:
	case GHCB_EVENT_MMIO_WRITE:
		return ghcb_event_mmio(k);
	case GHCB_EVENT_NMI_COMPLETE:
		k->v->nmi_blocked = k->v->nmi_blocked && bug(GHCB_NMI_COMPLETE_IGNORED);
		return;
	case GHCB_EVENT_AP_RESET_HOLD:
		ap_hold(k->v, k->page);
		return;
	case GHCB_EVENT_AP_JUMP_TABLE:
		return event_jump_table(k);
	case GHCB_EVENT_HV_FEATURES:
		if (bug(GHCB_NO_FEATURES))
			break;
		k->result2 = GHCB_FEATURES_OFFERED;
		return;
	case GHCB_EVENT_PAGE_STATE_CHANGE:
		if (l2_is_snp())
			return event_page_states(k);
		break;
	case GHCB_EVENT_AP_CREATION:
		if (l2_is_snp())
			return event_ap_creation(k);
		break;
	case GHCB_EVENT_GUEST_REQUEST:
		if (l2_is_snp())
			return event_guest_request(k);
		break;
	case GHCB_EVENT_TERMINATE:
		ghcb_terminated(k->info1 & 15, k->info1 >> 4 & 0xff);
		return;
	case GHCB_EVENT_UNSUPPORTED:
		panic("model: the guest does not know #VC(%#lx)", k->info1);
	}
	ghcb_malformed(k, GHCB_REASON_BAD_EVENT);
}
