/* SPDX-License-Identifier: BSD-2-Clause */
#include "plain_sev.h"

#include "base/opcode.h"

#define STATUS_SEV 1

bool plain_sev_exit(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint8_t code[15];
	struct opcode o;

	if (b->exit_code != SVM_EXIT(MSR) || b->exit_info1 & 1 ||
	    (uint32_t)l->cpu->regs.rcx != MSR_SEV_STATUS ||
	    !opcode_at(&o, code, space_code(&l->space, code), code_bits(b)))
		return false;
	cpu_set_pair(l->cpu, b, STATUS_SEV);
	return l2_done(l, b->rip + o.length);
}
