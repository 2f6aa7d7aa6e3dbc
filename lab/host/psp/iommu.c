/* SPDX-License-Identifier: BSD-2-Clause */
#include "iommu.h"

#include "base/log.h"
#include "base/options.h"
#include "firmware.h"
#include "memory/acpi.h"
#include "memory/identity.h"
#include "memory/rmp.h"
#include "pci.h"

#include "string.h"

#define PAGE 4096ul
#define REGISTER_BYTES 0x4000ul

#define R_COMMAND_BASE 0x08
#define R_FEATURES 0x30
#define R_COMMAND_HEAD 0x2000
#define R_COMMAND_TAIL 0x2008
#define R_STATUS 0x2020 /* write 1 to clear */

#define ADDRESS 0x000ffffffffff000ul
#define LENGTH_SHIFT 56 /* of the command buffer: 2 to this power, in commands */
#define LENGTH 0xful
#define COMMAND_BYTES 16ul
#define COMPLETION_WAIT 1
#define STORE 1u
#define STORE_ADDRESS 0x000ffffffffffff8ul
#define STATUS_COMPLETION (1ul << 2)

/* Capability 0F, type 3, rev. 1; EFRSup. Its registers are where the base behind it says. */
#define CAPABILITY 0x0f, PCI_MSI, 0x0b, 0x08

static struct pci_function function = {
	.devfn = IOMMU_DEVFN,
	.config =
		{
			0x22,
			0x10,
			0x81,
			0x14, /* 1022:1481 */
			0x04,
			0x00,
			0x10,
			0x00, /* has capabilities */
			0x00,
			0x00,
			0x06,
			0x08, /* class 08 06: IOMMU */
			[0x34] = IOMMU_CAPABILITY,
			[IOMMU_CAPABILITY] = CAPABILITY,
			[IOMMU_CAPABILITY + 4] = (IOMMU_BASE & 0xff) | 1,
			(IOMMU_BASE >> 8) & 0xff,
			(IOMMU_BASE >> 16) & 0xff,
			(IOMMU_BASE >> 24) & 0xff,
			[PCI_MSI] = PCI_MSI_BYTES,
		},
};
static uint64_t
	registers[REGISTER_BYTES / 8 + 1]; /* one more than are there: what reaches over the end */

void iommu_init(void)
{
	pci_add(&function);
	registers[R_FEATURES / 8] = IOMMU_FEATURES;
	for (uint64_t at = IOMMU_BASE; at < IOMMU_BASE + REGISTER_BYTES; at += PAGE)
		identity_unmap(at);
}

bool iommu_claims(uint64_t at)
{
	return features.snp && at >= IOMMU_BASE && at < IOMMU_BASE + REGISTER_BYTES;
}

/* One command; only COMPLETION_WAIT has anything to show for it: there are no caches to invalidate. */
static void obey(const uint64_t *command)
{
	uint64_t at = command[0] & STORE_ADDRESS, *to;

	if (command[0] >> 60 != COMPLETION_WAIT)
		return;
	if (command[0] & STORE) {
		/* A device's accesses are checked as L1's own are. */
		to = rmp_allows_shared_write(at) ? firmware_memory(at, 8) : NULL;
		if (to)
			*to = command[1];
		else
			say("l0: the IOMMU is to write to %#lx, which is not L1's\n", at);
	}
	registers[R_STATUS / 8] |= STATUS_COMPLETION;
}

static void run_commands(void)
{
	uint64_t base = registers[R_COMMAND_BASE / 8], *head = &registers[R_COMMAND_HEAD / 8];
	uint64_t bytes = COMMAND_BYTES << (base >> LENGTH_SHIFT & LENGTH);
	uint64_t tail = registers[R_COMMAND_TAIL / 8] & (bytes - 1) & ~(COMMAND_BYTES - 1);

	*head &= (bytes - 1) & ~(COMMAND_BYTES - 1);
	while (*head != tail) {
		const uint64_t *command = firmware_memory((base & ADDRESS) + *head, COMMAND_BYTES);

		if (!command) {
			say("l0: the IOMMU's commands are at %#lx, which is not L1's\n",
			    (base & ADDRESS) + *head);
			return;
		}
		obey(command);
		*head = (*head + COMMAND_BYTES) & (bytes - 1);
	}
}

uint64_t iommu_read(uint64_t at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, (const uint8_t *)registers + (at - IOMMU_BASE), bytes);
	return value;
}

void iommu_write(uint64_t at, unsigned bytes, uint64_t value)
{
	uint64_t reg = (at - IOMMU_BASE) & ~7ul;

	if (reg == R_FEATURES)
		return;
	if (reg == R_STATUS) {
		registers[reg / 8] &= ~value;
		return;
	}
	memcpy((uint8_t *)registers + (at - IOMMU_BASE), &value, bytes);
	if (reg == R_COMMAND_TAIL)
		run_commands();
}
