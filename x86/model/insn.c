/* SPDX-License-Identifier: BSD-2-Clause */
#include "insn.h"

#include "bug.h"
#include "devices/ioapic.h"
#include "events/breakpoints.h"
#include "memory.h"
#include "ports.h"

#include "string.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/insn/alu.h"
#include "x86/insn/insn_regs.h"

static uint64_t linear_rip(const struct vcpu *v)
{
	return v->vmcb.rip + (vcpu_bits(v) == 64 ? 0 : v->vmcb.cs.base);
}

unsigned insn_fetch(const struct vcpu *v, uint8_t *bytes)
{
	return memory_read(v, linear_rip(v), bytes, INSN_MAX_LENGTH);
}

bool insn_at_rip(const struct vcpu *v, struct insn *insn)
{
	unsigned bits = vcpu_bits(v);
	uint8_t bytes[INSN_MAX_LENGTH];

	return insn_decode(insn, bytes, insn_fetch(v, bytes),
			   bits == 64	? INSN_MODE_64
			   : bits == 32 ? INSN_MODE_32
					: INSN_MODE_16) == INSN_OK;
}

static bool is_prefix(uint8_t byte, bool wide)
{
	static const uint8_t legacy[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
					 0x66, 0x67, 0xf0, 0xf2, 0xf3};

	for (unsigned i = 0; i < sizeof(legacy); i++)
		if (byte == legacy[i])
			return true;
	return wide && (byte & 0xf0) == 0x40;
}

static unsigned count_prefixes(const struct vcpu *v, const uint8_t *bytes, unsigned count)
{
	unsigned at = 0;

	while (at < count && is_prefix(bytes[at], vcpu_bits(v) == 64))
		at++;
	return at;
}

unsigned insn_int1(const struct vcpu *v)
{
	uint8_t bytes[INSN_MAX_LENGTH];

	return count_prefixes(v, bytes, insn_fetch(v, bytes)) + 1;
}

int insn_soft_int(const struct vcpu *v, unsigned *length, bool *int_n)
{
	uint8_t bytes[INSN_MAX_LENGTH];
	unsigned count = insn_fetch(v, bytes), at = count_prefixes(v, bytes, count);

	if (at == count)
		return -1;
	*int_n = bytes[at] == 0xcd;
	switch (bytes[at]) {
	case 0xcc:
		*length = at + 1;
		return 3;
	case 0xce:
		*length = at + 1;
		return 4;
	case 0xcd:
		*length = at + 2;
		return at + 1 < count ? bytes[at + 1] : -1;
	}
	return -1;
}

int insn_mov_cr(const struct vcpu *v, unsigned *length)
{
	bool wide = vcpu_bits(v) == 64;
	uint8_t bytes[INSN_MAX_LENGTH];
	unsigned count = insn_fetch(v, bytes), at = 0, rex = 0;

	while (at < count && is_prefix(bytes[at], wide)) {
		rex = wide && (bytes[at] & 0xf0) == 0x40 ? bytes[at] : 0;
		at++;
	}
	if (at + 3 > count || bytes[at] != 0x0f || (bytes[at + 1] & ~3) != 0x20)
		return -1;
	*length = at + 3;
	return (bytes[at + 2] & 7) | (rex & 1) << 3;
}

static void load_regs(const struct vcpu *v, struct insn_regs *r)
{
	for (unsigned i = 0; i < 16; i++)
		r->gpr[i] = *vcpu_reg((struct vcpu *)v, i);
	r->rip = v->vmcb.rip;
}

static void store_regs(struct vcpu *v, const struct insn_regs *r)
{
	for (unsigned i = 0; i < 16; i++)
		*vcpu_reg(v, i) = r->gpr[i];
}

static bool apic_page_is_there(const struct vcpu *v)
{
	return lapic_is_on(&v->apic) && (!lapic_is_x2(&v->apic) || bug(X2APIC_PAGE));
}

uint32_t insn_device_read(struct vcpu *v, uint64_t gpa)
{
	uint32_t value;

	if ((gpa & ~(PAGE_BYTES - 1)) == L2_IOAPIC_PAGE)
		return ioapic_read(gpa & 0xfff);
	if ((gpa & ~(PAGE_BYTES - 1)) != L2_APIC_PAGE || !apic_page_is_there(v))
		return 0xffffffff;
	lapic_read(v, gpa & 0xff0, &value);
	return value >> 8 * (gpa & 3);
}

void insn_device_write(struct vcpu *v, uint64_t gpa, uint32_t value)
{
	if ((gpa & ~(PAGE_BYTES - 1)) == L2_IOAPIC_PAGE)
		ioapic_write(gpa & 0xfff, value);
	if ((gpa & ~(PAGE_BYTES - 1)) == L2_APIC_PAGE && apic_page_is_there(v))
		lapic_write(v, gpa & 0xff0, value, 0);
}

static uint64_t segment_base(void *context, unsigned segment)
{
	const struct vmcb *b = &((const struct vcpu *)context)->vmcb;
	const struct svm_segment *const table[] = {&b->es, &b->cs, &b->ss, &b->ds, &b->fs, &b->gs};

	return table[segment]->base;
}

bool insn_operand_address(const struct vcpu *v, unsigned n, uint64_t *linear)
{
	const struct insn_operand *operands[2];
	struct insn_regs r;
	struct insn insn;

	if (n > 1 || !insn_at_rip(v, &insn))
		return false;
	load_regs(v, &r);
	operands[0] = &insn.dst;
	operands[1] = &insn.src;
	*linear = insn_linear(&insn, operands[n], &r, segment_base, (void *)v);
	return true;
}

/* Where an operand lies; an access to it may hit a breakpoint. */
static bool locate(struct vcpu *v, const struct insn *insn, const struct insn_operand *o,
		   const struct insn_regs *r, enum access access, uint64_t *gpa)
{
	uint64_t linear = insn_linear(insn, o, r, segment_base, v);

	if (breakpoints_hit(v, linear, o->size, access))
		v->trap_due = true;
	return memory_walk(v, linear, gpa);
}

static uint64_t load(struct vcpu *v, uint64_t gpa, unsigned bytes)
{
	void *at = memory_at(gpa);
	uint64_t value = 0;

	if (!at)
		return insn_device_read(v, gpa);
	memcpy(&value, at, bytes);
	return value;
}

static void store(struct vcpu *v, uint64_t gpa, uint64_t value, unsigned bytes)
{
	void *at = memory_at(gpa);

	if (at)
		memcpy(at, &value, bytes);
	else
		insn_device_write(v, gpa, value);
}

static bool read_operand(struct vcpu *v, const struct insn *insn, const struct insn_operand *o,
			 const struct insn_regs *r, uint64_t *value)
{
	uint64_t gpa;

	if (o->kind == INSN_IMM) {
		*value = insn_immediate(insn);
	} else if (o->kind == INSN_MEM || o->kind == INSN_MEM_SI || o->kind == INSN_MEM_DI) {
		if (!locate(v, insn, o, r, ACCESS_READ, &gpa))
			return false;
		*value = load(v, gpa, o->size);
	} else {
		*value = insn_read_gpr(r, o);
	}
	return true;
}

static bool write_operand(struct vcpu *v, const struct insn *insn, const struct insn_operand *o,
			  struct insn_regs *r, uint64_t value)
{
	uint64_t gpa;

	if (o->kind != INSN_MEM && o->kind != INSN_MEM_DI) {
		insn_write_gpr(r, o, value);
		return true;
	}
	if (!locate(v, insn, o, r, ACCESS_WRITE, &gpa))
		return false;
	store(v, gpa, value, o->size);
	return true;
}

static bool is_string(const struct insn *insn)
{
	return insn->op == INSN_OP_STOS || insn->op == INSN_OP_MOVS || insn->op == INSN_OP_LODS ||
	       insn->op == INSN_OP_INS || insn->op == INSN_OP_OUTS;
}

/* Behind the instruction, or at it again where a REP has more to do. */
static void finish(struct vcpu *v, const struct insn *insn, struct insn_regs *r)
{
	unsigned length = insn->length;

	if (is_string(insn)) {
		insn_string_step(insn, r, 1, v->vmcb.rflags & X86_EFLAGS_DF);
		if (insn->rep && insn_count(insn, r))
			length = 0;
	}
	store_regs(v, r);
	vcpu_skip(v, length);
}

/* The forms that move data, and those that compute. */
bool insn_mmio(struct vcpu *v)
{
	uint64_t value, old;
	struct insn_regs r;
	struct insn insn;

	if (!insn_at_rip(v, &insn))
		return false;
	load_regs(v, &r);
	if (!read_operand(v, &insn, &insn.src, &r, &value))
		return false;
	switch (insn.op) {
	case INSN_OP_MOV:
	case INSN_OP_STOS:
	case INSN_OP_LODS:
	case INSN_OP_MOVS:
		break;
	case INSN_OP_MOVX:
		value = insn_extend_value(&insn, value);
		break;
	case INSN_OP_XCHG:
		if (!read_operand(v, &insn, &insn.dst, &r, &old) ||
		    !write_operand(v, &insn, &insn.src, &r, old))
			return false;
		break;
	default:
		if (insn.op > INSN_OP_DEC || !read_operand(v, &insn, &insn.dst, &r, &old))
			return false;
		value = alu(insn.op, insn.operand_size, old, value, &v->vmcb.rflags);
	}
	if (insn.op != INSN_OP_CMP && insn.op != INSN_OP_TEST &&
	    !write_operand(v, &insn, &insn.dst, &r, value))
		return false;
	finish(v, &insn, &r);
	return true;
}

bool insn_string_io(struct vcpu *v, unsigned port)
{
	const struct insn_operand *o;
	uint64_t linear, value, gpa;
	struct insn_regs r;
	struct insn insn;

	if (!insn_at_rip(v, &insn))
		return false;
	load_regs(v, &r);
	/* QEMU exits before it looks at rCX. */
	if (!insn_count(&insn, &r)) {
		vcpu_skip(v, insn.length);
		return true;
	}
	o = insn_memory_operand(&insn);
	linear = insn_linear(&insn, o, &r, segment_base, v);
	/* Before the port is read. */
	if (!memory_walk(v, linear, &gpa)) {
		v->vmcb.cr2 = linear;
		vcpu_raise(v, VECTOR_PF,
			   (insn.op == INSN_OP_INS && !bug(INS_READS) ? PF_WRITE : 0) |
				   (v->vmcb.cpl == 3 ? PF_USER : 0));
		return true;
	}
	if (insn.op == INSN_OP_INS) {
		if (!write_operand(v, &insn, &insn.dst, &r, port_read(port, insn.dst.size)))
			return false;
	} else {
		if (!read_operand(v, &insn, &insn.src, &r, &value))
			return false;
		port_write(v, port, insn.src.size, value);
	}
	finish(v, &insn, &r);
	return true;
}
