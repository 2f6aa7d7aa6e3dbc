/* SPDX-License-Identifier: BSD-2-Clause */
#include "l2_insn.h"

#include "x86/cpu/cpu.h"

#include "panic.h"

static bool is_prefix(uint8_t byte, bool wide)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64 ... 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return wide && byte >> 4 == 4; /* REX */
	}
}

const uint8_t *l2_opcode(const struct l2 *v)
{
	const uint8_t *byte = (const uint8_t *)l2_get(v, L2_RIP);

	while (is_prefix(*byte, l2_get(v, L2_CS_L)))
		byte++;
	return byte;
}

void l2_skip(struct l2 *v, uint32_t dr6, uint64_t next)
{
	uint64_t rflags = l2_get(v, L2_RFLAGS);

	l2_set(v, L2_RIP, next);
	l2_set(v, L2_RFLAGS, rflags & ~(uint64_t)X86_EFLAGS_RF);
	l2_set(v, L2_SHADOW, 0);
	if (rflags & X86_EFLAGS_TF)
		dr6 |= DR6_BS;
	if (dr6)
		l2_trap(v, dr6);
}

void l2_do_cpuid(struct l2 *v, uint64_t next)
{
	struct cpuid r = cpuid(v->regs.rax, v->regs.rcx);

	v->regs.rax = r.a;
	v->regs.rbx = r.b;
	v->regs.rcx = r.c;
	v->regs.rdx = r.d;
	l2_skip(v, 0, next);
}

void l2_do_rdmsr(struct l2 *v, uint64_t next)
{
	uint64_t value = rdmsr(v->regs.rcx);

	v->regs.rax = (uint32_t)value;
	v->regs.rdx = value >> 32;
	l2_skip(v, 0, next);
}

void l2_do_wrmsr(struct l2 *v, uint64_t next)
{
	wrmsr(v->regs.rcx, v->regs.rdx << 32 | (uint32_t)v->regs.rax);
	l2_skip(v, 0, next);
}

/* In the order of ModRM; RSP is not among `regs`. */
static uint64_t *register_of(struct l2 *v, unsigned gpr)
{
	struct regs *r = &v->regs;
	uint64_t *const low[8] = {&r->rax, &r->rcx, &r->rdx, &r->rbx,
				  NULL,	   &r->rbp, &r->rsi, &r->rdi};
	uint64_t *const high[8] = {&r->r8,  &r->r9,  &r->r10, &r->r11,
				   &r->r12, &r->r13, &r->r14, &r->r15};

	return gpr < 8 ? low[gpr] : high[gpr & 7];
}

/* The task priority is the APIC's, and so L1's as well. */
void l2_do_cr8(struct l2 *v, unsigned gpr, bool write, uint64_t next)
{
	uint64_t *value = register_of(v, gpr);

	if (!value)
		panic("L2 moves RSP to or from CR8");
	if (write)
		write_cr8(*value);
	else
		*value = read_cr8();
	l2_skip(v, 0, next);
}

static void port_in(uint64_t *rax, uint16_t port, unsigned bytes)
{
	if (bytes == 1)
		*rax = (*rax & ~0xfful) | inb(port);
	else if (bytes == 2)
		*rax = (*rax & ~0xfffful) | inw(port);
	else
		*rax = inl(port);
}

static void port_out(uint64_t rax, uint16_t port, unsigned bytes)
{
	if (bytes == 1)
		outb(port, rax);
	else if (bytes == 2)
		outw(port, rax);
	else
		outl(port, rax);
}

#define DR7_TYPE_PORT 2

/* SDM 3B, "Debug Registers": of L2's breakpoints, those on one of these ports, as bits of DR6. */
static uint32_t port_breakpoints(const struct l2 *v, uint16_t port, unsigned bytes)
{
	const uint64_t at[4] = {read_dr0(), read_dr1(), read_dr2(), read_dr3()};
	uint64_t dr7 = l2_get(v, L2_DR7);
	uint32_t hit = 0;

	for (unsigned n = 0; n < 4; n++) {
		uint64_t control = dr7 >> (16 + 4 * n), length = (control >> 2 & 3) + 1;

		if (dr7 >> 2 * n & 3 && (control & 3) == DR7_TYPE_PORT && at[n] < port + bytes &&
		    port < at[n] + length)
			hit |= 1u << n;
	}
	return read_cr4() & X86_CR4_DE ? hit : 0;
}

void l2_do_port(struct l2 *v, uint16_t port, unsigned bytes, bool in, uint64_t next)
{
	if (in)
		port_in(&v->regs.rax, port, bytes);
	else
		port_out(v->regs.rax, port, bytes);
	l2_skip(v, port_breakpoints(v, port, bytes), next);
}
