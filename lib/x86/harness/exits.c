/* SPDX-License-Identifier: BSD-2-Clause */
#include "exits.h"

#include "cold.h"
#include "testcase.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"

#define PATTERN 0x5a

static void prepare_cpuid(void)
{
	setup.regs.rax = 0;
}

static bool did_cpuid(void)
{
	struct cpuid r = cpuid(0, 0);

	return (uint32_t)setup.result.rax == r.a && (uint32_t)setup.result.rbx == r.b &&
	       (uint32_t)setup.result.rcx == r.c && (uint32_t)setup.result.rdx == r.d;
}

static void prepare_in(void)
{
	outb(SCRATCH_PORT, PATTERN);
	setup.regs.rax = 0;
	setup.regs.rdx = SCRATCH_PORT;
}

static bool did_in(void)
{
	return setup.result.rax == PATTERN;
}

static void prepare_out(void)
{
	outb(SCRATCH_PORT, (uint8_t)~PATTERN);
	setup.regs.rax = PATTERN;
	setup.regs.rdx = SCRATCH_PORT;
}

static bool did_out(void)
{
	return inb(SCRATCH_PORT) == PATTERN;
}

static void prepare_rdmsr(void)
{
	setup.regs.rcx = MSR_APIC_BASE;
	setup.regs.rax = setup.regs.rdx = ~0ul;
}

/* Writes what stands there already. */
static void prepare_wrmsr(void)
{
	uint64_t value = rdmsr(MSR_APIC_BASE);

	setup.regs.rcx = MSR_APIC_BASE;
	setup.regs.rax = (uint32_t)value;
	setup.regs.rdx = value >> 32;
}

static bool did_msr(void)
{
	return (setup.result.rdx << 32 | (uint32_t)setup.result.rax) == rdmsr(MSR_APIC_BASE);
}

static void prepare_cr8(void)
{
	setup.regs.rax = 0;
}

static volatile uint32_t *mmio(uint64_t address)
{
	return (volatile uint32_t *)address;
}

static void prepare_mmio_read(void)
{
	*mmio(IOAPIC_INDEX) = IOAPIC_VERSION;
	setup.regs.rdi = IOAPIC_DATA;
	setup.regs.rax = 0;
	witness(*mmio(IOAPIC_DATA) != ~0u, "there is no IOAPIC at %#lx", IOAPIC_INDEX);
}

static bool did_mmio_read(void)
{
	return (uint32_t)setup.result.rax == *mmio(IOAPIC_DATA);
}

static void prepare_mmio_write(void)
{
	*mmio(IOAPIC_INDEX) = 0;
	setup.regs.rdi = IOAPIC_INDEX;
	setup.regs.rax = IOAPIC_VERSION;
}

static bool did_mmio_write(void)
{
	return *mmio(IOAPIC_INDEX) == IOAPIC_VERSION;
}

static void prepare_cold(void)
{
	cold_window_page(0);
	setup.regs.rdi = WINDOW;
	setup.regs.rax = PATTERN;
}

static bool did_cold_read(void)
{
	return (uint32_t)setup.result.rax == *mmio(WINDOW);
}

static bool did_cold_write(void)
{
	return *mmio(WINDOW) == PATTERN;
}

const struct exiting exiting_plain = {NULL, NULL};
const struct exiting exiting_cpuid = {prepare_cpuid, did_cpuid};
const struct exiting exiting_in = {prepare_in, did_in};
const struct exiting exiting_out = {prepare_out, did_out};
const struct exiting exiting_rdmsr = {prepare_rdmsr, did_msr};
const struct exiting exiting_wrmsr = {prepare_wrmsr, did_msr};
const struct exiting exiting_cr8 = {prepare_cr8, NULL};
const struct exiting exiting_mmio_read = {prepare_mmio_read, did_mmio_read};
const struct exiting exiting_mmio_write = {prepare_mmio_write, did_mmio_write};
const struct exiting exiting_cold_read = {prepare_cold, did_cold_read};
const struct exiting exiting_cold_write = {prepare_cold, did_cold_write};

void exiting_prepare(const struct exiting *e)
{
	if (e->prepare)
		e->prepare();
}

void exiting_judge(const struct exiting *e)
{
	if (e->did_work)
		check(e->did_work(), "the instruction that exits did not do its work");
}
