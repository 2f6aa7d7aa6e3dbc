/* SPDX-License-Identifier: BSD-2-Clause */
#include "percpu.h"

#include "cpu.h"
#include "x86/sev/sev.h"

struct percpu percpu[MAX_CPUS];

static struct trace traces[MAX_CPUS] __attribute__((section(".noinit")));
/* boot/start.S begins on the first. */
uint8_t cpu_stacks[MAX_CPUS][STACK_KINDS][STACK_BYTES]
	__attribute__((section(".noinit"), aligned(4096)));

uint64_t stack_top(unsigned index, enum stack kind)
{
	return (uint64_t)cpu_stacks[index][kind] + STACK_BYTES;
}

void percpu_init(unsigned index)
{
	struct percpu *cpu = &percpu[index];

	cpu->self = cpu;
	cpu->index = index;
	cpu->run = (struct run){0}; /* that of before an INIT */
	cpu->trace = &traces[index];
	cpu->trace->delivered = 0;
	trace_reset(cpu->trace);
	wrmsr(MSR_GS_BASE, (uint64_t)cpu);
	sev_init_cpu(index);
	desc_reset(&cpu->descriptors, stack_top(index, STACK_EVENTS));
}
