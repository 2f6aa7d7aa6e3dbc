/* SPDX-License-Identifier: BSD-2-Clause */
#include "ioapic.h"

#include <stdbool.h>

#define SELECT 0x00
#define WINDOW 0x10
#define REG_ID 0x00
#define REG_VERSION 0x01
#define REG_TABLE 0x10
#define PINS 24
#define VERSION ((PINS - 1) << 16 | 0x20)
#define READ_ONLY 0x5000u /* delivery status, remote IRR */

static uint8_t selected;
static uint32_t id;
/* What is stored is inverted in the mask bit, so that a zeroed table is a masked one. */
static uint32_t table[2 * PINS];

static bool in_table(unsigned reg)
{
	return reg >= REG_TABLE && reg < REG_TABLE + 2 * PINS;
}

static uint32_t mask_bit(unsigned reg)
{
	return reg % 2 ? 0 : 1u << 16;
}

uint32_t ioapic_read(unsigned offset)
{
	if (offset == SELECT)
		return selected;
	if (offset != WINDOW)
		return 0;
	if (in_table(selected))
		return table[selected - REG_TABLE] ^ mask_bit(selected);
	return selected == REG_ID ? id : selected == REG_VERSION ? VERSION : 0;
}

void ioapic_write(unsigned offset, uint32_t value)
{
	if (offset == SELECT)
		selected = value;
	if (offset != WINDOW)
		return;
	if (in_table(selected))
		table[selected - REG_TABLE] = (value & ~READ_ONLY) ^ mask_bit(selected);
	if (selected == REG_ID)
		id = value & 0x0f000000;
}
