/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that a hypervisor carries out in the guest's stead, or that touch a page which it has
 * to map first. What each needs in its registers, and whether it did its work, judged by the registers
 * that it left: an instruction that was skipped or run twice is as wrong as an event that was lost.
 */
#ifndef LIB_X86_EXITS_H
#define LIB_X86_EXITS_H

#include "snippet.h"

#include <stdbool.h>

struct exiting {
	void (*prepare)(void);	/* sets setup.regs and memory; may be NULL */
	bool (*did_work)(void); /* looks at setup.result and memory; may be NULL */
};

/* Assembly text of each, alike in both modes; registers: EAX, ECX, EDX, (R|E)DI. */
#define TEXT_plain "nop"
#define TEXT_cpuid "cpuid"
#define TEXT_in "in %dx, %al"
#define TEXT_out "out %al, %dx"
#define TEXT_rdmsr "rdmsr"
#define TEXT_wrmsr "wrmsr"
#define TEXT_cr8 ".byte 0x44, 0x0f, 0x22, 0xc0" /* mov %rax, %cr8: 64-bit only */
#define TEXT_mmio_read ".byte 0x8b, 0x07"	/* mov (%rdi), %eax */
#define TEXT_mmio_write ".byte 0x89, 0x07"	/* mov %eax, (%rdi) */
#define TEXT_cold_read TEXT_mmio_read
#define TEXT_cold_write TEXT_mmio_write

extern const struct exiting exiting_plain, exiting_cpuid, exiting_in, exiting_out, exiting_rdmsr,
	exiting_wrmsr, exiting_cr8, exiting_mmio_read, exiting_mmio_write, exiting_cold_read,
	exiting_cold_write;

/*
 * ROW(name, environments, bugs) for each but `plain`; the bugs are those of instructions that are skipped, of
 * memory accesses that are emulated, and of those that are tried again.
 */
#define FOR_EACH_EXITING(ROW, skipped, emulated, tried_again) \
	FOR_EACH_EXITING_IN(ROW, ALL_NATIVE, RING0, skipped, emulated, tried_again)

/* The same, with the environments of those that any ring and ring 0 may run and that have 16-bit text. */
#define FOR_EACH_EXITING_IN(ROW, any_ring, ring0, skipped, emulated, tried_again) \
	ROW(cpuid, any_ring, skipped)                                             \
	ROW(in, any_ring, skipped)                                                \
	ROW(out, any_ring, skipped)                                               \
	ROW(rdmsr, ring0, skipped)                                                \
	ROW(wrmsr, ring0, skipped)                                                \
	ROW(cr8, CPL0, skipped)                                                   \
	ROW(mmio_read, ALL_NATIVE, emulated)                                      \
	ROW(mmio_write, ALL_NATIVE, emulated)                                     \
	ROW(cold_read, ALL_NATIVE, tried_again)                                   \
	ROW(cold_write, ALL_NATIVE, tried_again)

/* COM1's scratch register: reads back what was written. */
#define SCRATCH_PORT 0x3ff

/* The IOAPIC: its index register reads back what was written, its version shows in the data window. */
#define IOAPIC_INDEX 0xfec00000ul
#define IOAPIC_DATA 0xfec00010ul
#define IOAPIC_VERSION 1

void exiting_prepare(const struct exiting *e);

/* Checks the work. */
void exiting_judge(const struct exiting *e);

#endif
