/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lab/host/memory stands on in a test of it: 64 MiB of "physical" memory at a fixed address of this process, as the
 * code under test takes an address for a pointer, the monitor's part at their end, and which pages L1 has been denied.
 */
#ifndef TESTS_HOST_MEMORY_GROUND_H
#define TESTS_HOST_MEMORY_GROUND_H

#include "base/cpu.h"
#include "base/log.h"
#include "demand.h"
#include "memory/boot.h"
#include "memory/identity.h"
#include "memory/memory.h"
#include "memory/shadow.h"

#define BASE 0x10000000ul
#define BYTES 0x4000000ul
#define MONITOR (BASE + 0x3000000)
#define FRAMES ((BASE + BYTES) / PAGE)

bool tracing;
struct cpu cpu0;
struct range boot_reserved[BOOT_RANGES];

static uint64_t arena = MONITOR;
/* Where the memory begins that is not L1's. */
static uint64_t reserved_from = MONITOR;
static bool l1_lacks[FRAMES], l1_reads[FRAMES];
static unsigned checks;

#define CHECK(x)           \
	do {               \
		DEMAND(x); \
		checks++;  \
	} while (0)

void say(const char *format, ...)
{
	(void)format;
}

uint64_t boot_memory_end(void)
{
	return BASE + BYTES;
}

bool boot_is_reserved(uint64_t at, uint64_t bytes)
{
	return at + bytes > reserved_from && at < BASE + BYTES;
}

void *arena_take(uint64_t bytes)
{
	void *at = (void *)arena;

	arena += (bytes + PAGE - 1) & ~(PAGE - 1);
	DEMAND(arena <= BASE + BYTES);
	return at;
}

void identity_give(uint64_t at, bool writable)
{
	l1_lacks[at / PAGE] = false;
	l1_reads[at / PAGE] = !writable;
}

void identity_unmap(uint64_t at)
{
	l1_lacks[at / PAGE] = true;
}

unsigned code_bits(const struct vmcb *b)
{
	(void)b;
	return 64;
}

#endif
