/* SPDX-License-Identifier: BSD-2-Clause */
#include "percpu.h"

#include "cpu.h"

#include "panic.h"

struct percpu percpu[MAX_CPUS];

static void (*parts[PERCPU_PARTS])(unsigned index);
static unsigned parts_used;

/* boot/start.S begins on the first. */
uint8_t cpu_stacks[MAX_CPUS][STACK_KINDS][STACK_BYTES]
	__attribute__((section(".noinit"), aligned(4096)));

uint64_t stack_top(unsigned index, enum stack kind)
{
	return (uint64_t)cpu_stacks[index][kind] + STACK_BYTES;
}

void percpu_at_start(void (*part)(unsigned index))
{
	if (parts_used == PERCPU_PARTS)
		panic("too many parts of a CPU");
	parts[parts_used++] = part;
}

void percpu_init(unsigned index)
{
	struct percpu *cpu = &percpu[index];

	cpu->self = cpu;
	cpu->index = index;
	wrmsr(MSR_GS_BASE, (uint64_t)cpu);
	for (unsigned i = 0; i < parts_used; i++)
		parts[i](index);
	desc_reset(&cpu->descriptors, stack_top(index, STACK_EVENTS));
}
