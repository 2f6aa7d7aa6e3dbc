/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports and addresses of L1 that the monitor answers for: the Secure Processor, and what L1 must not reach. */
#include "l1.h"

#include "base/log.h"
#include "l2/guard.h"
#include "memory/boot.h"
#include "memory/identity.h"
#include "memory/memory.h"
#include "memory/views.h"
#include "psp/firmware.h"
#include "psp/psp.h"

#include "x86/insn/decode.h"
#include "x86/insn/insn_regs.h"

#define IOIO_IN 1u
#define IOIO_STRING 4u

static uint32_t in(uint16_t port, unsigned bytes)
{
	return bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
}

static void out(uint16_t port, unsigned bytes, uint32_t value)
{
	if (bytes == 1)
		outb(port, value);
	else if (bytes == 2)
		outw(port, value);
	else
		outl(port, value);
}

void l1_port(struct cpu *c)
{
	struct vmcb *b = &c->l1;
	uint16_t port = b->exit_info1 >> 16;
	bool is_in = b->exit_info1 & IOIO_IN;
	unsigned bytes = b->exit_info1 >> 4 & 7;
	uint32_t value = b->rax;

	if (b->exit_info1 & IOIO_STRING)
		stop("L1 does string I/O at port %#x, which the monitor answers for", port);
	if (guard_claims_port(port, bytes))
		stop("L1 reaches for port %#x, by which QEMU copies files to any address", port);
	if (!psp_config(port, is_in, bytes, &value)) {
		if (is_in)
			value = in(port, bytes);
		else
			out(port, bytes, value);
	}
	if (is_in) {
		uint64_t mask = bytes == 4 ? ~0ul : (1ul << 8 * bytes) - 1;

		b->rax = (b->rax & ~mask) | (value & mask);
	}
	move_rip(b, b->exit_info2);
}

void *firmware_memory(uint64_t at, uint64_t bytes)
{
	if (!memory_is_l1s(at, bytes))
		return NULL;
	for (uint64_t page = at & ~(PAGE - 1); page < at + bytes; page += PAGE)
		views_show(page, 0);
	return (void *)at;
}

/* A load or store of 4 bytes, which is what drivers do to registers. */
static void psp_access(struct cpu *c, uint64_t at)
{
	const struct space space = {.state = &c->l1};
	struct insn_regs regs;
	struct insn insn;
	uint8_t code[INSN_MAX_LENGTH];
	unsigned n = space_code(&space, code);

	if (insn_decode(&insn, code, n, code_mode(&c->l1)) != INSN_OK || insn.op != INSN_OP_MOV ||
	    insn.operand_size != 4)
		stop("L1's instruction at %#lx is no load or store of 4 bytes; the Secure Processor's registers know "
		     "no other",
		     c->l1.rip);
	for (unsigned i = 0; i < 16; i++)
		regs.gpr[i] = *cpu_gpr(c, &c->l1, i);
	if (insn.dst.kind == INSN_MEM) {
		psp_write(at, insn.src.kind == INSN_IMM ? insn_immediate(&insn)
							: insn_read_gpr(&regs, &insn.src));
	} else {
		insn_write_gpr(&regs, &insn.dst, psp_read(at));
		for (unsigned i = 0; i < 16; i++)
			*cpu_gpr(c, &c->l1, i) = regs.gpr[i];
	}
	l1_skip(c, insn.length);
}

void l1_npf(struct cpu *c)
{
	uint64_t at = c->l1.exit_info2;

	if (boot_is_reserved(at, 1))
		stop("L1 reaches for the monitor's memory: address %#lx, by the instruction at %#lx",
		     at, c->l1.rip);
	if (views_take_back(at) || identity_extend(at))
		return;
	if (!psp_claims(at))
		stop("L1 reaches for %#lx, where the monitor has nothing mapped, by the instruction at %#lx",
		     at, c->l1.rip);
	psp_access(c, at);
}
