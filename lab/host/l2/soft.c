/* SPDX-License-Identifier: BSD-2-Clause */
#include "soft.h"

#include "base/opcode.h"
#include "base/options.h"

/* What a delivery can end in. */
#define DELIVERY_FAULTS                                                       \
	(EXCEPTION(VECTOR_TS) | EXCEPTION(VECTOR_NP) | EXCEPTION(VECTOR_SS) | \
	 EXCEPTION(VECTOR_GP) | EXCEPTION(VECTOR_PF))

#define INT3 0xcc
#define INT_N 0xcd
#define INTO 0xce

static bool is_soft(uint32_t what)
{
	uint32_t type = what & SVM_EVENT_TYPE, vector = what & SVM_EVENT_VECTOR;

	return what & SVM_EVENT_VALID &&
	       (type == SVM_SOFT_INT ||
		(type == SVM_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF)));
}

/* One that L1 injects; what L2 has executed is in l->soft already. */
static void take_injected(struct l2 *l)
{
	struct vmcb *b = l->b;

	if (!features.nrips || !is_soft(b->inject.what))
		return;
	l->soft = (struct soft){.on = true,
				.what = b->inject.what,
				.rip = b->rip,
				.next = b->next_rip};
}

static bool type_is_checked(uint32_t what)
{
	return (what & SVM_EVENT_TYPE) == SVM_SOFT_INT || corrects(EVENTINJ_DPL);
}

void soft_before(struct l2 *l)
{
	struct vmcb *b = l->b;

	if (features.nrips || corrects(INT3_INTERCEPT))
		l2_intercept(l, SVM_INTERCEPT_INTN);
	if (!l->soft.on)
		take_injected(l);
	if (!l->soft.on)
		return;
	b->rip = l->soft.next;
	b->inject = (struct svm_event){l->soft.what, 0};
	if (type_is_checked(l->soft.what))
		b->inject.what = (l->soft.what & ~SVM_EVENT_TYPE) | SVM_SOFT_INT;
	l->soft.given = b->inject.what;
	l->injected = 0;
	b->intercept_exceptions |= DELIVERY_FAULTS;
}

/* Whether the exit came in the middle of it. */
static bool is_interrupted(const struct l2 *l)
{
	const struct vmcb *b = l->b;
	uint32_t what = b->exit_int_info.what;

	return b->exit_code == SVM_EXIT_INVALID ||
	       (what & SVM_EVENT_VALID &&
		!((what ^ l->soft.given) & (SVM_EVENT_TYPE | SVM_EVENT_VECTOR)));
}

void soft_after(struct l2 *l)
{
	struct vmcb *b = l->b;

	if (!l->soft.on)
		return;
	if (!is_interrupted(l)) {
		l->soft.on = false;
		return;
	}
	b->rip = l->soft.rip;
	b->exit_int_info.what = l->soft.what;
}

struct svm_event soft_again(struct l2 *l)
{
	/* soft_before() does the rest, since it is still on. */
	return (struct svm_event){l->soft.what, 0};
}

/* A fault of the delivery, for which the exit was our wish alone. */
static bool hand_over_fault(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint64_t vector = b->exit_code - SVM_EXIT_EXCEPTION;

	if (vector > 31 || !(DELIVERY_FAULTS >> vector & 1) || l->wished.exceptions >> vector & 1)
		return false;
	l->soft.on = false;
	if (vector == VECTOR_PF)
		b->cr2 = b->exit_info2;
	return l2_raise(l, vector, true, b->exit_info1);
}

static void execute(struct l2 *l, uint32_t type, unsigned vector, const struct opcode *o,
		    const uint8_t *code, unsigned count)
{
	struct vmcb *b = l->b;

	l->soft = (struct soft){
		.on = true,
		.executed = true,
		.what = SVM_EVENT_VALID | type | vector,
		.rip = b->rip,
		.next = code_bits(b) == 64 ? b->rip + o->length : (uint32_t)(b->rip + o->length),
		.count = count,
	};
	for (unsigned i = 0; i < count; i++)
		l->soft.bytes[i] = code[i];
	b->int_state &= ~SVM_INTERRUPT_SHADOW;
	b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
}

bool soft_exit(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t code[15];
	struct opcode o;
	unsigned n, vector;

	if (hand_over_fault(l))
		return true;
	if (b->exit_code != SVM_EXIT(INTN))
		return false;
	n = space_code(&l->space, code);
	if (!opcode_at(&o, code, n, code_bits(b)) || o.map)
		return false;
	if (o.number == INT_N) {
		if (l2_wants(l, SVM_INTERCEPT_INTN))
			return false;
		execute(l, SVM_SOFT_INT, code[o.length - 1], &o, code, n);
		return true;
	}
	if (o.number != INT3 && o.number != INTO)
		return false;
	vector = o.number == INT3 ? VECTOR_BP : VECTOR_OF;
	if (l->wished.exceptions >> vector & 1) {
		b->exit_code = SVM_EXIT_EXCEPTION + vector;
		b->exit_info1 = 0;
		return false;
	}
	execute(l, SVM_EXCEPTION, vector, &o, code, n);
	return true;
}
