/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables: one GDT and TSS per CPU, one IDT for all, and the ways in which cases bend them. */
#ifndef LIB_X86_DESC_H
#define LIB_X86_DESC_H

#include "x86/boot/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, attributes;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
} __attribute__((packed));

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t ist[8]; /* 1 to 7 are used */
	uint64_t reserved1;
	uint16_t reserved2, io_map_base;
} __attribute__((packed));

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct descriptors {
	uint64_t gdt[GDT_BYTES / 8] __attribute__((aligned(16)));
	struct tss tss __attribute__((aligned(16)));
	const struct tss *loaded_tss; /* by load_tss */
};

extern struct gate idt[256];

/*
 * Fills and loads this CPU's tables; RSP0 is the stack for events from CPL3. Puts back everything that
 * the functions below have changed.
 */
void desc_reset(struct descriptors *d, uint64_t rsp0);

/* Gives the segments of outer rings (USER_CS, USER_DS, USER_CS32) to a ring; they start as ring 3's. */
void desc_outer_ring(struct descriptors *d, unsigned ring);

/* Gates start as present 64-bit interrupt gates with DPL 3 and no IST, each to its own stub. */
void gate_set_dpl(unsigned vector, unsigned dpl);
void gate_set_present(unsigned vector, bool present);
void gate_set_ist(unsigned vector, unsigned ist);
void gate_set_trap(unsigned vector); /* leaves IF alone */
void gate_set_selector(unsigned vector, uint16_t selector);
void gate_set_handler(unsigned vector, const void *handler);

/*
 * From now on this vector's gates start otherwise: on the stack of VC_IST, and to this handler. One vector;
 * the stack is whatever that entry of the TSS says.
 */
void idt_keep(unsigned vector, const void *handler);

/* Fills a table with gates as all start. */
void idt_fill(struct gate gates[256]);

/* Loads this CPU's IDTR, GDTR or TR; none of the three reads what it points to but TR's descriptor. */
void load_idt(const void *base, uint16_t limit);
void load_gdt(const void *base);
void load_tss(struct descriptors *d, const struct tss *tss);
/* With what lies behind it: an I/O permission map. */
void load_long_tss(struct descriptors *d, const void *tss, uint16_t bytes);

struct table_pointer read_idtr(void);
struct table_pointer read_gdtr(void);

#endif
