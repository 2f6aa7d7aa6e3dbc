/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's image, as far as a VMM has to know it (docs/contract.md, "Arguments"). */
#ifndef COMMON_IMAGE_H
#define COMMON_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* Writes `words` into the argument block of the image, if there is one. */
void image_set_words(uint8_t *image, size_t bytes, const char *words);

#endif
