/* SPDX-License-Identifier: BSD-2-Clause */
/* RMPUPDATE and PSMASH of L1. APM 3, their pages. */
#include "l1.h"

#include "memory/memory.h"
#include "memory/rmp.h"

#include "string.h"

#define LENGTH 4
#define RESULT_FLAGS 0x8d5ul /* OF, SF, ZF, AF, PF, CF */
#define ZERO_FLAG (1ul << 6)

static const uint8_t rmpupdate[LENGTH] = {0xf2, 0x0f, 0x01, 0xfe};
static const uint8_t psmash[LENGTH] = {0xf3, 0x0f, 0x01, 0xff};

static bool update(struct cpu *c, const struct space *space)
{
	struct rmp_state state;
	struct miss miss;
	unsigned done = space_read(space, c->regs.rcx, &state, sizeof(state), &miss);

	if (done == sizeof(state)) {
		c->l1.rax = rmp_update(c->l1.rax, &state);
		return true;
	}
	c->l1.cr2 = c->regs.rcx + done;
	c->l1.inject = (struct svm_event){
		SVM_EVENT_VALID | SVM_EVENT_HAS_ERROR | SVM_EXCEPTION | VECTOR_PF, 0};
	return false;
}

bool l1_rmp_instruction(struct cpu *c)
{
	const struct space space = {.state = &c->l1};
	struct vmcb *b = &c->l1;
	uint8_t code[15];

	if (!rmp_is_enabled() || code_bits(b) != 64 || space_code(&space, code) < LENGTH)
		return false;
	if (memcmp(code, rmpupdate, LENGTH) && memcmp(code, psmash, LENGTH))
		return false;
	if (b->cpl) {
		l1_gp(c);
		return true;
	}
	if (!memcmp(code, psmash, LENGTH))
		b->rax = rmp_smash(b->rax);
	else if (!update(c, &space))
		return true;
	b->rflags &= ~RESULT_FLAGS;
	if (!b->rax)
		b->rflags |= ZERO_FLAG;
	l1_skip(c, LENGTH);
	return true;
}
