/* SPDX-License-Identifier: BSD-2-Clause */
#include "es.h"

#include "base/opcode.h"
#include "base/sev_cpuid.h"
#include "control.h"
#include "deliver.h"
#include "guard.h"
#include "soft.h"

#define NPF_RESERVED (1ul << 3)

static bool opcode_here(const struct l2 *l, struct opcode *o)
{
	uint8_t code[15];

	return opcode_at(o, code, space_code(&l->space, code), code_bits(l->b));
}

/* HLT, PAUSE: RIP is behind the instruction. APM 2, "Automatic Exits". */
static bool behind(struct l2 *l)
{
	struct opcode o;

	if (opcode_here(l, &o))
		move_rip(l->b, l->b->rip + o.length);
	return false;
}

/* VMMCALL, and VMGEXIT, which is a VMMCALL with F3 or F2 before it. */
static bool vmmcall(struct l2 *l)
{
	struct vmcb *b = l->b;
	struct opcode o;

	if (opcode_here(l, &o) && o.rep) {
		l->cpu->count.vmgexit++;
		move_rip(b, b->rip + o.length);
		b->exit_code = SVM_EXIT_VMGEXIT;
		b->exit_info1 = b->exit_info2 = 0;
		return false;
	}
	if (!l2_wants(l, SVM_INTERCEPT_VMMCALL))
		return l2_raise(l, VECTOR_UD, false, 0);
	return es_raise_vc(l, b->exit_code);
}

/* A fault that KVM has marked as a device's is L2's to handle. */
static bool nested_fault(struct l2 *l)
{
	if (l->not_validated)
		return es_not_validated(l);
	if (!(l->b->exit_info1 & NPF_RESERVED))
		return false;
	return es_raise_vc(l, SVM_EXIT_NPF);
}

bool es_exit(struct l2 *l, struct vmcb *theirs)
{
	struct vmcb *b = l->b;

	if (guard_exit(l) || soft_exit(l))
		return true;
	if (b->exit_code >= SVM_EXIT_WRITE_CR0 && b->exit_code < SVM_EXIT_READ_DR0)
		return es_write_cr(l);
	if (control_exit(l))
		return true;
	switch (b->exit_code) {
	case SVM_EXIT_EXCEPTION + VECTOR_MC:
	case SVM_EXIT(INTR):
	case SVM_EXIT(NMI):
	case SVM_EXIT(SMI):
	case SVM_EXIT(INIT):
	case SVM_EXIT(VINTR):
	case SVM_EXIT(SHUTDOWN):
		return false;
	case SVM_EXIT(HLT):
	case SVM_EXIT(PAUSE):
		return behind(l);
	case SVM_EXIT(MSR):
		return es_msr(l, theirs);
	case SVM_EXIT(VMMCALL):
		return vmmcall(l);
	case SVM_EXIT_NPF:
		return nested_fault(l);
	case SVM_EXIT_EXCEPTION + VECTOR_UD:
		return es_snp_instruction(l);
	default:
		return es_raise_vc(l, b->exit_code);
	}
}

#define NPF_PRESENT (1ul << 0)
#define NPF_WRITE (1ul << 1)
#define NPF_USER (1ul << 2)
#define NPF_RMP (1ul << 31)
#define NPF_FINAL (1ul << 32)
#define NPF_TABLE (1ul << 33)
#define NPF_ENCRYPTED (1ul << 34)

void es_nested_fault(struct l2 *l, const struct miss *miss, bool write)
{
	struct vmcb *b = l->b;

	b->exit_code = SVM_EXIT_NPF;
	b->exit_info1 =
		NPF_USER | (write ? NPF_WRITE : 0) | (miss->of_table ? NPF_TABLE : NPF_FINAL);
	if (l->space.snp_asid && miss->private)
		b->exit_info1 |= NPF_ENCRYPTED;
	if (miss->kind == MISS_RMP)
		b->exit_info1 |= NPF_RMP | NPF_PRESENT;
	b->exit_info2 = miss->gpa;
	b->exit_int_info = (struct svm_event){0};
}

bool es_raise_vc(struct l2 *l, uint32_t error)
{
	struct vmcb *b = l->b;
	struct delivery d =
		deliver(b, &l->space, VECTOR_VC, error, error != SVM_EXIT_EXCEPTION + VECTOR_DB);

	l->cpu->count.vc++;
	switch (d.result) {
	case DELIVERED:
		return true;
	case DELIVERY_RAISES:
		if (d.vector == VECTOR_PF)
			b->cr2 = d.linear;
		return l2_raise(l, d.vector, true, d.error);
	case DELIVERY_MISSES:
		/* #VC is contributory: where its own frame would be another, nothing is left. */
		if (d.miss.kind == MISS_NOT_VALIDATED)
			return l2_raise(l, VECTOR_DF, true, 0);
		es_nested_fault(l, &d.miss, d.write);
		b->exit_int_info = (struct svm_event){
			SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | VECTOR_VC, error};
		return false;
	default:
		b->exit_code = SVM_EXIT(SHUTDOWN);
		b->exit_info1 = b->exit_info2 = 0;
		return false;
	}
}
