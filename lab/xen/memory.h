/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's memory, seen from dom0: its image, a byte of it, and how Xen forgets what it has mapped. */
#ifndef XEN_MEMORY_H
#define XEN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX (512ul << 10)

void memory_start(void);
/* Puts the image at the top of 4 GiB, with `words` in its argument block. */
void memory_set_image(const uint8_t *image, size_t bytes, const char *words);
/* A byte of RAM, NULL where there is none; good until the next call. */
uint8_t *guest_byte(uint64_t address);
/* Makes one page cold, or all of them. */
void forget_page(uint64_t number);
void forget_all(void);

#endif
