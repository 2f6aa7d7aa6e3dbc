/* SPDX-License-Identifier: BSD-2-Clause */
/* The GHCB page; see ghcb_page.h. */
#include "ghcb_page.h"

static const uint16_t offsets[GHCB_FIELDS] = {
	[GHCB_CPL] = 0x0cb,	  [GHCB_XSS] = 0x140,	      [GHCB_DR7] = 0x160,
	[GHCB_RAX] = 0x1f8,	  [GHCB_RCX] = 0x308,	      [GHCB_RDX] = 0x310,
	[GHCB_RBX] = 0x318,	  [GHCB_RBP] = 0x328,	      [GHCB_RSI] = 0x330,
	[GHCB_RDI] = 0x338,	  [GHCB_R8] = 0x340,	      [GHCB_R8 + 1] = 0x348,
	[GHCB_R8 + 2] = 0x350,	  [GHCB_R8 + 3] = 0x358,      [GHCB_R8 + 4] = 0x360,
	[GHCB_R8 + 5] = 0x368,	  [GHCB_R8 + 6] = 0x370,      [GHCB_R8 + 7] = 0x378,
	[GHCB_EXIT_CODE] = 0x390, [GHCB_EXIT_INFO_1] = 0x398, [GHCB_EXIT_INFO_2] = 0x3a0,
	[GHCB_SCRATCH] = 0x3a8,	  [GHCB_XCR0] = 0x3e8,
};

unsigned int ghcb_field_offset(unsigned int field)
{
	return field < GHCB_FIELDS ? offsets[field] : 0;
}

const char *ghcb_field_name(unsigned int field)
{
	static const char names[GHCB_FIELDS + 1][13] = {
		"CPL",	       "XSS",	       "DR7",	       "RAX",	     "RCX",  "RDX",
		"RBX",	       "RBP",	       "RSI",	       "RDI",	     "R8",   "R9",
		"R10",	       "R11",	       "R12",	       "R13",	     "R14",  "R15",
		"SW_EXITCODE", "SW_EXITINFO1", "SW_EXITINFO2", "SW_SCRATCH", "XCR0", "?",
	};

	return names[field < GHCB_FIELDS ? field : GHCB_FIELDS];
}

void ghcb_clear(volatile struct ghcb_page *page)
{
	volatile uint64_t *word = (volatile uint64_t *)page;

	for (unsigned int i = 0; i < offsetof(struct ghcb_page, x87_state_gpa) / 8; i++)
		word[i] = 0;
}

void ghcb_set(volatile struct ghcb_page *page, unsigned int field, uint64_t value)
{
	if (field >= GHCB_FIELDS)
		return;
	if (field == GHCB_CPL)
		page->cpl = (uint8_t)value;
	else
		((volatile uint64_t *)page)[offsets[field] / 8] = value;
	ghcb_set_valid(page, field, true);
}

uint64_t ghcb_get(const volatile struct ghcb_page *page, unsigned int field)
{
	if (field >= GHCB_FIELDS)
		return 0;
	if (field == GHCB_CPL)
		return page->cpl;
	return ((const volatile uint64_t *)page)[offsets[field] / 8];
}

void ghcb_set_valid(volatile struct ghcb_page *page, unsigned int field, bool valid)
{
	unsigned int bit = ghcb_field_offset(field) / 8;
	uint8_t byte;

	if (field >= GHCB_FIELDS)
		return;
	byte = page->valid_bitmap[bit / 8] & ~(1u << bit % 8);
	page->valid_bitmap[bit / 8] = byte | (unsigned int)valid << bit % 8;
}

uint32_t ghcb_valid_fields(const volatile struct ghcb_page *page)
{
	uint32_t mask = 0;
	uint8_t bitmap[16];

	for (unsigned int i = 0; i < 16; i++)
		bitmap[i] = page->valid_bitmap[i];
	for (unsigned int field = 0; field < GHCB_FIELDS; field++) {
		unsigned int bit = offsets[field] / 8;

		if (bitmap[bit / 8] >> bit % 8 & 1)
			mask |= GHCB_BIT(field);
	}
	return mask;
}

bool ghcb_scratch_fits(uint64_t page_gpa, uint64_t scratch, uint64_t bytes)
{
	uint64_t start = scratch - (page_gpa + GHCB_SHARED_BUFFER);

	return bytes <= GHCB_SHARED_BUFFER_SIZE && start <= GHCB_SHARED_BUFFER_SIZE - bytes;
}

uint64_t ghcb_string_chunk(uint64_t count, unsigned int size)
{
	uint64_t room;

	switch (size) {
	case 1:
	case 2:
	case 4:
		room = GHCB_SHARED_BUFFER_SIZE / size;
		return count < room ? count : room;
	}
	return 0;
}
