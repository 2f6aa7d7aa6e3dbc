/* SPDX-License-Identifier: BSD-2-Clause */
/* What lab/host/memory/rmp.c stands on, where a test is not about it. */
#ifndef TESTS_HOST_RMP_GROUND_H
#define TESTS_HOST_RMP_GROUND_H

#include "base/cpu.h"
#include "memory/identity.h"
#include "memory/memory.h"
#include "memory/shadow.h"
#include "memory/views.h"

struct cpu cpu0;

void identity_give(uint64_t at, bool writable)
{
	(void)at;
	(void)writable;
}

void shadow_forget(uint64_t frame)
{
	(void)frame;
}

unsigned views_owner(uint64_t at)
{
	(void)at;
	return 0;
}

bool memory_is_l1s(uint64_t at, uint64_t bytes)
{
	(void)at;
	(void)bytes;
	return true;
}

#endif
