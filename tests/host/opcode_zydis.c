/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lengths that the monitor of the SEV host takes instructions to have (lab/host/base/opcode.c) against Zydis, an
 * independent disassembler: each opcode of four maps under combined prefixes, ModRM and SIB bytes in three modes.
 * Where Zydis knows an instruction in the legacy encoding, both must agree; what it does not know raises #UD, before
 * any intercept.
 */
#include "base/opcode.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

static unsigned long compared, wrong;

/* Only VIA's processors have these. */
static bool is_padlock(const ZydisDecodedInstruction *zi)
{
	return zi->opcode_map == ZYDIS_OPCODE_MAP_0F && (zi->opcode == 0xa6 || zi->opcode == 0xa7);
}

static void compare(const ZydisDecoder *decoder, const uint8_t *bytes, unsigned bits)
{
	ZydisDecodedInstruction zi;
	struct opcode o = {0};
	bool ours;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, bytes, 15, &zi)) ||
	    zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || is_padlock(&zi))
		return;
	compared++;
	ours = opcode_at(&o, bytes, 15, bits);
	if (ours && o.length == zi.length)
		return;
	if (wrong++ < 20) {
		printf("%u bits:", bits);
		for (unsigned i = 0; i < 15; i++)
			printf(" %02x", bytes[i]);
		printf(": %s, %u bytes, Zydis %u (%s)\n", ours ? "known" : "unknown", o.length,
		       zi.length, ZydisMnemonicGetString(zi.mnemonic));
	}
}

static void all_of(const ZydisDecoder *decoder, unsigned bits)
{
	static const uint8_t prefixes[][3] = {{0},    {0x66},	    {0x67},
					      {0xf3}, {0xf2},	    {0x66, 0x67},
					      {0x2e}, {0x48},	    {0x66, 0x48},
					      {0x4f}, {0x48, 0x66}, {0xf0, 0x64}};
	static const uint8_t maps[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
	static const uint8_t sibs[] = {0x00, 0x25, 0x65, 0xa4};

	for (unsigned p = 0; p < sizeof(prefixes) / 3; p++)
		for (unsigned m = 0; m < 4; m++)
			for (unsigned opcode = 0; opcode < 256; opcode++)
				for (unsigned modrm = 0; modrm < 256; modrm++)
					for (unsigned s = 0; s < sizeof(sibs); s++) {
						uint8_t bytes[16] = {0};
						unsigned n = 0;

						for (unsigned i = 0; i < 3 && prefixes[p][i]; i++)
							bytes[n++] = prefixes[p][i];
						for (unsigned i = 0; i < m && i < 2; i++)
							bytes[n++] = maps[m][i];
						bytes[n++] = opcode;
						bytes[n++] = modrm;
						bytes[n++] = sibs[s];
						compare(decoder, bytes, bits);
					}
}

int main(void)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth width;
		unsigned bits;
	} modes[] = {
		{ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, 16},
		{ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, 32},
		{ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, 64},
	};

	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoder decoder;

		ZydisDecoderInit(&decoder, modes[i].mode, modes[i].width);
		ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
		all_of(&decoder, modes[i].bits);
	}
	printf("%lu lengths, %lu wrong\n", compared, wrong);
	return wrong != 0;
}
