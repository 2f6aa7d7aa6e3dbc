/* SPDX-License-Identifier: BSD-2-Clause */
#include "vectoring.h"

#include "base/opcode.h"
#include "base/options.h"

#define FIRST_EXTERNAL 32

static uint32_t with_type(uint32_t what, uint32_t type)
{
	return (what & ~(SVM_EVENT_TYPE | SVM_EVENT_HAS_ERROR)) | type;
}

/* INT3 or INTO, by its one byte: an exception to the architecture. */
static bool is_one_byte_trap(const struct vmcb *b, const struct space *space, uint32_t vector)
{
	uint8_t code[15];
	struct opcode o;

	return (vector == VECTOR_BP || vector == VECTOR_OF) &&
	       opcode_at(&o, code, space_code(space, code), code_bits(b)) && !o.map &&
	       (o.number == 0xcc || o.number == 0xce);
}

static uint32_t corrected(const struct vmcb *b, const struct space *space)
{
	uint32_t what = b->exit_int_info.what, vector = what & SVM_EVENT_VECTOR;

	if ((what & SVM_EVENT_TYPE) == SVM_EXCEPTION && vector == VECTOR_NMI)
		return with_type(what, SVM_NMI);
	if ((what & SVM_EVENT_TYPE) == SVM_EXCEPTION && vector >= FIRST_EXTERNAL)
		return with_type(what, SVM_INTR);
	if ((what & SVM_EVENT_TYPE) == SVM_SOFT_INT && is_one_byte_trap(b, space, vector))
		return with_type(what, SVM_EXCEPTION);
	return what;
}

/* A virtual interrupt that the CPU has taken during this run. Its vector may be one of an exception's. */
static bool was_virtual(const struct l2 *l)
{
	const struct vmcb *b = l->b;

	return l->int_control & SVM_V_IRQ && !(b->int_control & SVM_V_IRQ) &&
	       (b->exit_int_info.what & SVM_EVENT_VECTOR) == b->v_intr_vector;
}

void vectoring_correct(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint32_t what = b->exit_int_info.what;

	if (!(what & SVM_EVENT_VALID) || l->soft.on || !corrects(EXITINTINFO))
		return;
	if (l->injected & SVM_EVENT_VALID && !((l->injected ^ what) & SVM_EVENT_VECTOR))
		b->exit_int_info.what = l->injected;
	else if (was_virtual(l))
		b->exit_int_info.what = with_type(what, SVM_INTR);
	else
		b->exit_int_info.what = corrected(b, &l->space);
}

struct svm_event vectoring_again(struct vmcb *b, const struct space *space)
{
	struct svm_event event = b->exit_int_info;
	uint8_t code[15];
	struct opcode o;

	if (!(event.what & SVM_EVENT_VALID))
		return (struct svm_event){0};
	if ((event.what & SVM_EVENT_TYPE) == SVM_SOFT_INT) {
		/* RIP is what is pushed. */
		if (opcode_at(&o, code, space_code(space, code), code_bits(b)))
			b->rip += o.length;
		return event;
	}
	event.what = corrected(b, space);
	return event;
}
