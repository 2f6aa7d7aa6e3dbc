/* SPDX-License-Identifier: BSD-2-Clause */
/* Code to decode: every opcode that the decoder claims under combined prefixes, and random bytes. */
#ifndef TESTS_HOST_CODE_SOURCE_H
#define TESTS_HOST_CODE_SOURCE_H

#include "x86/insn/decode.h"

/* Takes `count` bytes of code of that mode. */
typedef void code_check(const uint8_t *bytes, size_t count, enum insn_mode mode);

/**
 * code_systematic - every opcode with every ModRM byte, after up to two prefixes, in all modes
 * @check: gets each; opcodes that the decoder does not claim come with a few ModRM bytes alone, SIB
 *         bytes after at most one prefix
 */
void code_systematic(code_check *check);

/**
 * code_random - random strings, half of them random throughout, half likely to be instructions
 * @seed:  the same seed gives the same strings
 * @n:     how many
 * @check: gets each; a quarter of them is cut somewhere
 */
void code_random(uint64_t seed, unsigned long n, code_check *check);

#endif
