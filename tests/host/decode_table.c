/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder against a table written by hand from the manuals, one line per
 * rule. Needs no disassembler; says in plain text what each encoding means.
 *
 * Notation: operation, then destination and source with sizes in bytes.
 * r0..r15 are registers, h0..h3 are AH CH DH BH, [seg:base+index*scale+disp/address size].
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "op_name.h"
#include "x86/insn/decode.h"

struct line {
	enum insn_mode mode;
	const char *code;
	const char *meaning;
};

#define M16 INSN_MODE_16
#define M32 INSN_MODE_32
#define M64 INSN_MODE_64

/* clang-format off */
static const struct line table[] = {
	/* Operand size: mode, 66, REX.W over 66 */
	{ M64, "8b 03",			"mov r0.4, [ds:r3/8].4" },
	{ M64, "66 8b 03",		"mov r0.2, [ds:r3/8].2" },
	{ M64, "48 8b 03",		"mov r0.8, [ds:r3/8].8" },
	{ M64, "66 48 8b 03",		"mov r0.8, [ds:r3/8].8" },
	{ M32, "8b 03",			"mov r0.4, [ds:r3/4].4" },
	{ M32, "66 66 8b 03",		"mov r0.2, [ds:r3/4].2" },
	{ M16, "8b 07",			"mov r0.2, [ds:r3/2].2" },
	{ M16, "66 8b 07",		"mov r0.4, [ds:r3/2].4" },

	/* REX counts only directly before the opcode, and only the last one */
	{ M64, "48 66 8b 03",		"mov r0.2, [ds:r3/8].2" },
	{ M64, "49 48 8b 03",		"mov r0.8, [ds:r3/8].8" },
	{ M64, "41 67 8b 03",		"mov r0.4, [ds:r3/4].4" },
	{ M64, "44 8b 03",		"mov r8.4, [ds:r3/8].4" },
	{ M64, "41 8b 03",		"mov r0.4, [ds:r11/8].4" },
	{ M32, "48 8b 03",		"unsupported" },

	/* Byte registers: AH..BH without REX, SPL..DIL with any REX */
	{ M64, "88 23",			"mov [ds:r3/8].1, h0" },
	{ M64, "40 88 23",		"mov [ds:r3/8].1, r4.1" },
	{ M64, "88 3b",			"mov [ds:r3/8].1, h3" },
	{ M64, "40 67 88 3b",		"mov [ds:r3/4].1, h3" },
	{ M64, "8a 1b",			"mov r3.1, [ds:r3/8].1" },

	/* ModRM and SIB */
	{ M64, "89 43 fc",		"mov [ds:r3-0x4/8].4, r0.4" },
	{ M64, "89 83 00 00 00 80",	"mov [ds:r3-0x80000000/8].4, r0.4" },
	{ M64, "89 04 b3",		"mov [ds:r3+r6*4/8].4, r0.4" },
	{ M64, "42 89 04 a3",		"mov [ds:r3+r12*4/8].4, r0.4" },
	{ M64, "89 04 23",		"mov [ds:r3/8].4, r0.4" },
	{ M64, "89 04 25 78 56 34 12",	"mov [ds:+0x12345678/8].4, r0.4" },
	{ M64, "41 89 04 25 78 56 34 12", "mov [ds:+0x12345678/8].4, r0.4" },
	{ M64, "41 89 44 25 10",	"mov [ds:r13+0x10/8].4, r0.4" },
	{ M64, "89 05 10 00 00 00",	"mov [ds:rip+0x10/8].4, r0.4" },
	{ M64, "41 89 05 10 00 00 00",	"mov [ds:rip+0x10/8].4, r0.4" },
	{ M64, "67 89 05 f0 ff ff ff",	"mov [ds:rip-0x10/4].4, r0.4" },
	{ M32, "89 05 10 00 00 00",	"mov [ds:+0x10/4].4, r0.4" },
	{ M32, "89 04 24",		"mov [ss:r4/4].4, r0.4" },
	{ M32, "89 45 00",		"mov [ss:r5/4].4, r0.4" },
	{ M32, "89 04 2b",		"mov [ds:r3+r5*1/4].4, r0.4" },
	{ M64, "41 89 45 00",		"mov [ds:r13/8].4, r0.4" },
	{ M64, "41 89 04 24",		"mov [ds:r12/8].4, r0.4" },

	/* 16-bit addressing */
	{ M16, "88 00",			"mov [ds:r3+r6*1/2].1, r0.1" },
	{ M16, "88 03",			"mov [ss:r5+r7*1/2].1, r0.1" },
	{ M16, "88 06 34 12",		"mov [ds:+0x1234/2].1, r0.1" },
	{ M16, "88 46 fe",		"mov [ss:r5-0x2/2].1, r0.1" },
	{ M16, "88 84 00 80",		"mov [ds:r6-0x8000/2].1, r0.1" },
	{ M16, "67 88 03",		"mov [ds:r3/4].1, r0.1" },
	{ M32, "67 88 07",		"mov [ds:r3/2].1, r0.1" },

	/* Segment overrides: the last one; in 64-bit code only FS and GS */
	{ M32, "2e 36 8b 03",		"mov r0.4, [ss:r3/4].4" },
	{ M32, "26 8b 45 00",		"mov r0.4, [es:r5/4].4" },
	{ M64, "65 8b 03",		"mov r0.4, [gs:r3/8].4" },
	{ M64, "64 3e 8b 03",		"mov r0.4, [fs:r3/8].4" },
	{ M64, "26 8b 03",		"mov r0.4, [ds:r3/8].4" },
	{ M64, "64 65 8b 45 00",	"mov r0.4, [gs:r5/8].4" },

	/* Immediates: sign-extended, four bytes at most */
	{ M64, "c6 03 80",		"mov [ds:r3/8].1, -0x80.1" },
	{ M64, "66 c7 03 34 12",	"mov [ds:r3/8].2, +0x1234.2" },
	{ M64, "c7 03 ff ff ff ff",	"mov [ds:r3/8].4, -0x1.4" },
	{ M64, "48 c7 03 00 00 00 80",	"mov [ds:r3/8].8, -0x80000000.8" },
	{ M64, "c7 05 04 00 00 00 01 00 00 00", "mov [ds:rip+0x4/8].4, +0x1.4" },
	{ M64, "83 0b f0",		"or [ds:r3/8].4, -0x10.4" },
	{ M64, "48 83 23 f0",		"and [ds:r3/8].8, -0x10.8" },
	{ M64, "80 3b 7f",		"cmp [ds:r3/8].1, +0x7f.1" },
	{ M64, "81 33 01 00 00 80",	"xor [ds:r3/8].4, -0x7fffffff.4" },
	{ M64, "f7 03 01 00 00 00",	"test [ds:r3/8].4, +0x1.4" },
	{ M64, "f6 03 80",		"test [ds:r3/8].1, -0x80.1" },
	{ M64, "f7 0b 01 00 00 00",	"unsupported" },
	{ M32, "82 03 01",		"unsupported" },
	{ M64, "c7 f8 00 00 00 00",	"unsupported" },
	{ M64, "ff 13",			"unsupported" },

	/* moffs: as wide as the address size, zero-extended */
	{ M64, "a1 f0 de bc 9a 78 56 34 12", "mov r0.4, [ds:+0x123456789abcdef0m/8].4" },
	{ M64, "67 a1 00 00 00 fe",	"mov r0.4, [ds:+0xfe000000m/4].4" },
	{ M64, "64 48 a3 00 00 00 00 00 00 00 00", "mov [fs:+0x0m/8].8, r0.8" },
	{ M32, "a2 00 00 e0 fe",	"mov [ds:+0xfee00000m/4].1, r0.1" },
	{ M16, "a0 00 80",		"mov r0.1, [ds:+0x8000m/2].1" },

	/* Extending loads */
	{ M64, "0f b6 03",		"movzx r0.4, [ds:r3/8].1" },
	{ M64, "48 0f b7 03",		"movzx r0.8, [ds:r3/8].2" },
	{ M64, "66 0f be 03",		"movsx r0.2, [ds:r3/8].1" },
	{ M64, "48 0f bf 03",		"movsx r0.8, [ds:r3/8].2" },
	{ M64, "0f b6 c4",		"movzx r0.4, h0" },
	{ M64, "48 63 03",		"movsx r0.8, [ds:r3/8].4" },
	{ M64, "63 03",			"movsx r0.4, [ds:r3/8].4" },
	{ M64, "66 63 03",		"unsupported" },
	{ M32, "63 03",			"unsupported" },

	/* LOCK: only read-modify-writes of memory take it */
	{ M64, "f0 83 0b 01",		"lock or [ds:r3/8].4, +0x1.4" },
	{ M64, "f0 87 03",		"lock xchg [ds:r3/8].4, r0.4" },
	{ M64, "f0 0f b1 0b",		"lock cmpxchg [ds:r3/8].4, r1.4" },
	{ M64, "f0 0f c0 0b",		"lock xadd [ds:r3/8].1, r1.1" },
	{ M64, "f0 ff 03",		"lock inc [ds:r3/8].4" },
	{ M64, "f0 f7 1b",		"lock neg [ds:r3/8].4" },
	{ M64, "f0 89 03",		"invalid" },
	{ M64, "f0 39 03",		"invalid" },
	{ M64, "f0 03 03",		"invalid" },
	{ M64, "f0 01 c3",		"invalid" },
	{ M64, "f0 f7 03 00 00 00 00",	"invalid" },
	{ M64, "f0 0f a2",		"invalid" },

	/* Port I/O: no 64-bit form; immediate ports are not sign-extended */
	{ M64, "e4 ff",			"in r0.1, +0xff.1" },
	{ M64, "e7 80",			"out +0x80.4, r0.4" },
	{ M64, "66 e5 80",		"in r0.2, +0x80.2" },
	{ M64, "ec",			"in r0.1, dx.1" },
	{ M64, "48 ed",			"in r0.4, dx.4" },
	{ M64, "66 48 ed",		"in r0.4, dx.4" },
	{ M16, "ef",			"out dx.2, r0.2" },
	{ M16, "66 ef",			"out dx.4, r0.4" },
	{ M64, "f3 ee",			"rep out dx.1, r0.1" },
	{ M64, "6c",			"ins es:di/8.1, dx.1" },
	{ M64, "f3 66 6d",		"rep ins es:di/8.2, dx.2" },
	{ M64, "66 f3 6d",		"rep ins es:di/8.2, dx.2" },
	{ M64, "48 6d",			"ins es:di/8.4, dx.4" },
	{ M64, "65 6c",			"ins es:di/8.1, dx.1" },
	{ M64, "f2 65 67 6f",		"repne outs dx.4, gs:si/4.4" },
	{ M64, "2e 6e",			"outs dx.1, ds:si/8.1" },
	{ M32, "2e 6e",			"outs dx.1, cs:si/4.1" },
	{ M16, "f2 f3 6e",		"rep outs dx.1, ds:si/2.1" },
	{ M16, "67 66 6f",		"outs dx.4, ds:si/4.4" },

	/* Strings */
	{ M64, "f3 48 ab",		"rep stos es:di/8.8, r0.8" },
	{ M64, "aa",			"stos es:di/8.1, r0.1" },
	{ M64, "f3 a4",			"rep movs es:di/8.1, ds:si/8.1" },
	{ M64, "64 a5",			"movs es:di/8.4, fs:si/8.4" },
	{ M32, "67 ad",			"lods r0.4, ds:si/2.4" },

	/* Debug registers: mod and 66 ignored, always 64 bits in 64-bit code */
	{ M64, "0f 21 f8",		"mov dr r0.8, dr7.8" },
	{ M64, "0f 23 f8",		"mov dr dr7.8, r0.8" },
	{ M64, "41 0f 23 38",		"mov dr dr7.8, r8.8" },
	{ M64, "66 0f 21 3b",		"mov dr r3.8, dr7.8" },
	{ M32, "66 0f 21 f9",		"mov dr r1.4, dr7.4" },
	{ M64, "44 0f 21 f8",		"invalid" },
	{ M64, "f0 0f 21 f8",		"invalid" },

	/* Without operands */
	{ M64, "0f a2",			"cpuid" },
	{ M64, "66 f2 2e 48 0f a2",	"repne cpuid" },
	{ M64, "0f 32",			"rdmsr" },
	{ M64, "0f 30",			"wrmsr" },
	{ M64, "0f 33",			"rdpmc" },
	{ M64, "0f 31",			"rdtsc" },
	{ M64, "0f 01 f9",		"rdtscp" },
	{ M64, "0f 08",			"invd" },
	{ M64, "0f 09",			"wbinvd" },
	{ M64, "f3 0f 09",		"rep wbnoinvd" },
	{ M64, "f2 0f 09",		"unsupported" },
	{ M64, "f4",			"hlt" },
	{ M64, "0f 01 c8",		"monitor" },
	{ M64, "0f 01 c9",		"mwait" },
	{ M64, "0f 01 fa",		"monitorx" },
	{ M64, "0f 01 fb",		"mwaitx" },
	{ M64, "f3 0f 01 fa",		"unsupported" },	/* MCOMMIT */
	{ M64, "f2 0f 01 ff",		"unsupported" },	/* PVALIDATE */
	{ M64, "66 0f 01 c8",		"unsupported" },

	/* VMMCALL and VMGEXIT, prefixes in any order */
	{ M64, "0f 01 d9",		"vmmcall" },
	{ M16, "0f 01 d9",		"vmmcall" },
	{ M32, "66 0f 01 d9",		"vmmcall" },
	{ M64, "48 0f 01 d9",		"vmmcall" },
	{ M64, "f3 0f 01 d9",		"rep vmgexit" },
	{ M16, "f3 0f 01 d9",		"rep vmgexit" },
	{ M64, "f2 0f 01 d9",		"repne vmgexit" },
	{ M64, "f3 2e 48 0f 01 d9",	"rep vmgexit" },
	{ M64, "f0 0f 01 d9",		"invalid" },

	/* Length */
	{ M64, "",			"more" },
	{ M64, "66 66",			"more" },
	{ M64, "0f",			"more" },
	{ M64, "89 04",			"more" },
	{ M64, "c7 03 01 02 03",	"more" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 0f a2", "cpuid" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 0f a2", "too long" },
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 0f", "too long" },
	{ M64, "26 26 26 26 26 c7 84 23 00 00 00 00 00 00 00 00", "too long" },
	{ M64, "26 26 26 26 c7 84 23 00 00 00 00 00 00 00 00", "mov [ds:r3+0x0/8].4, +0x0.4" },

	/* Not ours */
	{ M64, "90",			"unsupported" },
	{ M64, "f3 90",			"unsupported" },
	{ M64, "c5 f8 77",		"unsupported" },
	{ M64, "0f 01 10",		"unsupported" },
	{ M64, "0f 0b",			"unsupported" },
};
/* clang-format on */

static char text[200];
static size_t used;

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	used += vsnprintf(text + used, sizeof(text) - used, format, args);
	va_end(args);
}

static void say_signed(int64_t value, const char *suffix)
{
	if (value < 0)
		say("-0x%" PRIx64 "%s", -(uint64_t)value, suffix);
	else
		say("+0x%" PRIx64 "%s", (uint64_t)value, suffix);
}

static void say_mem(const struct insn *insn)
{
	static const char segment[][3] = {"es", "cs", "ss", "ds", "fs", "gs"};
	const struct insn_mem *mem = &insn->mem;

	say("[%s:", segment[insn->segment]);
	if (mem->rip_relative)
		say("rip");
	if (mem->base != INSN_NO_REG)
		say("r%u", mem->base);
	if (mem->index != INSN_NO_REG)
		say("+r%u*%u", mem->index, mem->scale);
	/* A displacement of 0 shows only where its absence would matter. */
	if (mem->disp || mem->moffs || insn->length == 15)
		say_signed(mem->disp, mem->moffs ? "m" : "");
	say("/%u]", insn->address_size);
}

static void say_operand(const struct insn *insn, const struct insn_operand *o)
{
	static const char segment[][3] = {"es", "cs", "ss", "ds", "fs", "gs"};

	switch (o->kind) {
	case INSN_GPR:
		say("r%u", o->reg);
		break;
	case INSN_GPR_HIGH:
		say("h%u", o->reg);
		return;
	case INSN_DR:
		say("dr%u", o->reg);
		break;
	case INSN_MEM:
		say_mem(insn);
		break;
	case INSN_MEM_SI:
		say("%s:si/%u", segment[insn->segment], insn->address_size);
		break;
	case INSN_MEM_DI:
		say("es:di/%u", insn->address_size);
		break;
	case INSN_IMM:
	case INSN_PORT_IMM:
		say_signed(insn->imm, "");
		break;
	case INSN_PORT_DX:
		say("dx");
		break;
	}
	say(".%u", o->size);
}

static const char *describe(const struct insn *insn, enum insn_status status)
{
	static const char *const refusal[] = {
		"", "more", "too long", "invalid", "unsupported",
	};
	const char *name = op_name(insn->op);

	used = 0;
	text[0] = 0;
	if (status != INSN_OK)
		return refusal[status];
	if (insn->op == INSN_OP_MOVX)
		name = insn->extend == INSN_EXTEND_ZERO ? "movzx" : "movsx";
	say("%s%s%s", insn->lock ? "lock " : "",
	    insn->rep == INSN_REP ? "rep "
	    : insn->rep		  ? "repne "
				  : "",
	    name);
	if (insn->dst.kind != INSN_NO_OPERAND) {
		say(" ");
		say_operand(insn, &insn->dst);
	}
	if (insn->src.kind != INSN_NO_OPERAND) {
		say(", ");
		say_operand(insn, &insn->src);
	}
	return text;
}

static size_t parse(const char *code, uint8_t *bytes)
{
	size_t n = 0;
	unsigned int byte;
	int step;

	while (sscanf(code, "%x%n", &byte, &step) == 1) {
		bytes[n++] = byte;
		code += step;
	}
	return n;
}

int main(void)
{
	unsigned int lines = sizeof(table) / sizeof(table[0]), wrong = 0;

	for (unsigned int i = 0; i < lines; i++) {
		const struct line *line = &table[i];
		enum insn_status status;
		const char *meaning;
		struct insn insn;
		uint8_t bytes[32];
		size_t count = parse(line->code, bytes);

		status = insn_decode(&insn, bytes, count, line->mode);
		meaning = describe(&insn, status);
		if (strcmp(meaning, line->meaning) || (status == INSN_OK && insn.length != count)) {
			printf("%s\n  expected %s, %zu bytes\n  observed %s, %u bytes\n",
			       line->code, line->meaning, count, meaning, insn.length);
			wrong++;
		}
	}
	printf("%u encodings, %u wrong\n", lines, wrong);
	return wrong != 0;
}
