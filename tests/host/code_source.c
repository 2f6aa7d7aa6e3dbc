/* SPDX-License-Identifier: BSD-2-Clause */
#include "code_source.h"

#include <string.h>

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state += 0x9e3779b97f4a7c15;
	uint64_t x = random_state;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static const uint8_t prefix_bytes[] = {
	0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e,
	0x64, 0x65, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f,
};
#define PREFIXES (sizeof(prefix_bytes))

/* Opcodes of which every ModRM byte is tried with every prefix sequence. */
static bool is_claimed_opcode(bool two_bytes, unsigned int n)
{
	static const uint8_t one[] = {
		0x63, 0x6c, 0x6d, 0x6e, 0x6f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
		0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xc6,
		0xc7, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xf4, 0xf6, 0xf7, 0xfe, 0xff,
	};
	static const uint8_t two[] = {
		0x01, 0x08, 0x09, 0x21, 0x23, 0x30, 0x31, 0x32, 0x33, 0xa2,
		0xaa, 0xb0, 0xb1, 0xb6, 0xb7, 0xbe, 0xbf, 0xc0, 0xc1,
	};

	if (two_bytes)
		return memchr(two, n, sizeof(two));
	return (n < 0x40 && (n & 7) < 4) || memchr(one, n, sizeof(one));
}

/* Which of the two follow an opcode does not matter: unused bytes are ignored. */
static void after_prefixes(uint8_t *bytes, size_t n, enum insn_mode mode, bool sib,
			   code_check *check)
{
	static const uint8_t tail[] = {0x25, 0x81, 0xf0, 0x7f, 0x80, 0x01, 0xfe, 0x92, 0x44};

	for (unsigned int op = 0; op < 512; op++) {
		size_t at = n;
		bool claimed = is_claimed_opcode(op >= 256, op & 255);

		if (op >= 256)
			bytes[at++] = 0x0f;
		bytes[at++] = op;
		memcpy(bytes + at + 1, tail, sizeof(tail));
		for (unsigned int modrm = 0; modrm < 256; modrm += claimed ? 1 : 37) {
			bytes[at] = modrm;
			bytes[at + 1] = tail[0];
			check(bytes, at + 1 + sizeof(tail), mode);
			if (!sib || !claimed || modrm >= 0xc0 || (modrm & 7) != 4)
				continue;
			for (unsigned int byte = 0; byte < 256; byte++) {
				bytes[at + 1] = byte;
				check(bytes, at + 1 + sizeof(tail), mode);
			}
		}
	}
}

void code_systematic(code_check *check)
{
	uint8_t bytes[32];

	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		size_t prefixes = mode == INSN_MODE_64 ? PREFIXES : PREFIXES - 6;

		after_prefixes(bytes, 0, mode, true, check);
		for (size_t a = 0; a < prefixes; a++) {
			bytes[0] = prefix_bytes[a];
			after_prefixes(bytes, 1, mode, true, check);
			for (size_t b = 0; b < prefixes; b++) {
				bytes[1] = prefix_bytes[b];
				after_prefixes(bytes, 2, mode, false, check);
			}
		}
	}
}

/* Up to 13 prefixes and an opcode that is likely one of ours. */
static size_t likely(uint8_t *bytes)
{
	uint64_t r = next_random();
	size_t n = r % 7 == 0 ? (r >> 8) % 14 : (r >> 8) % 4, at = 0;

	while (at < n)
		bytes[at++] = prefix_bytes[next_random() % PREFIXES];
	if (r >> 16 & 1)
		bytes[at++] = 0x0f;
	for (int tries = 0; tries < 8; tries++) {
		bytes[at] = next_random();
		if (is_claimed_opcode(at > n, bytes[at]))
			break;
	}
	at++;
	for (; at < 24; at++)
		bytes[at] = next_random();
	return next_random() % 17;
}

void code_random(uint64_t seed, unsigned long n, code_check *check)
{
	uint8_t bytes[32];
	size_t count;

	random_state = seed;
	for (unsigned long i = 0; i < n; i++) {
		enum insn_mode mode = i % 3;

		if (i & 4) {
			count = likely(bytes);
		} else {
			for (int k = 0; k < 16; k += 8) {
				uint64_t r = next_random();

				memcpy(bytes + k, &r, 8);
			}
			count = next_random() % 17;
		}
		/* Mostly whole instructions, a quarter cut somewhere. */
		if (i % 4)
			count = 16;
		check(bytes, count, mode);
	}
}
