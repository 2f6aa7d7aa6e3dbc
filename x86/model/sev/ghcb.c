/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources: GHCB specification rev. 2.04, sections 2.3.1 and 4.1; Linux 6.12, arch/x86/kvm/svm/sev.c, for
 * what is left open.
 */
#include "ghcb.h"

#include "ap.h"
#include "bug.h"
#include "calls.h"
#include "exits.h"
#include "ghcb_event.h"
#include "ghcb_snp.h"
#include "hostile.h"
#include "sev.h"
#include "smp.h"

#include "x86/cpu/cpu.h"
#include "x86/insn/ioio.h"
#include "x86/sev/ghcb_msr.h"

#include "panic.h"

#define LEAST_VERSION 1

unsigned ghcb_most_version = 2;

/* Of the call before; nothing but a bug looks at it. */
static volatile struct ghcb_page *last_page;

static uint64_t sev_information(void)
{
	struct ghcb_msr m = {.code = GHCB_MSR_SEV_INFO,
			     .max_version = ghcb_most_version,
			     .min_version = last_page && bug(GHCB_VERSION_RANGE)
						    ? ghcb_most_version + 1
						    : LEAST_VERSION,
			     .c_bit = sev_c_bit_position()};

	return ghcb_msr_encode(&m);
}

void ghcb_reset(struct vcpu *v)
{
	v->ghcb_msr = sev_information();
}

/* -- The MSR protocol. ------------------------------------------------------------------------- */

static uint32_t cpuid_register(const struct ghcb_msr *m)
{
	struct cpuid r = exits_cpuid(m->function, 0);

	switch (m->reg) {
	case GHCB_CPUID_EAX:
		return r.a;
	case GHCB_CPUID_EBX:
		return r.b;
	case GHCB_CPUID_ECX:
		return r.c;
	default:
		return r.d;
	}
}

static void msr_protocol(struct vcpu *v)
{
	struct ghcb_msr m, answer = {0};

	ghcb_msr_decode(v->ghcb_msr, &m);
	switch (m.code) {
	case GHCB_MSR_SEV_INFO_REQUEST:
		if (last_page && bug(GHCB_INFO_ONCE))
			return;
		v->ghcb_msr = sev_information();
		return;
	case GHCB_MSR_CPUID_REQUEST:
		answer.code = GHCB_MSR_CPUID_RESPONSE;
		answer.reg = m.reg;
		if (m.function != 0x8000001f && m.reg & 1 && bug(GHCB_MSR_CPUID_MIXED))
			m.reg ^= 2;
		answer.value = cpuid_register(&m);
		break;
	case GHCB_MSR_AP_RESET_HOLD_REQUEST:
		ap_hold(v, NULL);
		return;
	case GHCB_MSR_FEATURES_REQUEST:
		if (bug(GHCB_NO_FEATURES))
			return;
		answer.code = GHCB_MSR_FEATURES_RESPONSE;
		answer.features = GHCB_FEATURES_OFFERED;
		break;
	case GHCB_MSR_PREFERRED_GPA_REQUEST:
	case GHCB_MSR_REGISTER_GPA_REQUEST:
	case GHCB_MSR_PAGE_STATE_REQUEST:
		if (!l2_is_snp() || !ghcb_snp_msr(v, &m, &answer))
			panic("model: a request of SNP's (%#lx) from a SEV-ES guest", v->ghcb_msr);
		break;
	case GHCB_MSR_TERMINATE:
		ghcb_terminated(m.reason_set, m.reason);
		return;
	default:
		if (!bug(GHCB_MSR_UNKNOWN))
			return; /* left as it is */
		answer.code = m.code | 1;
	}
	v->ghcb_msr = ghcb_msr_encode(&answer);
}

void ghcb_end_hold(struct vcpu *v, volatile struct ghcb_page *page)
{
	struct ghcb_msr m = {.code = GHCB_MSR_AP_RESET_HOLD_RESPONSE,
			     .sipi = !bug(GHCB_HOLD_SILENT)};

	if (page)
		page->exit_info_2 = !bug(GHCB_HOLD_SILENT);
	else
		v->ghcb_msr = ghcb_msr_encode(&m);
}

/* -- By the page. ------------------------------------------------------------------------------ */

static bool is_known(uint64_t code)
{
	return ghcb_event_name(code)[0] != '?';
}

/* KVM's order: usage, then the fields, then the event. */
static void judge(struct ghcb_known *k)
{
	struct ghcb_request request = {k->code, k->info1, k->rax};
	uint32_t general =
		GHCB_BIT(GHCB_EXIT_CODE) | GHCB_BIT(GHCB_EXIT_INFO_1) | GHCB_BIT(GHCB_EXIT_INFO_2);

	if (l2_is_snp() && !ghcb_snp_is_registered(k->v, k->gpa))
		return ghcb_malformed(k, GHCB_REASON_NOT_REGISTERED);
	if (k->page->usage != GHCB_USAGE_STANDARD && !bug(GHCB_USAGE_IGNORED))
		return ghcb_malformed(k, GHCB_REASON_BAD_USAGE);
	if (general & ~k->in.valid && !bug(GHCB_VALID_IGNORED))
		return ghcb_malformed(k, GHCB_REASON_MISSING_INPUT);
	if (!is_known(k->code))
		return ghcb_malformed(k, bug(GHCB_WRONG_REASON) ? GHCB_REASON_BAD_INPUT
								: GHCB_REASON_BAD_EVENT);
	if (ghcb_event_inputs(&request) & ~k->in.valid && !bug(GHCB_VALID_IGNORED))
		return ghcb_malformed(k, GHCB_REASON_MISSING_INPUT);
	ghcb_event(k);
}

/* Only what was offered is known; four registers are always given back, as KVM does. */
static uint64_t offered(const struct ghcb_known *k, unsigned field)
{
	if (!(k->in.valid & GHCB_BIT(field)) && k->in.value[field] && !bug(GHCB_VALID_IGNORED))
		return 0;
	return k->in.value[field];
}

/* Not what the guest needs to come to its tests. */
static bool is_for_a_test(const struct ghcb_known *k)
{
	unsigned port = ioio_port(k->info1);

	switch (k->code) {
	case SVM_EXIT_CPUID:
		return k->in.value[GHCB_RAX] == 0x80000000;
	case SVM_EXIT_IOIO:
		return port == 0x80 || port == 0xcfc;
	case SVM_EXIT_VMMCALL:
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
		return k->rax != MODEL_CALL_DONE;
	}
	return false;
}

static void answer(struct ghcb_known *k)
{
	for (unsigned field = 0; field < GHCB_FIELDS; field++)
		ghcb_set_valid(k->page, field, false);
	if (ghcb_event_is_plain(k->code) && bug(GHCB_LEAK)) {
		k->rcx = k->rcx ? k->rcx : k->v->regs.rcx;
		k->rdx = k->rdx ? k->rdx : k->v->regs.rdx;
	}
	ghcb_set(k->page, GHCB_RAX, k->rax);
	ghcb_set(k->page, GHCB_RBX, k->rbx);
	ghcb_set(k->page, GHCB_RCX, k->rcx);
	ghcb_set(k->page, GHCB_RDX, k->rdx);
	if (is_for_a_test(k) && bug(GHCB_OUTPUT_NOT_VALID))
		ghcb_set_valid(k->page, GHCB_RAX, false);
	k->page->exit_info_1 = k->result1 && bug(GHCB_WRONG_RESULT) ? 3 : k->result1;
	k->page->exit_info_2 = k->result2;
	hostile_spoil(k);
}

static void page_protocol(struct vcpu *v)
{
	struct ghcb_known k = {.v = v, .gpa = v->ghcb_msr};

	if (v->number && bug(GHCB_ONE_FOR_ALL))
		k.gpa = smp_vcpu(0)->ghcb_msr;
	/* KVM does not see such a call at all. */
	k.page = k.gpa ? sev_shared(k.gpa, sizeof(*k.page)) : NULL;
	if (!k.page && bug(GHCB_ANY_ADDRESS))
		k.page = last_page;
	if (!k.page)
		return;
	last_page = k.page;
	/* Of the version KVM makes nothing. */
	if ((k.page->version < LEAST_VERSION || k.page->version > ghcb_most_version) &&
	    bug(GHCB_VERSION_UNANSWERED))
		return;
	ghcb_take_answer(k.page, &k.in);
	k.code = offered(&k, GHCB_EXIT_CODE);
	k.info1 = offered(&k, GHCB_EXIT_INFO_1);
	k.info2 = offered(&k, GHCB_EXIT_INFO_2);
	k.rax = offered(&k, GHCB_RAX);
	k.rbx = offered(&k, GHCB_RBX);
	k.rcx = offered(&k, GHCB_RCX);
	k.rdx = offered(&k, GHCB_RDX);
	judge(&k);
	answer(&k);
}

void l2_vmgexit(struct vcpu *v)
{
	if (v->ghcb_msr & 0xfff)
		msr_protocol(v);
	else
		page_protocol(v);
}
