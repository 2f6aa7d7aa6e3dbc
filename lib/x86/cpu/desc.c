/* SPDX-License-Identifier: BSD-2-Clause */
#include "desc.h"

#include "frame.h"

#include "string.h"

#define GATE_INTERRUPT 0x8e
#define GATE_TRAP 0x01 /* in the type, or else an interrupt gate */
#define GATE_DPL_SHIFT 5
#define GATE_PRESENT 0x80
#define TSS_AVAILABLE 0x89ull

struct gate idt[256] __attribute__((aligned(4096)));

extern const uint64_t boot_gdt[GDT_BYTES / 8];

_Static_assert(sizeof(struct gate) == 16, "SDM 3A, 64-Bit Mode IDT");
_Static_assert(sizeof(struct tss) == 104, "SDM 3A, 64-Bit TSS");

static bool idt_changed = true;

static void set_offset(struct gate *gate, const void *handler)
{
	uint64_t address = (uint64_t)handler;

	gate->offset_low = address;
	gate->offset_middle = address >> 16;
	gate->offset_high = address >> 32;
}

void gate_set_handler(unsigned vector, const void *handler)
{
	idt_changed = true;
	set_offset(&idt[vector], handler);
}

void gate_set_dpl(unsigned vector, unsigned dpl)
{
	idt_changed = true;
	idt[vector].attributes &= ~(3 << GATE_DPL_SHIFT);
	idt[vector].attributes |= dpl << GATE_DPL_SHIFT;
}

void gate_set_present(unsigned vector, bool present)
{
	idt_changed = true;
	idt[vector].attributes &= ~GATE_PRESENT;
	idt[vector].attributes |= present ? GATE_PRESENT : 0;
}

void gate_set_ist(unsigned vector, unsigned ist)
{
	idt_changed = true;
	idt[vector].ist = ist;
}

void gate_set_trap(unsigned vector)
{
	idt_changed = true;
	idt[vector].attributes |= GATE_TRAP;
}

void gate_set_selector(unsigned vector, uint16_t selector)
{
	idt_changed = true;
	idt[vector].selector = selector;
}

static struct {
	unsigned vector;
	const void *handler;
} kept;

void idt_keep(unsigned vector, const void *handler)
{
	kept.vector = vector;
	kept.handler = handler;
}

void idt_fill(struct gate gates[256])
{
	for (unsigned v = 0; v < 256; v++) {
		gates[v] = (struct gate){
			.selector = KERNEL_CS,
			.attributes = GATE_INTERRUPT | 3 << GATE_DPL_SHIFT,
		};
		set_offset(&gates[v], vector_stubs + v * VECTOR_STUB_BYTES);
	}
	if (kept.handler) {
		set_offset(&gates[kept.vector], kept.handler);
		gates[kept.vector].ist = VC_IST;
	}
}

static void idt_reset(void)
{
	if (!idt_changed)
		return;
	idt_fill(idt);
	idt_changed = false;
}

void load_idt(const void *base, uint16_t limit)
{
	struct table_pointer p = {limit, (uint64_t)base};

	asm volatile("lidt %0" : : "m"(p) : "memory");
}

void load_gdt(const void *base)
{
	struct table_pointer p = {GDT_BYTES - 1, (uint64_t)base};

	asm volatile("lgdt %0" : : "m"(p) : "memory");
}

void load_long_tss(struct descriptors *d, const void *tss, uint16_t bytes)
{
	uint64_t base = (uint64_t)tss;
	uint64_t *descriptor = d->gdt + TSS_SELECTOR / 8;

	descriptor[0] = (bytes - 1u) | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 |
			(base >> 24 & 0xff) << 56;
	descriptor[1] = base >> 32;
	d->loaded_tss = tss;
	asm volatile("ltr %w0" : : "r"(TSS_SELECTOR) : "memory");
}

void load_tss(struct descriptors *d, const struct tss *tss)
{
	load_long_tss(d, tss, sizeof(*tss));
}

struct table_pointer read_idtr(void)
{
	struct table_pointer p;

	asm volatile("sidt %0" : "=m"(p));
	return p;
}

struct table_pointer read_gdtr(void)
{
	struct table_pointer p;

	asm volatile("sgdt %0" : "=m"(p));
	return p;
}

#define DPL_SHIFT 45

void desc_outer_ring(struct descriptors *d, unsigned ring)
{
	static const uint16_t outer[] = {USER_CS32, USER_DS, USER_CS};

	for (unsigned i = 0; i < sizeof(outer) / sizeof(outer[0]); i++) {
		uint64_t *descriptor = &d->gdt[outer[i] / 8];

		*descriptor = (*descriptor & ~(3ul << DPL_SHIFT)) | (uint64_t)ring << DPL_SHIFT;
	}
}

void desc_reset(struct descriptors *d, uint64_t rsp0)
{
	idt_reset();
	memcpy(d->gdt, boot_gdt, sizeof(d->gdt));
	d->tss = (struct tss){
		.rsp = {rsp0},
		.ist = {[VC_IST] = d->tss.ist[VC_IST]},
		.io_map_base = sizeof(d->tss),
	};
	load_gdt(d->gdt);
	load_tss(d, &d->tss);
	load_idt(idt, sizeof(idt) - 1);
}
