/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include "snippet.h"

#include <stddef.h>

SNIPPET(write_and_read_msr, "wrmsr; rdmsr");
SNIPPET(only_read_msr, "rdmsr");

static bool probe(const struct snippet *snippet, struct regs *regs, uint64_t *value)
{
	if (probe_snippet(snippet, regs, NULL))
		return false;
	*value = regs->rdx << 32 | (uint32_t)regs->rax;
	return true;
}

bool msr_takes(uint32_t msr, uint64_t bits)
{
	struct regs regs = {.rcx = msr, .rax = (uint32_t)bits, .rdx = bits >> 32};
	uint64_t value;

	return probe(&write_and_read_msr, &regs, &value) && (value & bits) == bits;
}

bool msr_read_safely(uint32_t msr, uint64_t *value)
{
	struct regs regs = {.rcx = msr};

	return probe(&only_read_msr, &regs, value);
}
