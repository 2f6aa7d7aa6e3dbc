/* SPDX-License-Identifier: BSD-2-Clause */
#include "image.h"

#include <stdio.h>
#include <string.h>

#define MAGIC "TRAPLINE-ARGS-1\n"
#define MAGIC_BYTES (sizeof(MAGIC) - 1)
#define BLOCK_BYTES 4096

void image_set_words(uint8_t *image, size_t bytes, const char *words)
{
	/* The first byte alone passes over all but a few places. */
	for (size_t at = 0; at + BLOCK_BYTES <= bytes; at++) {
		if (image[at] != MAGIC[0] || memcmp(image + at, MAGIC, MAGIC_BYTES))
			continue;
		snprintf((char *)image + at + MAGIC_BYTES, BLOCK_BYTES - MAGIC_BYTES, "%s", words);
		return;
	}
}
