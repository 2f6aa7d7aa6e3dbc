/* SPDX-License-Identifier: BSD-2-Clause */
#include "pending.h"

#include "snippet.h"
#include "testcase.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/wait.h"
#include "x86/devices/apic.h"
#include "x86/record/recording.h"

#include "string.h"

#define DIVIDE_BY_1 0xb

void interrupt_pending(unsigned vector)
{
	apic_enable(0);
	apic_icr(apic_id(), ICR_SELF | ICR_FIXED | ICR_ASSERT | vector);
	witness(apic_bit(APIC_IRR, vector), "vector %#x is not in IRR after a self-IPI", vector);
}

bool interrupt_comes(unsigned vector)
{
	static bool in_vain;
	struct wait wait = wait_begin_again(DEADLINE_TICKS / 6, in_vain);

	while (!apic_bit(APIC_IRR, vector)) {
		if (!wait_goes_on(&wait)) {
			in_vain = true;
			return false;
		}
	}
	return true;
}

void nmi_to_self(void)
{
	apic_icr(apic_id(), ICR_NMI | ICR_ASSERT);
}

void give_it_time(void)
{
	for (int i = 0; i < 1000; i++)
		cpu_relax();
}

void timer_start(unsigned vector, uint32_t count)
{
	apic_enable(0);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, vector);
	apic_write(APIC_TIMER_INITIAL, count);
}

void timer_stop(void)
{
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_LVT_TIMER, APIC_MASKED);
}

#define WATCHDOG_TICKS 200000000

void watchdog_start(void)
{
	timer_start(WATCHDOG, WATCHDOG_TICKS);
}

void watchdog_stop(void)
{
	timer_stop();
	if (apic_bit(APIC_IRR, WATCHDOG))
		interrupts_drain();
}

bool watchdog_was_early(const struct snippet *snippet, const char *mark)
{
	const struct trace *trace = this_recording()->trace;
	uint64_t sleeps_at = mark_address(snippet, mark);

	for (unsigned i = 0; i < trace->events_used; i++)
		if (trace->events[i].vector == WATCHDOG && trace->events[i].rip < sleeps_at)
			return true;
	return false;
}

SNIPPET(drain, "sti; nop; nop; nop; nop; cli");

static void end_all_services(void)
{
	for (unsigned word = 0; word < 8; word++)
		for (unsigned bits = apic_read(APIC_ISR + 16 * word); bits; bits &= bits - 1)
			apic_eoi();
	memset(this_recording()->in_service, 0, sizeof(this_recording()->in_service));
}

void interrupts_drain(void)
{
	/* Bochs takes no EOI for the spurious vector. */
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | 0x0f);
	/* One run takes what a trace has room for, or one vector below 16, which it takes for a fault. */
	for (unsigned n = 0; n < 32; n++) {
		end_all_services();
		if (!run_unrecorded(&drain))
			break;
	}
	end_all_services();
	apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | APIC_SPURIOUS_VECTOR);
}

bool interrupt_left(unsigned *vector)
{
	struct regs regs = {0};
	struct event event;

	if (!probe_snippet(&drain, &regs, &event))
		return false;
	*vector = event.vector;
	return true;
}
