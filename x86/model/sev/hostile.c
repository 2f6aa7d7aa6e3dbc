/* SPDX-License-Identifier: BSD-2-Clause */
#include "hostile.h"

#include "calls.h"
#include "intercepts.h"
#include "time.h"
#include "vc.h"

unsigned hostile_tsc_intercepts;

static struct {
	unsigned how, countdown;
	uint64_t value;
} spoil;
static struct {
	bool armed, behind;
	unsigned error;
} forged;

bool hostile_call(struct ghcb_known *k)
{
	struct vmcb *b = &k->v->vmcb;

	switch (k->rax & 0xffffffff) {
	case MODEL_CALL_INTERCEPT:
		/* QEMU takes RDTSCP for RDTSC: sev.c tells them apart. */
		hostile_tsc_intercepts = k->rbx;
		intercept(b, SVM_INTERCEPT_RDTSC, k->rbx);
		intercept(b, SVM_INTERCEPT_RDTSCP, k->rbx & MODEL_INTERCEPT_RDTSCP);
		break;
	case MODEL_CALL_SPOIL:
		spoil.how = k->rbx;
		spoil.countdown = k->rcx + 1;
		spoil.value = k->rdx;
		break;
	case MODEL_CALL_FORGE:
		forged.armed = true;
		forged.error = k->rbx;
		forged.behind = k->rcx;
		intercept(b, SVM_INTERCEPT_PAUSE, true);
		break;
	case MODEL_CALL_BEHAVE:
		spoil.how = 0;
		forged.armed = false;
		intercept(b, SVM_INTERCEPT_PAUSE, time_hurries());
		break;
	default:
		return false;
	}
	k->rax = MODEL_CALL_DONE;
	return true;
}

void hostile_spoil(struct ghcb_known *k)
{
	if (!spoil.how || --spoil.countdown)
		return;
	switch (spoil.how) {
	case MODEL_SPOIL_RESULT:
		k->page->exit_info_1 = spoil.value;
		break;
	case MODEL_SPOIL_INJECT:
	case MODEL_SPOIL_REASON:
		k->page->exit_info_1 = spoil.how == MODEL_SPOIL_INJECT ? 1 : 2;
		k->page->exit_info_2 = spoil.value;
		break;
	case MODEL_SPOIL_NO_VALID:
		for (unsigned field = 0; field < GHCB_FIELDS; field++)
			ghcb_set_valid(k->page, field, false);
		break;
	}
	spoil.how = 0;
}

bool hostile_pause(struct vcpu *v)
{
	if (!forged.armed)
		return false;
	forged.armed = false;
	intercept(&v->vmcb, SVM_INTERCEPT_PAUSE, time_hurries());
	if (forged.behind)
		vcpu_skip(v, 2);
	l2_raise_vc(v, forged.error);
	return true;
}
