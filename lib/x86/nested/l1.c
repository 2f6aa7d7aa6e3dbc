/* SPDX-License-Identifier: BSD-2-Clause */
#include "l1.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/frame.h"

extern const uint64_t boot_gdt[];

static struct gate gates[256] __attribute__((aligned(16)));

void l1_tables_load(struct l1_tables *saved)
{
	if (!gates[0].selector)
		idt_fill(gates);
	saved->idtr = read_idtr();
	saved->gdtr = read_gdtr();
	load_idt(gates, sizeof(gates) - 1);
	load_gdt(boot_gdt);
}

void l1_tables_restore(const struct l1_tables *saved)
{
	load_gdt((const void *)saved->gdtr.base);
	load_idt((const void *)saved->idtr.base, saved->idtr.limit);
}

struct l1_segment l1_segment(uint16_t selector)
{
	struct l1_segment s = {.selector = selector};

	if (selector == KERNEL_CS)
		s.access = 0xa09b;
	else if (selector)
		s.access = 0xc093 | (selector & 3) << 5;
	return s;
}

struct l1_segment l1_read_ds(void)
{
	uint16_t selector;

	asm volatile("mov %%ds, %0" : "=r"(selector));
	return l1_segment(selector);
}

struct l1_segment l1_read_es(void)
{
	uint16_t selector;

	asm volatile("mov %%es, %0" : "=r"(selector));
	return l1_segment(selector);
}

/*
 * A case may have set DR7.GD for its snippet; then it is L1 that meets it first. What L1's #DB says is
 * all that can be known of it.
 */
static volatile bool gd_was_set;

bool l1_take_event(struct recording *rec, const struct event *event)
{
	(void)rec;
	if (event->vector != 1 || !(event->dr6 & DR6_BD))
		return false;
	gd_was_set = true;
	return true;
}

void l1_registers_read(struct l1_registers *r)
{
	r->cr0 = read_cr0();
	r->cr2 = read_cr2();
	r->cr3 = read_cr3();
	r->cr4 = read_cr4();
	gd_was_set = false;
	r->dr7 = read_dr7();
	r->dr6 = read_dr6();
	if (gd_was_set)
		r->dr7 |= DR7_GD;
}

void l1_registers_write(const struct l1_registers *r)
{
	if (r->cr0 != read_cr0())
		write_cr0(r->cr0);
	if (r->cr4 != read_cr4())
		write_cr4(r->cr4);
	if (r->cr3 != read_cr3())
		write_cr3(r->cr3);
	write_cr2(r->cr2);
	write_dr6(r->dr6);
	write_dr7(r->dr7);
}
