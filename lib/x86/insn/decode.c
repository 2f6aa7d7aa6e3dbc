/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instruction decoder of the #VC handler; see decode.h.
 *
 * Sources: APM vol. 3, "Instruction Prefixes", "REX Prefix", "ModRM and SIB Bytes", "Opcode
 * and Operand Encodings"; SDM vol. 2, "Opcode Map", "Special Cases of REX Encodings".
 *
 * What the manuals leave to the CPU is decided as CPUs do it: the last of F2
 * and F3 counts, the last segment override counts, any prefix may be repeated.
 */
#include "decode.h"

/* ---- bytes ------------------------------------------------------------ */

/*
 * The only place that reads code. After the first failure every byte is 0 and
 * the failure stays, so that the callers need to look at it only where they
 * would otherwise decide something.
 */
struct cursor {
	const uint8_t *bytes;
	uint8_t count; /* <= INSN_MAX_LENGTH */
	uint8_t pos;
	enum insn_status status;
};

static uint8_t next_byte(struct cursor *c)
{
	if (c->status != INSN_OK)
		return 0;
	if (c->pos == c->count) {
		c->status = c->pos == INSN_MAX_LENGTH ? INSN_TOO_LONG : INSN_MORE;
		return 0;
	}
	return c->bytes[c->pos++];
}

/* Little-endian, zero-extended; @size 1, 2, 4 or 8 bytes. */
static uint64_t next_value(struct cursor *c, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)next_byte(c) << (8 * i);
	return value;
}

static int64_t next_signed(struct cursor *c, unsigned int size)
{
	uint64_t value = next_value(c, size);

	switch (size) {
	case 1:
		return (int8_t)value;
	case 2:
		return (int16_t)value;
	case 4:
		return (int32_t)value;
	default:
		return (int64_t)value;
	}
}

/* A verdict about the instruction stands only if all of its bytes were there. */
static enum insn_status verdict(const struct cursor *c, enum insn_status status)
{
	return c->status != INSN_OK ? c->status : status;
}

/* ---- prefixes --------------------------------------------------------- */

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1
#define NO_SEGMENT 0xff

struct prefixes {
	bool operand_size; /* 66 */
	bool address_size; /* 67 */
	uint8_t segment;   /* enum insn_segment or NO_SEGMENT */
	uint8_t rex;	   /* the whole byte, or 0 */
};

/*
 * Returns the first byte of the opcode. A REX byte counts only if it is the
 * last thing before the opcode; in 64-bit mode the overrides of ES, CS, SS and
 * DS are no prefixes at all and leave an FS or GS before them in force.
 */
static uint8_t take_prefixes(struct cursor *c, struct insn *insn, struct prefixes *p)
{
	bool is64 = insn->mode == INSN_MODE_64;

	p->operand_size = false;
	p->address_size = false;
	p->segment = NO_SEGMENT;
	p->rex = 0;

	for (;;) {
		uint8_t byte = next_byte(c);

		switch (byte) {
		case 0x66:
			p->operand_size = true;
			break;
		case 0x67:
			p->address_size = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			if (!is64)
				p->segment = (byte >> 3) & 3;
			break;
		case 0x64:
			p->segment = INSN_FS;
			break;
		case 0x65:
			p->segment = INSN_GS;
			break;
		case 0xf0:
			insn->lock = true;
			break;
		case 0xf2:
			insn->rep = INSN_REPNE;
			break;
		case 0xf3:
			insn->rep = INSN_REP;
			break;
		default:
			if (!is64 || (byte & 0xf0) != 0x40)
				return byte;
			p->rex = byte;
			continue;
		}
		p->rex = 0;
	}
}

static void set_sizes(struct insn *insn, const struct prefixes *p)
{
	switch (insn->mode) {
	case INSN_MODE_16:
		insn->operand_size = p->operand_size ? 4 : 2;
		insn->address_size = p->address_size ? 4 : 2;
		break;
	case INSN_MODE_32:
		insn->operand_size = p->operand_size ? 2 : 4;
		insn->address_size = p->address_size ? 2 : 4;
		break;
	default:
		if (p->rex & REX_W)
			insn->operand_size = 8;
		else
			insn->operand_size = p->operand_size ? 2 : 4;
		insn->address_size = p->address_size ? 4 : 8;
		break;
	}
}

/* ---- opcodes ---------------------------------------------------------- */

/* What the operands are, and what chooses them: opcodes.def. */
enum role {
	ROLE_NONE,
	ROLE_RM,
	ROLE_REG,
	ROLE_ACC,
	ROLE_IMM,
	ROLE_IMM8,
	ROLE_MOFFS,
	ROLE_PORT_IMM,
	ROLE_PORT_DX,
	ROLE_DI,
	ROLE_SI,
};

enum form {
#define FORM(name, first, second) FORM_##name,
#include "opcodes.def"
#undef FORM
};

static const struct {
	uint8_t dst, src; /* enum role */
} forms[] = {
#define FORM(name, first, second) {ROLE_##first, ROLE_##second},
#include "opcodes.def"
#undef FORM
};

enum { ONE, TWO };
enum { PAIR = 1, LOCK = 2, GROUP = 4, LONG = 8, NO_66 = 16 };

static const struct row {
	uint8_t map, number, op, form, flags;
} rows[] = {
#define OPCODE(map, number, op, form, flags) {map, number, INSN_OP_##op, FORM_##form, flags},
#include "opcodes.def"
#undef OPCODE
};

static const struct {
	uint8_t modrm, op, flags;
} group7[] = {
#define GROUP7(modrm, op, flags) {modrm, INSN_OP_##op, flags},
#include "opcodes.def"
#undef GROUP7
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct opcode {
	uint8_t op;
	uint8_t form;
	bool byte;	/* all operands are of one byte */
	bool lockable;	/* with memory as destination */
	bool group;	/* ModRM.reg chooses the operation */
	uint8_t number; /* the opcode itself */
};

static void set(struct opcode *o, enum insn_op op, enum form form)
{
	o->op = op;
	o->form = form;
}

/* Leaves o->op at INSN_OP_NONE for what isn't known, groups apart. */
static void look_up(struct opcode *o, unsigned int map, enum insn_mode mode)
{
	for (unsigned int i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		uint8_t number = r->flags & PAIR ? o->number & ~1 : o->number;

		if (r->map != map || r->number != number ||
		    (r->flags & LONG && mode != INSN_MODE_64))
			continue;
		set(o, r->op, r->form);
		o->byte = r->flags & PAIR && !(o->number & 1);
		o->lockable = r->flags & LOCK;
		o->group = r->flags & GROUP;
		return;
	}
}

static void one_byte_opcode(struct opcode *o, enum insn_mode mode)
{
	uint8_t n = o->number;

	if (n < 0x40 && (n & 7) < 4) {
		set(o, INSN_OP_ADD + (n >> 3), n & 2 ? FORM_REG_RM : FORM_RM_REG);
		o->byte = !(n & 1);
		o->lockable = !(n & 2) && o->op != INSN_OP_CMP;
		return;
	}
	look_up(o, ONE, mode);
}

/* The operation of a group opcode; INSN_OP_NONE if it isn't one of ours. */
static void group_opcode(struct opcode *o, unsigned int reg)
{
	switch (o->number) {
	case 0x80:
	case 0x81:
	case 0x83:
		o->op = INSN_OP_ADD + reg;
		o->lockable = o->op != INSN_OP_CMP;
		break;
	case 0xc6:
	case 0xc7:
		if (reg == 0)
			o->op = INSN_OP_MOV;
		break;
	case 0xf6:
	case 0xf7:
		if (reg == 0)
			set(o, INSN_OP_TEST, FORM_RM_IMM);
		else if (reg == 2 || reg == 3)
			o->op = reg == 2 ? INSN_OP_NOT : INSN_OP_NEG;
		o->lockable = reg != 0;
		break;
	case 0xfe:
	case 0xff:
		if (reg < 2)
			o->op = reg == 0 ? INSN_OP_INC : INSN_OP_DEC;
		o->lockable = true;
		break;
	}
}

/*
 * 0F 01 with a register-form ModRM byte. F2 and F3 make other instructions of
 * these (MCOMMIT, PVALIDATE, RMPADJUST ...); only VMMCALL has a form with them
 * that is ours. 66 is reserved for some (SDM: "NP") and ignored by the others.
 */
static void group7_opcode(struct cursor *c, struct opcode *o, uint8_t rep, bool operand_size)
{
	uint8_t modrm = next_byte(c);
	enum insn_op op = INSN_OP_NONE;

	for (unsigned int i = 0; i < COUNT(group7); i++) {
		if (group7[i].modrm == modrm && !(group7[i].flags & NO_66 && operand_size))
			op = group7[i].op;
	}
	if (rep != INSN_REP_NONE)
		op = op == INSN_OP_VMMCALL ? INSN_OP_VMGEXIT : INSN_OP_NONE;
	set(o, op, FORM_NONE);
}

static void two_byte_opcode(struct cursor *c, struct opcode *o, uint8_t rep, bool operand_size)
{
	if (o->number == 0x01) {
		group7_opcode(c, o, rep, operand_size);
		return;
	}
	look_up(o, TWO, INSN_MODE_64);
	/* Only F3 is defined; F2 is reserved. */
	if (o->op == INSN_OP_WBINVD && rep != INSN_REP_NONE)
		o->op = rep == INSN_REP ? INSN_OP_WBNOINVD : INSN_OP_NONE;
}

/* ---- operands --------------------------------------------------------- */

static struct insn_operand operand(enum insn_operand_kind kind, unsigned int size)
{
	struct insn_operand o = {kind, size, INSN_NO_REG};

	return o;
}

static struct insn_operand gpr(unsigned int reg, unsigned int size, uint8_t rex)
{
	struct insn_operand o = {INSN_GPR, size, reg};

	/* Without REX, byte registers 4..7 are AH CH DH BH. */
	if (size == 1 && !rex && reg >= 4) {
		o.kind = INSN_GPR_HIGH;
		o.reg = reg - 4;
	}
	return o;
}

static void take_mem16(struct cursor *c, struct insn_mem *mem, uint8_t modrm)
{
	enum { BX = 3, BP = 5, SI = 6, DI = 7 };
	static const uint8_t base[8] = {BX, BX, BP, BP, SI, DI, BP, BX};
	static const uint8_t index[8] = {SI,	      DI,	   SI,		DI,
					 INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG};
	unsigned int mod = modrm >> 6, rm = modrm & 7;

	mem->base = base[rm];
	mem->index = index[rm];
	if (mod == 0 && rm == 6) {
		mem->base = INSN_NO_REG;
		mem->disp = next_signed(c, 2);
	} else if (mod == 1) {
		mem->disp = next_signed(c, 1);
	} else if (mod == 2) {
		mem->disp = next_signed(c, 2);
	}
}

static void take_mem32(struct cursor *c, struct insn_mem *mem, uint8_t modrm,
		       const struct insn *insn, uint8_t rex)
{
	unsigned int mod = modrm >> 6, base = modrm & 7;
	bool sib = base == 4;

	if (sib) {
		uint8_t byte = next_byte(c);
		unsigned int index = (byte >> 3 & 7) | (rex & REX_X ? 8 : 0);

		base = byte & 7;
		if (index != 4) {
			mem->index = index;
			mem->scale = 1u << (byte >> 6);
		}
	}

	if (mod == 0 && base == 5) {
		/* No base; without SIB that is RIP in 64-bit mode. */
		mem->rip_relative = !sib && insn->mode == INSN_MODE_64;
		mem->disp = next_signed(c, 4);
		return;
	}
	mem->base = base | (rex & REX_B ? 8 : 0);
	if (mod == 1)
		mem->disp = next_signed(c, 1);
	else if (mod == 2)
		mem->disp = next_signed(c, 4);
}

static struct insn_operand take_rm(struct cursor *c, struct insn *insn, const struct prefixes *p,
				   uint8_t modrm, unsigned int size)
{
	struct insn_mem *mem = &insn->mem;

	if (modrm >= 0xc0)
		return gpr((modrm & 7) | (p->rex & REX_B ? 8 : 0), size, p->rex);

	if (insn->address_size == 2)
		take_mem16(c, mem, modrm);
	else
		take_mem32(c, mem, modrm, insn, p->rex);

	/* rSP and rBP as base imply SS; R12 and R13 do not. */
	if (p->segment == NO_SEGMENT && (mem->base == 4 || mem->base == 5))
		insn->segment = INSN_SS;
	return operand(INSN_MEM, size);
}

static struct insn_operand take_moffs(struct cursor *c, struct insn *insn)
{
	insn->mem.moffs = true;
	insn->mem.disp = (int64_t)next_value(c, insn->address_size);
	return operand(INSN_MEM, insn->operand_size);
}

/* No I/O instruction has a 64-bit form: REX.W means 32 bits there. */
static void cap_port_size(struct insn *insn)
{
	if (insn->operand_size == 8)
		insn->operand_size = 4;
}

/* What ModRM names, @reg and @rm, was taken before. */
static struct insn_operand take_operand(struct cursor *c, struct insn *insn,
					const struct prefixes *p, enum role role, unsigned int size,
					struct insn_operand reg, struct insn_operand rm)
{
	switch (role) {
	case ROLE_RM:
		return rm;
	case ROLE_REG:
		return reg;
	case ROLE_ACC:
		return gpr(0, size, p->rex);
	case ROLE_IMM:
		insn->imm = next_signed(c, size == 8 ? 4 : size);
		return operand(INSN_IMM, size);
	case ROLE_IMM8:
		insn->imm = next_signed(c, 1);
		return operand(INSN_IMM, size);
	case ROLE_MOFFS:
		return take_moffs(c, insn);
	case ROLE_PORT_IMM:
		insn->imm = next_byte(c);
		return operand(INSN_PORT_IMM, size);
	case ROLE_PORT_DX:
		return operand(INSN_PORT_DX, size);
	case ROLE_DI:
		return operand(INSN_MEM_DI, size);
	case ROLE_SI:
		return operand(INSN_MEM_SI, size);
	default:
		return operand(INSN_NO_OPERAND, 0);
	}
}

/* Returns false for an encoding that isn't ours after all. */
static bool take_operands(struct cursor *c, struct insn *insn, const struct prefixes *p,
			  struct opcode *o)
{
	struct insn_operand reg = operand(INSN_NO_OPERAND, 0), rm = reg;
	unsigned int size, source;
	uint8_t modrm = 0;

	if (o->byte)
		insn->operand_size = 1;
	if (o->form >= FORM_ACC_PORT_IMM)
		cap_port_size(insn);
	size = insn->operand_size;

	switch (o->form) {
	case FORM_RM_REG:
	case FORM_REG_RM:
	case FORM_RM_IMM:
	case FORM_RM_IMM8:
	case FORM_RM:
		modrm = next_byte(c);
		if (o->group)
			group_opcode(o, modrm >> 3 & 7);
		if (o->op == INSN_OP_NONE)
			return false;
		reg = gpr((modrm >> 3 & 7) | (p->rex & REX_R ? 8 : 0), size, p->rex);
		rm = take_rm(c, insn, p, modrm, size);
		break;
	case FORM_REG_RM8:
	case FORM_REG_RM16:
	case FORM_REG_RM32:
		if (o->form == FORM_REG_RM32 && size == 2)
			return false;
		modrm = next_byte(c);
		source = 1u << (o->form - FORM_REG_RM8);
		reg = gpr((modrm >> 3 & 7) | (p->rex & REX_R ? 8 : 0), size, p->rex);
		rm = take_rm(c, insn, p, modrm, source);
		insn->extend = (o->number & 0xf8) == 0xb0 ? INSN_EXTEND_ZERO : INSN_EXTEND_SIGN;
		break;
	case FORM_GPR_DR:
	case FORM_DR_GPR:
		/* ModRM.mod doesn't count, nor does an operand-size prefix. */
		modrm = next_byte(c);
		size = insn->mode == INSN_MODE_64 ? 8 : 4;
		insn->operand_size = size;
		reg = operand(INSN_DR, size);
		reg.reg = (modrm >> 3 & 7) | (p->rex & REX_R ? 8 : 0);
		rm = gpr((modrm & 7) | (p->rex & REX_B ? 8 : 0), size, p->rex);
		break;
	}

	if (o->form == FORM_NONE)
		insn->operand_size = 0;
	insn->dst = take_operand(c, insn, p, forms[o->form].dst, size, reg, rm);
	insn->src = take_operand(c, insn, p, forms[o->form].src, size, reg, rm);
	return true;
}

/* A complete instruction of ours that the CPU refuses with #UD. */
static bool is_invalid(const struct insn *insn, const struct opcode *o)
{
	if (insn->lock && !(o->lockable && insn->dst.kind == INSN_MEM))
		return true;
	return o->op == INSN_OP_MOV_DR &&
	       (insn->dst.kind == INSN_DR ? insn->dst.reg : insn->src.reg) > 7;
}

/* ---- the interface ---------------------------------------------------- */

static void clear(struct insn *insn, enum insn_mode mode)
{
	insn->length = 0;
	insn->mode = mode;
	insn->op = INSN_OP_NONE;
	insn->operand_size = 0;
	insn->address_size = 0;
	insn->segment = INSN_DS;
	insn->rep = INSN_REP_NONE;
	insn->lock = false;
	insn->extend = INSN_EXTEND_NONE;
	insn->dst = operand(INSN_NO_OPERAND, 0);
	insn->src = operand(INSN_NO_OPERAND, 0);
	insn->mem.base = INSN_NO_REG;
	insn->mem.index = INSN_NO_REG;
	insn->mem.scale = 1;
	insn->mem.rip_relative = false;
	insn->mem.moffs = false;
	insn->mem.disp = 0;
	insn->imm = 0;
}

enum insn_status insn_decode(struct insn *insn, const uint8_t *bytes, size_t count,
			     enum insn_mode mode)
{
	struct cursor c = {bytes, 0, 0, INSN_OK};
	struct opcode o = {INSN_OP_NONE, FORM_NONE, false, false, false, 0};
	struct prefixes p;

	c.count = count < INSN_MAX_LENGTH ? count : INSN_MAX_LENGTH;
	clear(insn, mode);

	o.number = take_prefixes(&c, insn, &p);
	set_sizes(insn, &p);
	if (p.segment != NO_SEGMENT)
		insn->segment = p.segment;

	if (o.number == 0x0f) {
		o.number = next_byte(&c);
		two_byte_opcode(&c, &o, insn->rep, p.operand_size);
	} else {
		one_byte_opcode(&o, mode);
	}
	if (o.op == INSN_OP_NONE && !o.group)
		return verdict(&c, INSN_UNSUPPORTED);
	if (!take_operands(&c, insn, &p, &o))
		return verdict(&c, INSN_UNSUPPORTED);
	if (is_invalid(insn, &o))
		return verdict(&c, INSN_INVALID);

	if (c.status != INSN_OK)
		return c.status;

	insn->op = o.op;
	insn->length = c.pos;
	return INSN_OK;
}

static bool is_memory(const struct insn_operand *o)
{
	return o->kind == INSN_MEM || o->kind == INSN_MEM_SI || o->kind == INSN_MEM_DI;
}

const struct insn_operand *insn_memory_operand(const struct insn *insn)
{
	if (is_memory(&insn->dst))
		return &insn->dst;
	return is_memory(&insn->src) ? &insn->src : NULL;
}
