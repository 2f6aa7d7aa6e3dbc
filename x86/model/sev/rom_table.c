/* SPDX-License-Identifier: BSD-2-Clause */
#include "rom_table.h"

#include "string.h"

#define TABLE_END 32 /* bytes behind the table */

struct entry {
	uint16_t bytes; /* data, this and the name */
	uint8_t guid[16];
} __attribute__((packed));

static const uint8_t footer[] = {0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
				 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d};

static bool is_named(const struct entry *e, const uint8_t *guid)
{
	return memcmp(e->guid, guid, sizeof(e->guid)) == 0;
}

uint32_t rom_table_word(const uint8_t *rom, uint64_t bytes, const uint8_t guid[16])
{
	const uint8_t *at = rom + bytes - TABLE_END, *begin;
	const struct entry *e = (const struct entry *)at - 1;
	uint32_t word;

	if (!is_named(e, footer) || e->bytes > bytes - TABLE_END)
		return 0;
	begin = at - e->bytes;
	at = (const uint8_t *)e;
	while (at - begin >= (long)sizeof(*e)) {
		e = (const struct entry *)at - 1;
		if (e->bytes < sizeof(*e) || at - begin < e->bytes)
			return 0;
		at -= e->bytes;
		if (!is_named(e, guid))
			continue;
		if (e->bytes != sizeof(*e) + sizeof(word))
			return 0;
		memcpy(&word, at, sizeof(word));
		return word;
	}
	return 0;
}
