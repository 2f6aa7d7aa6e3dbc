/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include "snippet.h"

#include <stddef.h>

SNIPPET(write_and_read_msr, "wrmsr; rdmsr");

bool msr_takes(uint32_t msr, uint64_t bits)
{
	struct regs regs = {.rcx = msr, .rax = (uint32_t)bits, .rdx = bits >> 32};

	if (probe_snippet(&write_and_read_msr, &regs, NULL))
		return false;
	return ((regs.rdx << 32 | (uint32_t)regs.rax) & bits) == bits;
}
