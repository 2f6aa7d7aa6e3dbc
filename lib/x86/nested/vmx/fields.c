/* SPDX-License-Identifier: BSD-2-Clause */
/* VMREAD, and which fields a VMCS has. SDM 3D, "Field Encoding in VMCS": VMREAD of another one fails. */
#include "vmx.h"

#include "panic.h"

#define WIDTHS 4
#define TYPES 4
#define INDICES 32
#define MAX_FIELDS 256

static uint16_t fields[MAX_FIELDS];
static unsigned used;

static bool try_vmread(uint64_t field, uint64_t *value)
{
	bool good;

	asm volatile("vmread %2, %0" : "=r"(*value), "=@cca"(good) : "r"(field) : "memory");
	return good;
}

uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;

	if (!try_vmread(field, &value))
		panic("VMREAD of field %#x failed", field);
	return value;
}

static void add_if_there(uint16_t field)
{
	uint64_t value;

	if (used < MAX_FIELDS && try_vmread(field, &value))
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
