/* SPDX-License-Identifier: BSD-2-Clause */
#include "l2.h"

#include "assist.h"
#include "base/log.h"
#include "base/opcode.h"
#include "base/options.h"
#include "base/sev_cpuid.h"
#include "control.h"
#include "es.h"
#include "guard.h"
#include "memory/shadow.h"
#include "memory/views.h"
#include "plain_sev.h"
#include "soft.h"
#include "vectoring.h"
#include "vmrun_check.h"

#include "string.h"

#define SAVE_AREA 0x400
#define SAVE_AREA_BYTES 0x270

bool l2_raise(struct l2 *l, unsigned vector, bool has_error, uint32_t error)
{
	struct vmcb *b = l->b;

	if (l->wished.exceptions >> vector & 1) {
		b->exit_code = SVM_EXIT_EXCEPTION + vector;
		b->exit_info1 = error;
		return false;
	}
	b->inject = (struct svm_event){SVM_EVENT_VALID | SVM_EXCEPTION |
					       (has_error ? SVM_EVENT_HAS_ERROR : 0) | vector,
				       error};
	return true;
}

bool l2_done(struct l2 *l, uint64_t next)
{
	struct vmcb *b = l->b;

	move_rip(b, next);
	if (!(b->rflags & X86_EFLAGS_TF))
		return true;
	b->dr6 |= DR6_BS;
	return l2_raise(l, VECTOR_DB, false, 0);
}

struct svm_event l1_interrupted(struct cpu *c)
{
	const struct space space = {.state = &c->l1};

	return vectoring_again(&c->l1, &space);
}

/* -- One entry. ------------------------------------------------------------------------------------ */

/*
 * Without nested paging, L1 has made L2's page tables itself, of its own memory; L2 runs on L1's nested tables then,
 * which lack what is not L1's.
 */
static void choose_tables(struct l2 *l)
{
	struct vmcb *b = l->b;

	b->nested_control = SVM_NESTED_PAGING;
	b->nested_cr3 = l->nested_paging ? shadow_root(b, l->space.ncr3, l->space.key)
					 : l->cpu->l1.nested_cr3;
}

static bool memory_fault(struct l2 *l)
{
	struct vmcb *b = l->b;
	enum shadow_answer answer;

	if (l->nested_paging) {
		answer = shadow_fault(b, &l->space);
		l->not_validated = answer == SHADOW_NOT_VALIDATED;
		return answer == SHADOW_MAPPED;
	}
	if (!views_take_back(b->exit_info2))
		stop("L2 reaches for %#lx, which is not L1's, by the instruction at %#lx",
		     b->exit_info2, b->rip);
	return true;
}

bool l2_enter(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint64_t nested_control = b->nested_control, nested_cr3 = b->nested_cr3, code;

	memcpy(b, &l->wished, sizeof(l->wished));
	l->injected = b->inject.what;
	soft_before(l);
	control_before(l);
	if (l->sealed)
		es_before(l);
	guard_before(l);
	l->int_control = b->int_control;
	choose_tables(l);
	cpu_run(l->cpu, b, l->host_if);
	guard_after(l);
	b->nested_control = nested_control;
	b->nested_cr3 = nested_cr3;
	b->tlb_control = 0;
	b->inject.what = 0;
	memcpy(b, &l->wished, sizeof(l->wished));
	control_after(l);
	soft_after(l);
	code = b->exit_code;
	l->cpu->count.l2[code < COUNTED ? code : COUNTED - 1]++;
	if (code == SVM_EXIT_NPF && memory_fault(l)) {
		b->inject = l->soft.on ? soft_again(l) : vectoring_again(b, &l->space);
		return false;
	}
	return true;
}

/* -- VMRUN. ---------------------------------------------------------------------------------------- */

/* The exit is L1's, or L2 goes on: true. */
static bool is_ours(struct l2 *l)
{
	return guard_exit(l) || soft_exit(l) || control_exit(l) || (l->sev && plain_sev_exit(l));
}

static void run_plain(struct l2 *l)
{
	static uint8_t save_area[SAVE_AREA_BYTES];
	struct vmcb *b = l->b;

	for (;;) {
		/* The CPU writes its host's state into the VMCB of a guest that it does not enter. */
		if (corrects(INVALID_STATE))
			memcpy(save_area, (uint8_t *)b + SAVE_AREA, SAVE_AREA_BYTES);
		if (l2_enter(l)) {
			if (b->exit_code == SVM_EXIT_INVALID) {
				if (corrects(INVALID_STATE))
					memcpy((uint8_t *)b + SAVE_AREA, save_area,
					       SAVE_AREA_BYTES);
				return;
			}
			vectoring_correct(l);
			if (tracing)
				say("L2 exit %#lx %#lx %#lx rip %#lx vectoring %#x\n", b->exit_code,
				    b->exit_info1, b->exit_info2, b->rip, b->exit_int_info.what);
			if (!is_ours(l))
				break;
		}
		l->cpu->count.again++;
	}
	assist(l);
}

/*
 * L1 goes on behind its VMRUN with GIF clear, which VMRUN of ours cannot bring about. What comes next in every KVM,
 * before STGI, is CLI; so IF does instead of it. An NMI is not held back.
 */
static void leave(struct cpu *c)
{
	const struct space space = {.state = &c->l1};
	uint8_t code[15];
	struct opcode o;
	unsigned n = space_code(&space, code);

	if (!opcode_at(&o, code, n, 64))
		stop("L1's VMRUN at %#lx cannot be read", c->l1.rip);
	l1_skip(c, o.length);
	c->l1.rflags &= ~(uint64_t)X86_EFLAGS_IF;
	c->l1.dr7 = DR7_CLEAR;
}

void l2_vmrun(struct cpu *c)
{
	struct vmcb *b = (struct vmcb *)c->l1.rax;
	struct l2 l = {
		.cpu = c,
		.b = b,
		.host_if = c->l1.rflags & X86_EFLAGS_IF,
	};

	if (!c->svme) {
		c->l1.inject = (struct svm_event){SVM_EVENT_VALID | SVM_EXCEPTION | VECTOR_UD, 0};
		return;
	}
	if ((uint64_t)b & (PAGE - 1) || !memory_is_l1s((uint64_t)b, PAGE)) {
		l1_gp(c);
		return;
	}
	views_show((uint64_t)b, 0);
	c->count.entries++;
	l.nested_paging = b->nested_control & SVM_NESTED_PAGING;
	l.sev = features.sev && b->nested_control & NESTED_SEV;
	l.sealed = features.es && l.sev && b->nested_control & NESTED_SEV_ES;
	l.space = (struct space){
		.state = b,
		.ncr3 = l.nested_paging ? b->nested_cr3 : 0,
		.key = l.sev ? views_key(b->asid) : 0,
	};
	memcpy(&l.wished, b, sizeof(l.wished));
	if (vmrun_is_invalid(b))
		b->exit_code = SVM_EXIT_INVALID;
	else if (l.sealed)
		es_run(&l, b);
	else
		run_plain(&l);
	leave(c);
}
