/* SPDX-License-Identifier: BSD-2-Clause */
#include "rmp.h"

#include "bug.h"
#include "memory.h"
#include "smp.h"

#include "string.h"
#include "x86/cpu/paging.h"

#define ASSIGNED 1
#define VALIDATED 2
#define VMSA 4

static uint8_t ram[L2_RAM_BYTES / PAGE_BYTES];
static uint8_t rom[L2_ROM_MOST / PAGE_BYTES];

static uint8_t *entry(uint64_t gpa)
{
	if (gpa < L2_RAM_BYTES)
		return &ram[gpa / PAGE_BYTES];
	if (gpa < L2_MEMORY_END && gpa >= L2_MEMORY_END - L2_ROM_MOST && memory_is_rom(gpa))
		return &rom[(gpa - (L2_MEMORY_END - L2_ROM_MOST)) / PAGE_BYTES];
	return NULL;
}

void rmp_init(void)
{
	memset(ram, ASSIGNED, sizeof(ram));
	memset(rom, ASSIGNED, sizeof(rom));
}

bool rmp_covers(uint64_t gpa)
{
	return entry(gpa);
}

bool rmp_is_private(uint64_t gpa)
{
	return *entry(gpa) & ASSIGNED;
}

bool rmp_is_validated(uint64_t gpa)
{
	return *entry(gpa) & VALIDATED;
}

bool rmp_is_vmsa(uint64_t gpa)
{
	return *entry(gpa) & VMSA;
}

static void forget(struct vcpu *self, uint64_t gpa)
{
	if (memory_forget(gpa))
		smp_flush(self);
}

void rmp_assign(struct vcpu *self, uint64_t gpa, bool to_guest)
{
	uint8_t *e = entry(gpa);

	if (to_guest == (bool)(*e & ASSIGNED))
		return;
	*e = to_guest ? ASSIGNED : 0;
	forget(self, gpa);
	memory_lose(gpa);
}

void rmp_validate(struct vcpu *self, uint64_t gpa, bool valid)
{
	uint8_t *e = entry(gpa);

	*e = valid ? *e | VALIDATED : *e & ~VALIDATED;
	forget(self, gpa);
}

void rmp_make_vmsa(uint64_t gpa, bool vmsa)
{
	uint8_t *e = entry(gpa);

	*e = vmsa ? *e | VMSA : *e & ~VMSA;
}
