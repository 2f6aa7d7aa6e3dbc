/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bugs of virtual-8086 mode. The CPU does all of it right by itself; with one of these bugs what it refuses comes here,
 * and is let through, or the frame of a software interrupt is not the program's.
 */
#include "v86.h"

#include "bug.h"
#include "insn.h"
#include "soft_int.h"

#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"

#define OPERAND_SIZE 0x66

struct bytes {
	uint8_t at[INSN_MAX_LENGTH];
	unsigned prefix; /* 1: an operand-size prefix comes first */
};

static bool is_in_mode(const struct vcpu *v)
{
	return v->vmcb.rflags & X86_EFLAGS_VM;
}

static bool fetch(const struct vcpu *v, struct bytes *b)
{
	if (insn_fetch(v, b->at) < INSN_MAX_LENGTH)
		return false;
	b->prefix = b->at[0] == OPERAND_SIZE;
	return true;
}

/* CLI, STI, PUSHF, POPF, IRET: 1 byte. */
static unsigned sensitive(uint8_t opcode)
{
	return opcode == 0xfa || opcode == 0xfb || opcode == 0x9c || opcode == 0x9d ||
	       opcode == 0xcf;
}

/* IN and OUT by DX, INS, OUTS: 1 byte. */
static unsigned port(uint8_t opcode)
{
	return (opcode >= 0xec && opcode <= 0xef) || (opcode >= 0x6c && opcode <= 0x6f);
}

/* HLT, CLTS, INVD, WBINVD, MOV of control and debug registers, RDMSR, WRMSR, LGDT, LIDT, LMSW, INVLPG. */
static unsigned privileged(const uint8_t *opcode)
{
	if (opcode[0] == 0xf4)
		return 1;
	if (opcode[0] != 0x0f)
		return 0;
	switch (opcode[1]) {
	case 0x01:
		return opcode[2] >> 6 == 3 ? 3 : 5; /* else with a 16-bit address alone */
	case 0x06:
	case 0x08:
	case 0x09:
	case 0x30:
	case 0x32:
		return 2;
	case 0x20 ... 0x23:
		return 3;
	}
	return 0;
}

/* LLDT, LTR, SLDT, STR, VERR, VERW, LAR, LSL, ARPL, of registers. */
static unsigned protected_only(const uint8_t *opcode)
{
	if (opcode[0] == 0x63)
		return 2;
	return opcode[0] == 0x0f && (opcode[1] == 0 || opcode[1] == 2 || opcode[1] == 3) ? 3 : 0;
}

bool v86_intercepts(unsigned vector)
{
	if (vector == VECTOR_UD)
		return bug_is_set(V86_PROTECTED_ONLY);
	return vector == VECTOR_GP && (bug_is_set(V86_IOPL_IGNORED) || bug_is_set(V86_SENSITIVE) ||
				       bug_is_set(V86_PRIVILEGED) || bug_is_set(V86_PORTS));
}

static unsigned let_through(unsigned vector, const struct bytes *b)
{
	const uint8_t *opcode = b->at + b->prefix;

	if (vector == VECTOR_UD)
		return protected_only(opcode) && bug(V86_PROTECTED_ONLY) ? protected_only(opcode)
									 : 0;
	if (sensitive(*opcode) && bug(V86_SENSITIVE))
		return 1;
	if (port(*opcode) && bug(V86_PORTS))
		return 1;
	return privileged(opcode) && bug(V86_PRIVILEGED) ? privileged(opcode) : 0;
}

bool v86_let_through(struct vcpu *v, unsigned vector)
{
	struct vmcb *vmcb = &v->vmcb;
	struct bytes b;
	unsigned length;

	if (!is_in_mode(v) || !fetch(v, &b) || (vector == VECTOR_GP && vmcb->exit_info1))
		return false;
	if (vector == VECTOR_GP && b.at[0] == 0xcd && bug(V86_IOPL_IGNORED)) {
		soft_int(v, b.at[1], 2, true);
		return true;
	}
	length = let_through(vector, &b);
	if (length)
		vmcb->rip += b.prefix + length;
	return length;
}

void v86_spoil_frame(struct vcpu *v)
{
	struct vmcb *b = &v->vmcb;

	if (!is_in_mode(v))
		return;
	if (bug(V86_FRAME_NULL))
		b->ds.selector = b->es.selector = b->fs.selector = b->gs.selector = 0;
	if (bug(V86_FRAME_ORDER)) {
		uint16_t fs = b->fs.selector;

		b->fs.selector = b->gs.selector;
		b->gs.selector = fs;
	}
	if (b->rflags & X86_EFLAGS_IOPL && bug(V86_FRAME_IOPL))
		b->rflags &= ~(uint64_t)X86_EFLAGS_IOPL;
}
