/* SPDX-License-Identifier: BSD-2-Clause */
#include "apic.h"

#include "x86/cpu/bus.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/cpu/wait.h"

#include "panic.h"

#define XAPIC_PAGE 0xfee00000ul
#define X2APIC_MSR 0x800

static bool in_use, is_gone;

bool apic_in_use(void)
{
	return in_use;
}

void apic_is_gone(void)
{
	is_gone = true;
	in_use = false;
}

bool apic_is_x2(void)
{
	return this_cpu()->x2apic;
}

void apic_use_x2(void)
{
	/* The mode gives the CPU another logical id; this one must not pass for it. */
	if (!apic_is_x2())
		apic_write(APIC_LDR, 0);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2);
	this_cpu()->x2apic = true;
	this_cpu()->apic_id = apic_id();
}

uint32_t apic_read(unsigned reg)
{
	if (apic_is_x2())
		return rdmsr(X2APIC_MSR + reg / 16);
	return bus_read32(XAPIC_PAGE + reg);
}

/* What was last written to the timer's registers; firmware may have left anything in them. */
static uint32_t timer_entry, timer_initial;

bool apic_timer_is_set(void)
{
	return timer_entry != APIC_MASKED || timer_initial;
}

void apic_write(unsigned reg, uint32_t value)
{
	if (reg == APIC_LVT_TIMER)
		timer_entry = value;
	if (reg == APIC_TIMER_INITIAL)
		timer_initial = value;
	if (apic_is_x2())
		wrmsr(X2APIC_MSR + reg / 16, value);
	else
		bus_write32(XAPIC_PAGE + reg, value);
}

uint32_t apic_id(void)
{
	return apic_is_x2() ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

uint32_t apic_logical_id(unsigned cpu)
{
	uint32_t id = percpu[cpu].apic_id;

	return apic_is_x2() ? (id >> 4) << 16 | 1u << (id & 15) : 1u << cpu;
}

uint32_t apic_everybody(void)
{
	return apic_is_x2() ? 0xffffffff : 0xff;
}

void apic_icr(uint32_t destination, uint32_t command)
{
	if (apic_is_x2()) {
		wrmsr(X2APIC_MSR + APIC_ICR / 16, (uint64_t)destination << 32 | command);
		return;
	}
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR, command);
	if (apic_read(APIC_ICR) & ICR_PENDING && !wait_until(!(apic_read(APIC_ICR) & ICR_PENDING)))
		panic("the ICR says that %#x was not sent", command);
}

bool apic_bit(unsigned reg, unsigned vector)
{
	return apic_read(reg + vector / 32 * 16) >> vector % 32 & 1;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_keep_spurious_off(unsigned vector)
{
	apic_write(APIC_SPURIOUS,
		   APIC_SOFTWARE_ENABLE | (vector < 0xe0 ? APIC_SPURIOUS_VECTOR : 0x40));
}

uint32_t apic_esr(void)
{
	apic_write(APIC_ESR, 0);
	return apic_read(APIC_ESR);
}

void apic_esr_clear(void)
{
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
}

void apic_enable(unsigned index)
{
	in_use = !is_gone;
	apic_write(APIC_TPR, 0);
	if (!apic_is_x2()) {
		apic_write(APIC_DFR, 0xffffffff);
		apic_write(APIC_LDR, index < 8 ? 1u << (24 + index) : 0);
	}
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | APIC_SPURIOUS_VECTOR);
}
