/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs of L2 that go through L1, for the layer `svm-reflect`. An injected NMI blocks nothing (APM 2, "Event
 * Injection"), so L1 does the blocking: it keeps a second NMI until L2 executes an IRET, which exits before it
 * has done anything, and single-steps L2 over that where an NMI waits. Behind the IRET the NMI comes. An IRET
 * that faults has not ended the handler.
 */
#include "l1.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/harness/pending.h"
#include "x86/record/recording.h"

#include "string.h"

static struct {
	bool expected; /* L1 has its window open: the NMI that comes is L2's */
	bool taken;    /* for L2; another one meanwhile is the same one */
	bool blocked;  /* L2 is in its handler */
	bool leaving;  /* the IRET at `iret` has exited, and L2 was sent to execute it */
	bool stepping; /* ... with L1's TF */
	bool db_intercepted;
	uint64_t iret;
} cpus[MAX_CPUS];

#define NMIS(v) (&cpus[(v)->cpu->index])

static void intercept_iret(struct l2 *v, bool on)
{
	uint32_t bit = 1u << SVM_INTERCEPT_IRET % 32;

	if (on)
		v->vmcb->intercept[SVM_INTERCEPT_IRET / 32] |= bit;
	else
		v->vmcb->intercept[SVM_INTERCEPT_IRET / 32] &= ~bit;
}

void svm_nmi_begin(struct l2 *v)
{
	memset(NMIS(v), 0, sizeof(*NMIS(v)));
	svm_intercept(v, SVM_INTERCEPT_NMI);
}

bool svm_nmi_is_for_l2(const struct recording *rec, const struct event *event)
{
	if (!cpus[rec->cpu].expected || event->vector != VECTOR_NMI ||
	    event->origin != FROM_EXCEPTION)
		return false;
	cpus[rec->cpu].taken = true;
	return true;
}

bool svm_nmi_take(struct l2 *v)
{
	NMIS(v)->expected = true;
	l2_window(false);
	NMIS(v)->expected = false;
	return NMIS(v)->taken;
}

/* -- The handler's end. ------------------------------------------------------------------------ */

static void begin_step(struct l2 *v)
{
	NMIS(v)->stepping = true;
	NMIS(v)->db_intercepted = v->vmcb->intercept_exceptions & EXCEPTION(VECTOR_DB);
	v->vmcb->intercept_exceptions |= EXCEPTION(VECTOR_DB);
	v->vmcb->rflags |= X86_EFLAGS_TF;
}

static void end_step(struct l2 *v, bool executed)
{
	NMIS(v)->stepping = false;
	if (!NMIS(v)->db_intercepted)
		v->vmcb->intercept_exceptions &= ~EXCEPTION(VECTOR_DB);
	if (!executed) /* it has not loaded RFLAGS */
		v->vmcb->rflags &= ~(uint64_t)X86_EFLAGS_TF;
}

void svm_nmi_iret(struct l2 *v)
{
	NMIS(v)->leaving = true;
	NMIS(v)->iret = v->vmcb->rip;
	intercept_iret(v, false);
	/* A #DB behind an IRET that L2 steps by itself is L2's, and the NMI waits for the next exit. */
	if (NMIS(v)->taken && !(v->vmcb->rflags & X86_EFLAGS_TF))
		begin_step(v);
}

bool svm_nmi_exit(struct l2 *v)
{
	bool executed, step;

	if (!NMIS(v)->leaving)
		return false;
	executed = v->vmcb->rip != NMIS(v)->iret;
	step = NMIS(v)->stepping && executed &&
	       v->vmcb->exit_code == SVM_EXIT_EXCEPTION + VECTOR_DB;
	if (NMIS(v)->stepping)
		end_step(v, executed);
	NMIS(v)->leaving = false;
	NMIS(v)->blocked = !executed;
	intercept_iret(v, !executed);
	if (step)
		v->vmcb->dr6 &= ~(uint64_t)DR6_BS;
	return step && !(v->vmcb->dr6 & 0xf);
}

void svm_nmi_inject(struct l2 *v)
{
	if (!NMIS(v)->taken || NMIS(v)->blocked)
		return;
	NMIS(v)->taken = false;
	if (v->vmcb->inject.what & L2_EVENT_VALID) {
		nmi_to_self(); /* which exits when the other event has been delivered */
		return;
	}
	NMIS(v)->blocked = true;
	intercept_iret(v, true);
	l2_set(v, L2_SHADOW, 0);
	l2_inject(v, L2_NMI | VECTOR_NMI, 0, 0);
}
