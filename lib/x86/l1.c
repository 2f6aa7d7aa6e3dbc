/* SPDX-License-Identifier: BSD-2-Clause */
#include "l1.h"

#include "frame.h"

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
