/* SPDX-License-Identifier: BSD-2-Clause */
/* The GHCB MSR protocol; see ghcb_msr.h. */
#include "ghcb_msr.h"

static uint64_t bits(uint64_t value, unsigned int high, unsigned int low)
{
	return value << (63 - high) >> (63 - high + low);
}

static uint64_t place(uint64_t value, unsigned int high, unsigned int low)
{
	return bits(value, high - low, 0) << low;
}

uint64_t ghcb_msr_encode(const struct ghcb_msr *m)
{
	uint64_t value = place(m->code, 11, 0);

	switch (value) {
	case GHCB_MSR_GPA:
	case GHCB_MSR_PREFERRED_GPA_RESPONSE:
	case GHCB_MSR_REGISTER_GPA_REQUEST:
	case GHCB_MSR_REGISTER_GPA_RESPONSE:
		value |= place(m->gfn, 63, 12);
		break;
	case GHCB_MSR_SEV_INFO:
		value |= place(m->max_version, 63, 48) | place(m->min_version, 47, 32) |
			 place(m->c_bit, 31, 24);
		break;
	case GHCB_MSR_CPUID_REQUEST:
		value |= place(m->function, 63, 32) | place(m->reg, 31, 30);
		break;
	case GHCB_MSR_CPUID_RESPONSE:
		value |= place(m->value, 63, 32) | place(m->reg, 31, 30);
		break;
	case GHCB_MSR_AP_RESET_HOLD_RESPONSE:
		value |= place(m->sipi, 63, 12);
		break;
	case GHCB_MSR_PAGE_STATE_REQUEST:
		value |= place(m->operation, 55, 52) | place(m->gfn, 51, 12);
		break;
	case GHCB_MSR_PAGE_STATE_RESPONSE:
	case GHCB_MSR_RUN_VMPL_RESPONSE:
		value |= place(m->error, 63, 32);
		break;
	case GHCB_MSR_RUN_VMPL_REQUEST:
		value |= place(m->vmpl, 39, 32);
		break;
	case GHCB_MSR_FEATURES_RESPONSE:
		value |= place(m->features, 63, 12);
		break;
	case GHCB_MSR_TERMINATE:
		value |= place(m->reason, 23, 16) | place(m->reason_set, 15, 12);
		break;
	}
	return value;
}

static void clear(struct ghcb_msr *m)
{
	m->gfn = 0;
	m->max_version = 0;
	m->min_version = 0;
	m->c_bit = 0;
	m->function = 0;
	m->reg = 0;
	m->value = 0;
	m->sipi = 0;
	m->operation = 0;
	m->error = 0;
	m->vmpl = 0;
	m->features = 0;
	m->reason_set = 0;
	m->reason = 0;
}

bool ghcb_msr_decode(uint64_t value, struct ghcb_msr *m)
{
	clear(m);
	m->code = bits(value, 11, 0);

	switch (m->code) {
	case GHCB_MSR_GPA:
	case GHCB_MSR_PREFERRED_GPA_RESPONSE:
	case GHCB_MSR_REGISTER_GPA_REQUEST:
	case GHCB_MSR_REGISTER_GPA_RESPONSE:
		m->gfn = bits(value, 63, 12);
		break;
	case GHCB_MSR_SEV_INFO:
		m->max_version = bits(value, 63, 48);
		m->min_version = bits(value, 47, 32);
		m->c_bit = bits(value, 31, 24);
		break;
	case GHCB_MSR_CPUID_REQUEST:
		m->function = bits(value, 63, 32);
		m->reg = bits(value, 31, 30);
		break;
	case GHCB_MSR_CPUID_RESPONSE:
		m->value = bits(value, 63, 32);
		m->reg = bits(value, 31, 30);
		break;
	case GHCB_MSR_AP_RESET_HOLD_RESPONSE:
		m->sipi = bits(value, 63, 12);
		break;
	case GHCB_MSR_PAGE_STATE_REQUEST:
		m->operation = bits(value, 55, 52);
		m->gfn = bits(value, 51, 12);
		break;
	case GHCB_MSR_PAGE_STATE_RESPONSE:
	case GHCB_MSR_RUN_VMPL_RESPONSE:
		m->error = bits(value, 63, 32);
		break;
	case GHCB_MSR_RUN_VMPL_REQUEST:
		m->vmpl = bits(value, 39, 32);
		break;
	case GHCB_MSR_FEATURES_RESPONSE:
		m->features = bits(value, 63, 12);
		break;
	case GHCB_MSR_TERMINATE:
		m->reason = bits(value, 23, 16);
		m->reason_set = bits(value, 15, 12);
		break;
	case GHCB_MSR_SEV_INFO_REQUEST:
	case GHCB_MSR_AP_RESET_HOLD_REQUEST:
	case GHCB_MSR_PREFERRED_GPA_REQUEST:
	case GHCB_MSR_FEATURES_REQUEST:
		break;
	default:
		return false;
	}
	return ghcb_msr_encode(m) == value;
}

/* GHCB_MSR_GPA, which is no response, if there is none. */
static unsigned int response_to(unsigned int request)
{
	switch (request) {
	case GHCB_MSR_SEV_INFO_REQUEST:
		return GHCB_MSR_SEV_INFO;
	case GHCB_MSR_CPUID_REQUEST:
	case GHCB_MSR_AP_RESET_HOLD_REQUEST:
	case GHCB_MSR_PREFERRED_GPA_REQUEST:
	case GHCB_MSR_REGISTER_GPA_REQUEST:
	case GHCB_MSR_PAGE_STATE_REQUEST:
	case GHCB_MSR_RUN_VMPL_REQUEST:
	case GHCB_MSR_FEATURES_REQUEST:
		return request | 1;
	}
	return GHCB_MSR_GPA;
}

enum ghcb_msr_verdict ghcb_msr_check(uint64_t request, uint64_t response, struct ghcb_msr *m)
{
	struct ghcb_msr asked;
	bool well_formed = ghcb_msr_decode(response, m);
	unsigned int expected;

	ghcb_msr_decode(request, &asked);
	expected = response_to(asked.code);
	if (expected == GHCB_MSR_GPA)
		return GHCB_MSR_NO_RESPONSE;
	if (response == request)
		return GHCB_MSR_UNANSWERED;
	if (m->code != expected)
		return GHCB_MSR_WRONG_CODE;
	if (!well_formed)
		return GHCB_MSR_RESERVED_BITS;

	switch (expected) {
	case GHCB_MSR_SEV_INFO:
		if (m->min_version == 0 || m->min_version > m->max_version || m->c_bit < 32 ||
		    m->c_bit > 63)
			return GHCB_MSR_SENSELESS;
		break;
	case GHCB_MSR_CPUID_RESPONSE:
		if (m->reg != asked.reg)
			return GHCB_MSR_WRONG_ECHO;
		break;
	case GHCB_MSR_REGISTER_GPA_RESPONSE:
		if (m->gfn == GHCB_MSR_NO_GFN)
			return GHCB_MSR_REFUSED;
		if (m->gfn != asked.gfn)
			return GHCB_MSR_WRONG_ECHO;
		break;
	case GHCB_MSR_PAGE_STATE_RESPONSE:
	case GHCB_MSR_RUN_VMPL_RESPONSE:
		if (m->error)
			return GHCB_MSR_REFUSED;
		break;
	}
	return GHCB_MSR_OK;
}

const char *ghcb_msr_verdict_name(unsigned int verdict)
{
	static const char names[GHCB_MSR_VERDICTS + 1][40] = {
		"ok",
		"refused",
		"request left unanswered",
		"code is not that of the response",
		"response to another question",
		"reserved bits set",
		"values out of range",
		"no request that has a response",
		"?",
	};

	return names[verdict < GHCB_MSR_VERDICTS ? verdict : GHCB_MSR_VERDICTS];
}

unsigned int ghcb_negotiate(const struct ghcb_msr *info, unsigned int minimum, unsigned int maximum)
{
	unsigned int version = info->max_version < maximum ? info->max_version : maximum;

	return version >= minimum && version >= info->min_version ? version : 0;
}
