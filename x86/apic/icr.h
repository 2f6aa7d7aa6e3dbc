/* SPDX-License-Identifier: BSD-2-Clause */
/* A snippet that sends any IPI by itself, so that it is in its place when the event comes. */
#ifndef X86_ICR_H
#define X86_ICR_H

#include "trapline.h"

/* Sent behind the IPI under test, to show that this one had its chance. */
#define LATER 0x31

/*
 * EBX: the command. EBP: in xAPIC mode the ICR, whose other half is written before; in x2APIC mode the
 * destination. Only CPL 0 may write the x2APIC's ICR.
 */
#ifdef X2APIC
#define SENDERS CPL0
#define SEND                                                                               \
	"mark send; .byte 0x51; mov $0x830, %ecx; mov %ebx, %eax; mov %ebp, %edx; wrmsr; " \
	"area wait; .byte 0x59; "
#else
#define SENDERS ALL_NATIVE
#define ICR_ADDRESS 0xfee00300
#define SEND "mark send; mov %ebx, (%ebp); area wait; "
#endif

SNIPPET(nmi_to_itself, SEND WAIT);

/* What SEND is to send, and where to. */
static inline void prepare(uint32_t destination, uint32_t command)
{
	setup.regs.rbx = command | ICR_ASSERT;
#ifdef X2APIC
	setup.regs.rbp = destination;
#else
	apic_write(APIC_ICR_HIGH, destination << 24);
	setup.regs.rbp = ICR_ADDRESS;
#endif
}

#endif
