/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC, through its page (xAPIC) or its MSRs (x2APIC). SDM 3A, "APIC". */
#ifndef LIB_X86_APIC_H
#define LIB_X86_APIC_H

#include <stdbool.h>
#include <stdint.h>

/* Register offsets in the xAPIC page; the x2APIC's MSR is 0x800 + offset / 16. */
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_ARBITRATION 0x90
#define APIC_PPR 0xa0
#define APIC_EOI 0xb0
#define APIC_REMOTE_READ 0xc0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SPURIOUS 0xf0
#define APIC_ISR 0x100
#define APIC_TMR 0x180
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define ESR_SEND_ILLEGAL 0x20
#define ESR_RECEIVE_ILLEGAL 0x40
#define ESR_ILLEGAL_REGISTER 0x80
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_THERMAL 0x330
#define APIC_LVT_PERF 0x340
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0
#define X2APIC_SELF_IPI 0x3f0

#define APIC_SOFTWARE_ENABLE 0x100
#define APIC_SPURIOUS_VECTOR 0xff
#define APIC_MASKED 0x10000
#define LVT_PERIODIC (1u << 17)
/* EOI-broadcast suppression: in the SVR, where the version register says so. */
#define APIC_SUPPRESS_EOI (1u << 12)
#define APIC_VERSION_SUPPRESSES_EOI (1u << 24)
/* Number of the last LVT entry, of the version register. */
#define APIC_VERSION_LAST_LVT(version) ((version) >> 16 & 0xff)

#define APIC_BASE_BSP (1u << 8)
#define APIC_BASE_X2 (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

#define ICR_FIXED 0x0000
#define ICR_SMI 0x0200
#define ICR_NMI 0x0400
#define ICR_INIT 0x0500
#define ICR_STARTUP 0x0600
#define ICR_LOGICAL 0x0800
#define ICR_PENDING 0x1000
#define ICR_ASSERT 0x4000
#define ICR_LEVEL 0x8000
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000

/* Software-enables this CPU's APIC with the spurious vector, TPR 0, logical id 1 << index. */
void apic_enable(unsigned index);

/* True once apic_enable was called on any CPU. */
bool apic_in_use(void);

/* This machine's APIC was disabled and does not come back: it is in nobody's use from now on. */
void apic_is_gone(void);

uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t value);

/* Whether the timer may run, or have a vector, as far as apic_write knows. */
bool apic_timer_is_set(void);

/* This CPU's APIC id. */
uint32_t apic_id(void);

/* A CPU's logical id as the ICR's destination field wants it: a bit of the flat model, or its cluster and bit. */
uint32_t apic_logical_id(unsigned cpu);

/* The destination field that means every CPU, in this CPU's mode. */
uint32_t apic_everybody(void);

/* Writes the interrupt command register; in xAPIC mode waits until it was sent. */
void apic_icr(uint32_t destination, uint32_t command);

/* One bit of ISR, TMR or IRR (reg) for a vector. */
bool apic_bit(unsigned reg, unsigned vector);

void apic_eoi(void);

/* Software-enables this CPU's APIC with a spurious vector that is not `vector`, nor one 16 below or above. */
void apic_keep_spurious_off(unsigned vector);

/* True if this CPU's APIC is in x2APIC mode. */
bool apic_is_x2(void);

/* Switches this CPU's APIC to x2APIC mode, which it does not leave; all CPUs: cpus_use_x2apic. */
void apic_use_x2(void);

/* Clears the ESR, which takes two writes; reads it as the manual says, after a write. */
void apic_esr_clear(void);
uint32_t apic_esr(void);

#endif
