/* SPDX-License-Identifier: BSD-2-Clause */
#include "pic.h"

#include "x86/cpu/cpu.h"

#define COMMAND 0x20
#define MASK 0x21
#define SECOND_MASK 0xa1
#define ALL_MASKED 0xff
#define ICW1_WITH_ICW4 0x11
#define ICW2_VECTORS 0x20
#define ICW3_CASCADE_ON_2 0x04
#define ICW4_8086 0x01

bool pic_present(void)
{
	uint8_t before = inb(MASK);
	bool keeps;

	outb(MASK, 0xa5);
	keeps = inb(MASK) == 0xa5;
	outb(MASK, before);
	return keeps;
}

void pic_open(unsigned input)
{
	outb(COMMAND, ICW1_WITH_ICW4);
	outb(MASK, ICW2_VECTORS);
	outb(MASK, ICW3_CASCADE_ON_2);
	outb(MASK, ICW4_8086);
	outb(MASK, (uint8_t) ~(1u << input));
}

void pic_close(void)
{
	outb(MASK, ALL_MASKED);
	outb(SECOND_MASK, ALL_MASKED);
}
