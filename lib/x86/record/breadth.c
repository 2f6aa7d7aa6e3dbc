/* SPDX-License-Identifier: BSD-2-Clause */
#include "breadth.h"

#include "x86/boot/args.h"

/* Every bit of `word`, but for those that lie outside of it. */
#define BIT(word, vector) ((vector) / 32 == (word) ? 1u << (vector) % 32 : 0)

/*
 * Exceptions whose gates a case treats apart, or that push an error code, with their neighbours; the ends
 * of class 1, which reserved vectors make; INT 80; the ends of the words of IRR; the last class that has one
 * above it. And of each class from 2 on the vector on the diagonal, 0x22, 0x33 … 0xff: all lower halves,
 * all upper ones.
 */
#define SINGLE(word)                                                                               \
	(BIT(word, 0x00) | BIT(word, 0x01) | BIT(word, 0x02) | BIT(word, 0x03) | BIT(word, 0x08) | \
	 BIT(word, 0x0a) | BIT(word, 0x0b) | BIT(word, 0x0c) | BIT(word, 0x0d) | BIT(word, 0x0e) | \
	 BIT(word, 0x0f) | BIT(word, 0x10) | BIT(word, 0x11) | BIT(word, 0x15) | BIT(word, 0x1e) | \
	 BIT(word, 0x1f) | BIT(word, 0x20) | BIT(word, 0x3f) | BIT(word, 0x40) | BIT(word, 0x7f) | \
	 BIT(word, 0x80) | BIT(word, 0xef) | BIT(word, 0xf0))
#define DIAGONAL(class) (1u << ((class) + ((class) % 2) * 16))
#define WORD(word) (SINGLE(word) | ((word) ? DIAGONAL(2 * (word)) | DIAGONAL(2 * (word) + 1) : 0))

static const uint32_t edges[8] = {WORD(0), WORD(1), WORD(2), WORD(3),
				  WORD(4), WORD(5), WORD(6), WORD(7)};

uint32_t vectors_due(unsigned word)
{
	return args.edges_only ? edges[word] : 0xffffffff;
}

unsigned vector_due_from(unsigned vector)
{
	while (vector < 256 && !vector_is_due(vector))
		vector++;
	return vector;
}

unsigned repetitions_due(unsigned all)
{
	return args.edges_only && all > 10 ? all / 10 : all;
}
