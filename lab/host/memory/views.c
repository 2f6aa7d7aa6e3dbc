/* SPDX-License-Identifier: BSD-2-Clause */
#include "views.h"

#include "base/options.h"
#include "base/sev_cpuid.h"
#include "boot.h"
#include "identity.h"
#include "rmp.h"
#include "shadow.h"

/* Any odd numbers without a pattern will do (they are those of splitmix64 and of a well-known linear generator). */
#define BY_FRAME 0x9e3779b97f4a7c15ul
#define BY_KEY 0xd1b54a32d192ed03ul
#define STEP 0x5851f42d4c957f2dul
#define ADD 0x14057b7ef767814ful

static uint16_t *owner; /* by frame: 0 raw, else a key */
static uint64_t frames;
static uint16_t keys[SEV_ASIDS + 1], last_key;

uint64_t views_bytes(uint64_t n)
{
	return n * sizeof(owner[0]) + shadow_bytes(n);
}

void views_init(void)
{
	frames = boot_memory_end() / PAGE;
	owner = arena_take(frames * sizeof(owner[0]));
}

void views_new_key(unsigned asid)
{
	if (asid > SEV_ASIDS)
		return;
	if (!++last_key)
		last_key = 1;
	keys[asid] = last_key;
}

unsigned views_key(unsigned asid)
{
	return features.views && asid <= SEV_ASIDS ? keys[asid] : 0;
}

unsigned views_owner(uint64_t at)
{
	return at / PAGE < frames ? owner[at / PAGE] : 0;
}

static void apply(uint64_t frame, unsigned key)
{
	uint64_t *word = (uint64_t *)(frame * PAGE);
	uint64_t k = (frame + 1) * BY_FRAME ^ key * BY_KEY;

	for (unsigned i = 0; i < PAGE / 8; i++) {
		k = k * STEP + ADD;
		word[i] ^= k;
	}
}

/* `as_it_is`: the contents are those of the new view already. */
static void change(uint64_t frame, unsigned key, bool as_it_is)
{
	unsigned from = owner[frame];

	if (from == key)
		return;
	shadow_forget(frame);
	if (!as_it_is) {
		cpu0.count.flips++;
		if (from)
			apply(frame, from);
		if (key)
			apply(frame, key);
	}
	owner[frame] = key;
	if (!key)
		identity_give(frame * PAGE, rmp_allows_shared_write(frame * PAGE));
	else if (!from)
		identity_unmap(frame * PAGE);
}

void views_show(uint64_t at, unsigned key)
{
	if (features.views && at / PAGE < frames)
		change(at / PAGE, key, false);
}

void views_encrypt(uint64_t at, uint64_t bytes, unsigned key)
{
	for (uint64_t frame = at / PAGE; features.views && frame <= (at + bytes - 1) / PAGE;
	     frame++) {
		change(frame, 0, false);
		change(frame, key, true);
	}
}

bool views_take_back(uint64_t at)
{
	if (!views_owner(at))
		return false;
	cpu0.count.taken_back++;
	change(at / PAGE, 0, false);
	return true;
}
