/* SPDX-License-Identifier: BSD-2-Clause */
#include "opcode.h"

#define MAX_LENGTH 15
#define REX_W 8

/* What follows an opcode. Z: 2 or 4 bytes by operand size; V: 8 with REX.W; A: by address size. */
enum {
	M = 1,
	I8 = 2,
	IZ = 4,
	IV = 8,
	IA = 16,
	I16 = 32,
	FAR = 64,
	GROUP3 = 128,
	BAD = 256,
	REG = 512
};

struct range {
	uint8_t first, last;
	uint16_t what;
};

/* The arithmetic below 40 apart, which goes by the low three bits. */
static const struct range one_byte[] = {
	{0x62, 0x62, M},
	{0x63, 0x63, M},
	{0x68, 0x68, IZ},
	{0x69, 0x69, M | IZ},
	{0x6a, 0x6a, I8},
	{0x6b, 0x6b, M | I8},
	{0x70, 0x7f, I8},
	{0x80, 0x80, M | I8},
	{0x81, 0x81, M | IZ},
	{0x82, 0x83, M | I8},
	{0x84, 0x8f, M},
	{0x9a, 0x9a, FAR},
	{0xa0, 0xa3, IA},
	{0xa8, 0xa8, I8},
	{0xa9, 0xa9, IZ},
	{0xb0, 0xb7, I8},
	{0xb8, 0xbf, IV},
	{0xc0, 0xc1, M | I8},
	{0xc2, 0xc2, I16},
	{0xc4, 0xc5, M},
	{0xc6, 0xc6, M | I8},
	{0xc7, 0xc7, M | IZ},
	{0xc8, 0xc8, I16 | I8},
	{0xca, 0xca, I16},
	{0xcd, 0xcd, I8},
	{0xd0, 0xd3, M},
	{0xd4, 0xd5, I8},
	{0xd8, 0xdf, M},
	{0xe0, 0xe7, I8},
	{0xe8, 0xe9, IZ},
	{0xea, 0xea, FAR},
	{0xeb, 0xeb, I8},
	{0xf6, 0xf6, M | GROUP3 | I8},
	{0xf7, 0xf7, M | GROUP3 | IZ},
	{0xfe, 0xff, M},
};

static const struct range behind_0f[] = {
	{0x00, 0x03, M},      {0x04, 0x04, BAD},    {0x0a, 0x0a, BAD},	  {0x0c, 0x0c, BAD},
	{0x0d, 0x0d, M},      {0x0f, 0x0f, M | I8}, {0x10, 0x1f, M},	  {0x20, 0x23, M | REG},
	{0x24, 0x27, BAD},    {0x28, 0x2f, M},	    {0x36, 0x36, BAD},	  {0x39, 0x39, BAD},
	{0x3b, 0x3f, BAD},    {0x40, 0x6f, M},	    {0x70, 0x73, M | I8}, {0x74, 0x76, M},
	{0x78, 0x7f, M},      {0x80, 0x8f, IZ},	    {0x90, 0x9f, M},	  {0xa3, 0xa3, M},
	{0xa4, 0xa4, M | I8}, {0xa5, 0xa5, M},	    {0xa6, 0xa7, BAD},	  {0xab, 0xab, M},
	{0xac, 0xac, M | I8}, {0xad, 0xb9, M},	    {0xba, 0xba, M | I8}, {0xbb, 0xc1, M},
	{0xc2, 0xc2, M | I8}, {0xc3, 0xc3, M},	    {0xc4, 0xc6, M | I8}, {0xc7, 0xc7, M},
	{0xd0, 0xff, M},
};

static unsigned look_up(const struct range *table, unsigned count, uint8_t number)
{
	for (unsigned i = 0; i < count; i++)
		if (number >= table[i].first && number <= table[i].last)
			return table[i].what;
	return 0;
}

#define LOOK_UP(table, number) look_up(table, sizeof(table) / sizeof((table)[0]), number)

static unsigned what_follows(const struct opcode *o)
{
	switch (o->map) {
	case 0:
		if (o->number < 0x40)
			return (o->number & 7) < 4    ? M
			       : (o->number & 7) == 4 ? I8
			       : (o->number & 7) == 5 ? IZ
						      : 0;
		return LOOK_UP(one_byte, o->number);
	case 1:
		return LOOK_UP(behind_0f, o->number);
	case 2:
		return M;
	default:
		return M | I8;
	}
}

static unsigned displacement(const struct opcode *o, const uint8_t *bytes, unsigned n,
			     unsigned count, unsigned address)
{
	unsigned mod = o->modrm >> 6, rm = o->modrm & 7;

	if (mod == 3)
		return 0;
	if (address == 16)
		return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
	if (rm == 4) {
		unsigned base = n < count ? bytes[n] & 7 : 0;

		return 1 + (mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0);
	}
	return mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0;
}

static bool is_prefix(uint8_t c)
{
	return c == 0x26 || c == 0x2e || c == 0x36 || c == 0x3e || c == 0x64 || c == 0x65 ||
	       c == 0x66 || c == 0x67 || c == 0xf0 || c == 0xf2 || c == 0xf3;
}

bool opcode_at(struct opcode *o, const uint8_t *bytes, unsigned count, unsigned bits)
{
	unsigned n = 0, operand = bits == 16 ? 2 : 4, address = bits, what;
	bool small = false; /* 66 */

	*o = (struct opcode){0};
	if (count > MAX_LENGTH)
		count = MAX_LENGTH;
	/* A REX prefix counts where it stands last. */
	for (; n < count; n++) {
		uint8_t c = bytes[n];

		if (bits == 64 && (c & 0xf0) == 0x40) {
			o->rex = c;
			continue;
		}
		if (!is_prefix(c))
			break;
		o->rex = 0;
		if (c == 0x66) {
			operand = bits == 16 ? 4 : 2;
			small = true;
		}
		if (c == 0x67)
			address = bits == 32 ? 16 : 32;
		else if (c == 0xf2 || c == 0xf3)
			o->rep = c;
	}
	if (n >= count)
		return false;
	o->at = n;
	o->number = bytes[n++];
	if (o->number == 0x0f) {
		if (n >= count)
			return false;
		o->map = 1;
		o->number = bytes[n++];
		if (o->number == 0x38 || o->number == 0x3a) {
			o->map = o->number == 0x38 ? 2 : 3;
			if (n >= count)
				return false;
			o->number = bytes[n++];
		}
	}
	what = what_follows(o);
	if (what & BAD)
		return false;
	if (what & M) {
		if (n >= count)
			return false;
		o->has_modrm = true;
		o->modrm = bytes[n++];
		/* LES, LDS and BOUND with a register are VEX and EVEX; 8F with another ModRM.reg than 0 is XOP. */
		if (o->map == 0 &&
		    (((o->number == 0xc4 || o->number == 0xc5 || o->number == 0x62) &&
		      (bits == 64 || o->modrm >= 0xc0)) ||
		     (o->number == 0x8f && o->modrm & 0x38)))
			return false;
		if (!(what & REG))
			n += displacement(o, bytes, n, count, address);
	}
	/* TEST alone has an immediate there. */
	if (what & GROUP3 && o->modrm >> 3 & 6)
		what = 0;
	if (o->rex & REX_W)
		operand = 8;
	/* EXTRQ and INSERTQ: two bytes, with a prefix that makes them of what else is VMREAD. */
	if (o->map == 1 && o->number == 0x78 && (small || o->rep == 0xf2))
		n += 2;
	n += what & I8 ? 1 : 0;
	n += what & I16 ? 2 : 0;
	n += what & IZ ? (operand == 8 ? 4 : operand) : 0;
	n += what & IV ? operand : 0;
	n += what & IA ? address / 8 : 0;
	n += what & FAR ? 2 + operand : 0;
	o->length = n;
	return n <= count;
}
