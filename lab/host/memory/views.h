/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory encryption without encrypting each access. On hardware a frame of memory reads as what was written with the
 * same key, and as noise with another one or none: there are as many views of it as keys. Here a frame holds, at any
 * time, what one of its views shows: the raw one (of L1, of the Secure Processor's buffers, and of an L2 that leaves
 * the C-bit clear) or the private one of a key. The private view is the raw one XOR a stream made of key and frame,
 * so a frame that is touched through another view than its own is rewritten once: it changes hands. For that to be
 * noticed, L1's tables lack the frames that are private at the moment (identity.h), and so do the tables that each
 * L2 really runs on (shadow.h) for all views but the frame's own.
 *
 * It is no cryptography. It makes whoever confuses private and shared memory read garbage, as they would on a CPU.
 * APM 2, "Secure Encrypted Virtualization".
 */
#ifndef HOST_VIEWS_H
#define HOST_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

/* Of the arena, for so many frames; and what it has to have besides. */
uint64_t views_bytes(uint64_t frames);
#define ARENA_BESIDES (1ul << 20)

void views_init(void);

/* A new key for an ASID, as ACTIVATE installs one; and the key that it has, 0 for none. */
void views_new_key(unsigned asid);
unsigned views_key(unsigned asid);

/* From now on the frame at an address shows this view: 0 for the raw one. */
void views_show(uint64_t at, unsigned key);

/* What firmware encrypts where it lies: the raw contents become the private ones. `bytes` is not 0. */
void views_encrypt(uint64_t at, uint64_t bytes, unsigned key);

/* A nested page fault of L1: true if the frame was private, and is L1's now. */
bool views_take_back(uint64_t at);

/* Whose view the frame shows. */
unsigned views_owner(uint64_t at);

#endif
