/* SPDX-License-Identifier: BSD-2-Clause */
/* Which fields a VMCS has. SDM 3D, "Field Encoding in VMCS": VMREAD of another one fails. */
#include "vmx.h"

#define WIDTHS 4
#define TYPES 4
#define INDICES 32
#define MAX_FIELDS 256

static uint16_t fields[MAX_FIELDS];
static unsigned used;

static void add_if_there(uint16_t field)
{
	uint64_t value;
	bool good;

	asm volatile("vmread %2, %0"
		     : "=r"(value), "=@cca"(good)
		     : "r"((uint64_t)field)
		     : "memory");
	if (good && used < MAX_FIELDS)
		fields[used++] = field;
}

const uint16_t *vmcs_fields(unsigned *count)
{
	if (!used)
		for (unsigned i = 0; i < WIDTHS * TYPES * INDICES; i++)
			add_if_there((i / INDICES / TYPES) << 13 | (i / INDICES % TYPES) << 10 |
				     (i % INDICES) << 1);
	*count = used;
	return fields;
}
