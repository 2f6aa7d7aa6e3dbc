/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a #VC handler does with a decoded instruction: error code against bytes,
 * addresses, register results, IOIO exit words.
 */
#include <string.h>

#include "demand.h"
#include "x86/insn/decode.h"
#include "x86/insn/exit_code.h"
#include "x86/insn/insn_regs.h"
#include "x86/insn/ioio.h"

#define M16 INSN_MODE_16
#define M32 INSN_MODE_32
#define M64 INSN_MODE_64

/* Up to eight bytes, the first one in the most significant place used. */
static struct insn decode(enum insn_mode mode, const char *bytes, size_t count)
{
	struct insn insn;

	DEMAND(insn_decode(&insn, (const uint8_t *)bytes, count, mode) == INSN_OK);
	DEMAND(insn.length == count);
	return insn;
}

#define DECODE(mode, bytes) decode(mode, bytes, sizeof(bytes) - 1)

/* ---- exit codes -------------------------------------------------------- */

/* clang-format off */
static const struct {
	uint16_t code;
	char bytes[4];
	uint8_t count;
} pairs[] = {
	{ 0x027, "\x0f\x21\xf8", 3 }, { 0x037, "\x0f\x23\xf8", 3 },
	{ 0x020, "\x0f\x21\xc0", 3 }, { 0x036, "\x0f\x23\xf0", 3 },
	{ 0x06e, "\x0f\x31", 2 }, { 0x06f, "\x0f\x33", 2 },
	{ 0x072, "\x0f\xa2", 2 }, { 0x073, "\x0f\xaa", 2 },
	{ 0x076, "\x0f\x08", 2 }, { 0x07a, "\x0f\x01\xdf", 3 },
	{ 0x07b, "\xe4\x10", 2 }, { 0x07b, "\xe7\x10", 2 },
	{ 0x07b, "\xec", 1 }, { 0x07b, "\xef", 1 },
	{ 0x07b, "\x6c", 1 }, { 0x07b, "\xf3\x6f", 2 },
	{ 0x07c, "\x0f\x30", 2 }, { 0x07c, "\x0f\x32", 2 },
	{ 0x080, "\x0f\x01\xd8", 3 }, { 0x081, "\x0f\x01\xd9", 3 },
	{ 0x082, "\x0f\x01\xda", 3 }, { 0x083, "\x0f\x01\xdb", 3 },
	{ 0x084, "\x0f\x01\xdc", 3 }, { 0x085, "\x0f\x01\xdd", 3 },
	{ 0x086, "\x0f\x01\xde", 3 }, { 0x087, "\x0f\x01\xf9", 3 },
	{ 0x089, "\x0f\x09", 2 }, { 0x089, "\xf3\x0f\x09", 3 },
	{ 0x08a, "\x0f\x01\xc8", 3 }, { 0x08a, "\x0f\x01\xfa", 3 },
	{ 0x08b, "\x0f\x01\xc9", 3 }, { 0x08b, "\x0f\x01\xfb", 3 },
	{ 0x08d, "\x0f\x01\xd1", 3 }, { 0x08e, "\x0f\x01\xfd", 3 },
	{ 0x400, "\x8b\x03", 2 }, { 0x400, "\x89\x03", 2 },
	{ 0x400, "\xa4", 1 }, { 0x400, "\xab", 1 },
	{ 0x400, "\x0f\xb6\x03", 3 }, { 0x400, "\x87\x03", 2 },
	/* Nothing else fits these at all. */
	{ 0xfff, "\xf4", 1 }, { 0xfff, "\xf3\x0f\x01\xd9", 4 },
	{ 0xfff, "\xf2\x0f\x01\xd9", 4 }, { 0xfff, "\x89\xc3", 2 },
};
/* clang-format on */

/* Every code against every instruction: exactly the pairs above are true. */
static void exit_codes(void)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct insn insn = decode(M64, pairs[i].bytes, pairs[i].count);

		for (unsigned int code = 0; code < 0x500; code++) {
			bool fits =
				code == pairs[i].code || (code == 0x08c && pairs[i].code == 0x08b);

			DEMAND(vc_fits(code, &insn) == fits);
			DEMAND(!fits || vc_classify(code) == VC_NEEDS_INSN);
		}
		DEMAND(!vc_fits(pairs[i].code | 1ull << 32, &insn));
	}

	/* Automatic exits. */
	static const uint16_t automatic[] = {0x52, 0x60, 0x61, 0x63, 0x64, 0x77,
					     0x78, 0x7f, 0x8f, 0x90, 0x9f, 0x403};
	for (size_t i = 0; i < sizeof(automatic) / sizeof(automatic[0]); i++)
		DEMAND(vc_classify(automatic[i]) == VC_NEVER);
	DEMAND(vc_classify(~0ull) == VC_NEVER && vc_classify(~1ull) == VC_NEVER);
	DEMAND(vc_classify(0x80000003) == VC_NEVER);
	DEMAND(vc_classify(0x172) == VC_UNKNOWN && vc_classify(0x72 | 1ull << 32) == VC_NEVER);
	DEMAND(vc_classify(0x41) == VC_NEEDS_NO_INSN && vc_classify(0x51) == VC_NEEDS_NO_INSN);
	DEMAND(vc_classify(0x404) == VC_NEEDS_NO_INSN);
}

/* ---- addresses --------------------------------------------------------- */

static uint64_t flat_but_fs(void *asked, unsigned int segment)
{
	*(unsigned int *)asked |= 1u << segment;
	return segment == INSN_FS ? 0xffff800000001000 : segment * 0x10000ull;
}

static uint64_t linear(const struct insn *insn, const struct insn_regs *regs, unsigned int *asked)
{
	*asked = 0;
	return insn_linear(insn, insn_memory_operand(insn), regs, flat_but_fs, asked);
}

static void addresses(void)
{
	struct insn_regs regs = {.rip = 0xfffffffffffffff0};
	unsigned int asked;
	struct insn insn;

	for (int i = 0; i < 16; i++)
		regs.gpr[i] = 0x1111111111111111ull * i;
	regs.gpr[INSN_RBX] = 0xffffffff80001000;
	regs.gpr[INSN_RSI] = 0x12348000;
	regs.gpr[INSN_RDI] = 0xffffffffffff;

	insn = DECODE(M64, "\x8b\x44\xb3\x10"); /* [rbx + rsi * 4 + 0x10] */
	DEMAND(linear(&insn, &regs, &asked) == 0xffffffff80001000 + 0x48d20000 + 0x10 && !asked);
	insn = DECODE(M64, "\x67\x8b\x44\xb3\x10"); /* wraps at 32 bits */
	DEMAND(linear(&insn, &regs, &asked) == 0xc8d21010);
	insn = DECODE(M64, "\x64\x67\x8b\x03"); /* base added after the wrap */
	DEMAND(linear(&insn, &regs, &asked) == 0xffff800080002000 && asked == 1u << INSN_FS);
	insn = DECODE(M64, "\x8b\x05\x20\x00\x00\x00"); /* [rip + 0x20], wraps at 64 bits */
	DEMAND(linear(&insn, &regs, &asked) == 0x16);
	insn = DECODE(M64, "\x67\x8b\x05\x00\x00\x00\x00"); /* [eip + 0] */
	DEMAND(linear(&insn, &regs, &asked) == 0xfffffff7);
	insn = DECODE(M64, "\xc7\x05\x20\x00\x00\x00\x01\x02\x03\x04"); /* counts the immediate */
	DEMAND(linear(&insn, &regs, &asked) == 0x1a);
	insn = DECODE(M64, "\x67\xa1\x00\x00\x00\xfe"); /* moffs is not sign-extended */
	DEMAND(linear(&insn, &regs, &asked) == 0xfe000000);

	insn = DECODE(M32, "\x8b\x03"); /* DS base, 32-bit wrap */
	DEMAND(linear(&insn, &regs, &asked) == 0x80031000 && asked == 1u << INSN_DS);
	insn = DECODE(M32, "\x8b\x45\xff"); /* SS for EBP */
	DEMAND(linear(&insn, &regs, &asked) == 0x55555555 - 1 + 0x20000);
	DEMAND(asked == 1u << INSN_SS);
	insn = DECODE(M32, "\x67\x8b\x40\x7f"); /* [bx + si + 0x7f], 16 bits */
	DEMAND(linear(&insn, &regs, &asked) == 0x30000 + 0x907f);
	insn = DECODE(M16, "\x8a\x40\xff"); /* 1000 + 8000 - 1 */
	DEMAND(linear(&insn, &regs, &asked) == 0x30000 + 0x8fff);

	insn = DECODE(M32, "\x26\xa4"); /* MOVS ES:EDI, ES:ESI by override */
	DEMAND(insn_offset(&insn, &insn.dst, &regs) == 0xffffffff);
	DEMAND(insn_offset(&insn, &insn.src, &regs) == 0x12348000);
	DEMAND(linear(&insn, &regs, &asked) == 0xffffffff && asked == 1u << INSN_ES);
}

/* ---- registers --------------------------------------------------------- */

static void registers(void)
{
	struct insn_regs regs = {.rip = 0xfffffffe};
	struct insn insn;

	regs.gpr[0] = 0x1122334455667788;
	insn = DECODE(M64, "\xed"); /* 32-bit result clears the upper half */
	insn_write_gpr(&regs, &insn.dst, 0xaaaaaaaabbccddee);
	DEMAND(regs.gpr[0] == 0xbbccddee);
	regs.gpr[0] = 0x1122334455667788;
	insn = DECODE(M64, "\x66\xed");
	insn_write_gpr(&regs, &insn.dst, 0xbbccddee);
	DEMAND(regs.gpr[0] == 0x112233445566ddee);
	insn = DECODE(M64, "\xec");
	insn_write_gpr(&regs, &insn.dst, 0x99);
	DEMAND(regs.gpr[0] == 0x112233445566dd99);
	insn = DECODE(M64, "\x8a\x23"); /* AH */
	DEMAND(insn_read_gpr(&regs, &insn.dst) == 0xdd);
	insn_write_gpr(&regs, &insn.dst, 0x101);
	DEMAND(regs.gpr[0] == 0x1122334455660199);
	insn = DECODE(M64, "\x4c\x8b\x3b"); /* R15 */
	insn_write_gpr(&regs, &insn.dst, ~0ull);
	DEMAND(regs.gpr[15] == ~0ull);
	insn_write_gpr(&regs, &insn.src, 1); /* memory: nothing happens */

	insn = DECODE(M64, "\x48\xc7\x03\xff\xff\xff\xff");
	DEMAND(insn_immediate(&insn) == ~0ull);
	insn = DECODE(M64, "\x66\x83\x03\xff");
	DEMAND(insn_immediate(&insn) == 0xffff);

	insn = DECODE(M64, "\x48\x0f\xbe\x03");
	DEMAND(insn_extend_value(&insn, 0xff80) == 0xffffffffffffff80);
	insn = DECODE(M64, "\x0f\xbf\x03");
	DEMAND(insn_extend_value(&insn, 0x8000) == 0xffff8000);
	DEMAND(insn_extend_value(&insn, 0x17fff) == 0x7fff);
	insn = DECODE(M64, "\x0f\xb6\x03");
	DEMAND(insn_extend_value(&insn, 0x1ff) == 0xff);
	insn = DECODE(M64, "\x8b\x03");
	DEMAND(insn_extend_value(&insn, ~0ull) == 0xffffffff);

	insn = DECODE(M32, "\x0f\xa2");
	DEMAND(insn_next_rip(&insn, &regs) == 0);
	insn = DECODE(M64, "\x0f\xa2");
	DEMAND(insn_next_rip(&insn, &regs) == 0x100000000);
}

static void strings(void)
{
	struct insn_regs regs = {.rip = 0};
	struct insn insn;

	regs.gpr[INSN_RCX] = 0xffffffff00010003;
	regs.gpr[INSN_RSI] = 0xffffffff0001fffe;
	regs.gpr[INSN_RDI] = 0x1000;

	insn = DECODE(M16, "\xf3\x6f"); /* outsw, SI wraps at 16 bits */
	DEMAND(insn_count(&insn, &regs) == 3);
	insn_string_step(&insn, &regs, 2, false);
	DEMAND(regs.gpr[INSN_RSI] == 0xffffffff00010002);
	DEMAND(regs.gpr[INSN_RCX] == 0xffffffff00010001);
	DEMAND(regs.gpr[INSN_RDI] == 0x1000);

	insn = DECODE(M64, "\xf3\x67\x6d"); /* insd, EDI and ECX, downwards */
	DEMAND(insn_count(&insn, &regs) == 0x10001);
	insn_string_step(&insn, &regs, 1, true);
	DEMAND(regs.gpr[INSN_RDI] == 0xffc && regs.gpr[INSN_RCX] == 0x10000);
	DEMAND(regs.gpr[INSN_RSI] == 0xffffffff00010002);

	regs.gpr[INSN_RCX] = 0xffffffff00000000;
	DEMAND(insn_count(&insn, &regs) == 0);
	insn_string_step(&insn, &regs, 0, false);
	DEMAND(regs.gpr[INSN_RCX] == 0xffffffff00000000);

	insn = DECODE(M64, "\x48\xa5"); /* movsq without REP leaves RCX alone */
	DEMAND(insn_count(&insn, &regs) == 1);
	insn_string_step(&insn, &regs, 1, false);
	DEMAND(regs.gpr[INSN_RDI] == 0x1004 && regs.gpr[INSN_RSI] == 0xffffffff0001000a);
	DEMAND(regs.gpr[INSN_RCX] == 0xffffffff00000000);
}

/* ---- IOIO -------------------------------------------------------------- */

static uint64_t exit_info(struct insn insn)
{
	uint64_t info = 0;

	DEMAND(ioio_exit_info(&insn, 0x3f8, &info));
	DEMAND(ioio_well_formed(info));
	return info;
}

static void ioio(void)
{
	uint64_t info;
	struct insn insn;

	DEMAND(exit_info(DECODE(M64, "\xee")) == 0x03f80210);
	DEMAND(exit_info(DECODE(M64, "\x66\xef")) == 0x03f80220);
	DEMAND(exit_info(DECODE(M64, "\xef")) == 0x03f80240);
	DEMAND(exit_info(DECODE(M64, "\x48\xed")) == 0x03f80241);
	DEMAND(exit_info(DECODE(M64, "\xe4\xf4")) == 0x00f40211);
	DEMAND(exit_info(DECODE(M64, "\xf3\xec")) == 0x03f80211); /* REP ignored */
	DEMAND(exit_info(DECODE(M32, "\xee")) == 0x03f80110);
	DEMAND(exit_info(DECODE(M16, "\xef")) == 0x03f800a0);
	DEMAND(exit_info(DECODE(M64, "\x6c")) == 0x03f80215);	      /* ES */
	DEMAND(exit_info(DECODE(M64, "\xf3\x66\x6d")) == 0x03f8022d); /* ES, REP */
	DEMAND(exit_info(DECODE(M64, "\x6e")) == 0x03f80e14);	      /* DS */
	DEMAND(exit_info(DECODE(M64, "\x65\xf2\x6f")) == 0x03f8164c); /* GS, REPNE */
	DEMAND(exit_info(DECODE(M64, "\x2e\x6e")) == 0x03f80e14);     /* CS ignored */
	DEMAND(exit_info(DECODE(M32, "\x2e\x67\x6e")) == 0x03f80494); /* CS, 16-bit */

	insn = DECODE(M64, "\x0f\xa2");
	DEMAND(!ioio_exit_info(&insn, 0, &info));
	DEMAND(ioio_port(0x03f80210) == 0x3f8 && ioio_size(0x03f80240) == 4);
	DEMAND(!ioio_well_formed(0x03f80200) && !ioio_well_formed(0x03f80230));
	DEMAND(!ioio_well_formed(0x03f80010) && !ioio_well_formed(0x03f80212));
	DEMAND(!ioio_well_formed(0x03f80218) && !ioio_well_formed(0x03f81a14));
	DEMAND(!ioio_well_formed(0x1000003f80210));
}

int main(void)
{
	exit_codes();
	addresses();
	registers();
	strings();
	ioio();
	printf("5 groups, 0 wrong\n");
	return 0;
}
