/* SPDX-License-Identifier: BSD-2-Clause */
#include "acpi.h"

#include "base/log.h"

#include "string.h"

#include <stddef.h>

#define RSDP_V1_BYTES 20
#define XSDT_AT 64 /* behind the RSDP */
#define IVRS_AT 2048
#define MOST_ENTRIES ((IVRS_AT - XSDT_AT - sizeof(struct header)) / 8)

#define IVINFO_EFR_VALID 1u
#define PHYSICAL_BITS_IN_IVINFO (48u << 8)
#define IVHD_11 0x11
#define IVHD_ALL_DEVICES 0x01

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct xsdt {
	struct header header;
	uint64_t entry[];
} __attribute__((packed));

struct ivrs {
	struct header header;
	uint32_t info;
	uint64_t reserved;
	struct {
		uint8_t type, flags;
		uint16_t length, device, capability;
		uint64_t base;
		uint16_t segment, info;
		uint32_t attributes;
		uint64_t features, features2;
	} __attribute__((packed)) block;
	uint32_t devices;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "ACPI, DESCRIPTION_HEADER");
_Static_assert(offsetof(struct ivrs, block) == 48, "IOMMU, IVRS");
_Static_assert(sizeof(((struct ivrs *)0)->block) == 40, "IOMMU, IVHD type 11h");

/* Bytes of a table sum up to 0. */
static uint8_t missing(const void *table, uint32_t bytes)
{
	const uint8_t *b = table;
	uint8_t sum = 0;

	while (bytes--)
		sum += *b++;
	return -sum;
}

static void make_ivrs(struct ivrs *t)
{
	*t = (struct ivrs){
		.header = {"IVRS", sizeof(*t), 2, 0, "L0HOST", "L0IOMMU ", 1, 0, 0},
		.info = IVINFO_EFR_VALID | PHYSICAL_BITS_IN_IVINFO,
		.block = {.type = IVHD_11,
			  .length = sizeof(t->block) + sizeof(t->devices),
			  .device = IOMMU_DEVFN,
			  .capability = IOMMU_CAPABILITY,
			  .base = IOMMU_BASE,
			  .features = IOMMU_FEATURES},
		.devices = IVHD_ALL_DEVICES,
	};
	t->header.checksum = missing(t, sizeof(*t));
}

/* Addresses of the tables that QEMU has made; they are 4 or 8 bytes wide. */
static void copy_entries(const struct rsdp *from, struct xsdt *to)
{
	bool wide = from->revision >= 2 && from->xsdt;
	uint64_t at = wide ? from->xsdt : from->rsdt;
	const struct header *old = (const struct header *)at;
	unsigned width = wide ? 8 : 4, count = (old->length - sizeof(*old)) / width;

	if (count >= MOST_ENTRIES)
		stop("ACPI has %u tables, and the monitor has room for %zu", count, MOST_ENTRIES);
	to->header = *old;
	memcpy(to->header.signature, "XSDT", 4);
	to->header.revision = 1;
	for (unsigned i = 0; i < count; i++) {
		to->entry[i] = 0;
		memcpy(&to->entry[i], (const uint8_t *)(old + 1) + i * width, width);
	}
	to->header.length = sizeof(*old) + count * 8;
}

uint64_t acpi_add_iommu(uint64_t rsdp, uint64_t at)
{
	const struct rsdp *from = (const struct rsdp *)rsdp;
	struct rsdp *root = (struct rsdp *)at;
	struct xsdt *list = (struct xsdt *)(at + XSDT_AT);
	struct ivrs *ivrs = (struct ivrs *)(at + IVRS_AT);

	if (!rsdp || memcmp(from->signature, "RSD PTR ", 8))
		stop("the loader gives no ACPI tables, and SEV-SNP needs one more");
	make_ivrs(ivrs);
	copy_entries(from, list);
	list->entry[(list->header.length - sizeof(list->header)) / 8] = (uint64_t)ivrs;
	list->header.length += 8;
	list->header.checksum = 0;
	list->header.checksum = missing(list, list->header.length);

	memcpy(root, from, RSDP_V1_BYTES);
	root->revision = 2;
	root->rsdt = 0;
	root->length = sizeof(*root);
	root->xsdt = (uint64_t)list;
	root->checksum = root->extended_checksum = 0;
	memset(root->reserved, 0, sizeof(root->reserved));
	root->checksum = missing(root, RSDP_V1_BYTES);
	root->extended_checksum = missing(root, sizeof(*root));
	return at;
}
