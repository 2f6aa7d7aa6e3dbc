/* SPDX-License-Identifier: BSD-2-Clause */
#include "needs.h"

#include "pending.h"
#include "x86/devices/apic.h"
#include "x86/devices/edu.h"
#include "x86/devices/ioapic.h"
#include "x86/devices/pic.h"

void need_edu(void)
{
	need_of_machine(edu_present(), "device that sends messages (QEMU's edu)");
	need(edu_open(), "edu has no MSI capability");
}

void need_pic(void)
{
	need_of_machine(pic_present(), "8259 interrupt controller");
}

#define TRIAL_VECTOR 0x31

void need_line(void)
{
	bool wired;

	need_of_machine(ioapic_present(), "I/O APIC");
	pic_close();
	line_lower();
	ioapic_route(LINE_PIN, TRIAL_VECTOR, apic_id());
	line_raise();
	wired = interrupt_comes(TRIAL_VECTOR);
	line_lower();
	ioapic_mask(LINE_PIN);
	interrupts_drain();
	need(wired, "no witness: the serial port's line does not reach pin %u", LINE_PIN);
}
