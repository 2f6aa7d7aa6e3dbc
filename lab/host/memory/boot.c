/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot.h"

#include "acpi.h"
#include "base/bundle.h"
#include "base/log.h"
#include "base/options.h"
#include "rmp.h"
#include "views.h"

#include "string.h"

#include <stddef.h>

#define PVH_MAGIC 0x336ec578
#define RAM 1
#define RESERVED 2
#define IMAGE_END 0x400000ul

/* Xen, xen/include/public/arch-x86/hvm/start_info.h. */
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line, rsdp, map;
	uint32_t map_entries, reserved;
};
struct module {
	uint64_t at, bytes, command_line, reserved;
};
struct map_entry {
	uint64_t at, bytes;
	uint32_t type, reserved;
};

/* The "zero page", by offsets of the boot protocol. */
enum {
	BP_RSDP = 0x70,
	BP_E820_ENTRIES = 0x1e8,
	BP_SETUP_SECTS = 0x1f1,
	BP_SYSSIZE = 0x1f4,
	BP_VID_MODE = 0x1fa,
	BP_BOOT_FLAG = 0x1fe,
	BP_JUMP = 0x201,
	BP_HEADER = 0x202,
	BP_VERSION = 0x206,
	BP_LOADER = 0x210,
	BP_CODE32 = 0x214,
	BP_RAMDISK = 0x218,
	BP_RAMDISK_BYTES = 0x21c,
	BP_COMMAND_LINE = 0x228,
	BP_ALIGNMENT = 0x230,
	BP_COMMAND_LINE_SIZE = 0x238,
	BP_E820 = 0x2d0,
};
#define E820_BYTES 20
#define E820_MOST 128
#define KERNEL_AT 0x1000000ul
#define ENTRY64 0x200

#define ELF_LOAD 1

extern const uint8_t host_begin[], host_gdt[];

static uint8_t boot_params[PAGE] __attribute__((aligned(4096)));
static char command_line[2048];
/* L1 begins on tables of its own memory: a copy, since the monitor's are not to be seen. */
#define START_PAGES 0x8000ul /* in low memory, which Linux takes over soon */

static const struct start_info *start;
static const struct bundle *bundle;
static uint64_t memory_end, arena_next;

struct range boot_reserved[BOOT_RANGES];

static const struct map_entry *map(unsigned i)
{
	return (const struct map_entry *)start->map + i;
}

uint64_t boot_memory_end(void)
{
	return memory_end;
}

static bool overlaps_first(unsigned ranges, uint64_t at, uint64_t bytes)
{
	for (unsigned i = 0; i < ranges; i++)
		if (at < boot_reserved[i].end && at + bytes > boot_reserved[i].begin)
			return true;
	return false;
}

bool boot_is_reserved(uint64_t at, uint64_t bytes)
{
	return overlaps_first(BOOT_RANGES, at, bytes);
}

bool boot_is_hidden(uint64_t at, uint64_t bytes)
{
	return overlaps_first(BOOT_TABLES, at, bytes);
}

void *arena_take(uint64_t bytes)
{
	uint64_t at = arena_next;

	bytes = (bytes + PAGE - 1) & ~(PAGE - 1);
	if (at + bytes > boot_reserved[BOOT_ARENA].end)
		stop("%lu KiB more were to be taken of the monitor's memory, which is full",
		     bytes >> 10);
	arena_next += bytes;
	memset((void *)at, 0, bytes);
	return (void *)at;
}

static bool is_ram(uint64_t at, uint64_t bytes)
{
	for (unsigned i = 0; i < start->map_entries; i++)
		if (map(i)->type == RAM && at >= map(i)->at &&
		    at + bytes <= map(i)->at + map(i)->bytes)
			return true;
	return false;
}

/* What a machine with so much memory needs: below the bundle, which the loader has put at the end of memory. */
static void place_arena(void)
{
	uint64_t frames = memory_end / PAGE;
	uint64_t bytes = views_bytes(frames) + frames / 512 * PAGE + ARENA_BESIDES;
	uint64_t end = (uint64_t)bundle & ~0x1ffffful;
	uint64_t tables = features.snp ? rmp_bytes(frames) + ACPI_BYTES : 0;

	bytes = (bytes + 0x1fffff) & ~0x1ffffful;
	tables = (tables + 0x1fffff) & ~0x1ffffful;
	boot_reserved[BOOT_IMAGE] = (struct range){(uint64_t)host_begin, IMAGE_END};
	boot_reserved[BOOT_ARENA] = (struct range){end - bytes - tables, end - tables};
	boot_reserved[BOOT_TABLES] = (struct range){end - tables, end};
	bytes += tables;
	if (end < bytes || !is_ram(end - bytes, bytes) ||
	    end - bytes < KERNEL_AT + 4 * bundle->kernel_bytes / 3)
		stop("%lu MiB of memory are too little for the monitor (%lu MiB) and its kernel (%lu MiB)",
		     memory_end >> 20, bytes >> 20, bundle->kernel_bytes >> 20);
	arena_next = boot_reserved[BOOT_ARENA].begin;
	if (features.snp)
		rmp_init(end - tables, frames);
}

void boot_read(const struct start_info *info)
{
	const struct module *module = (const struct module *)info->module_list;
	const char *complaint;

	start = info;
	if (info->magic != PVH_MAGIC || !info->map)
		stop("the loader is none that speaks PVH with a memory map: QEMU's -kernel is one");
	if (info->command_line) {
		const char *from = (const char *)info->command_line;

		if (strlen(from) >= sizeof(command_line))
			stop("-append has more than %zu characters", sizeof(command_line) - 1);
		memcpy(command_line, from, strlen(from) + 1);
	}
	complaint = options_take(command_line);
	if (complaint)
		stop("%s", complaint);
	if (!info->modules)
		stop("no bundle was given: -initrd (lab/host/base/bundle.h)");
	bundle = (const struct bundle *)module->at;
	if (module->bytes < sizeof(*bundle) ||
	    memcmp(bundle->magic, BUNDLE_MAGIC, sizeof(bundle->magic)) ||
	    bundle->kernel_at + bundle->kernel_bytes > module->bytes ||
	    bundle->initrd_at + bundle->initrd_bytes > module->bytes || !bundle->kernel_bytes)
		stop("what -initrd names is no bundle (lab/host/base/bundle.h)");
	for (unsigned i = 0; i < info->map_entries; i++)
		if (map(i)->type == RAM && map(i)->at + map(i)->bytes > memory_end)
			memory_end = map(i)->at + map(i)->bytes;
	place_arena();
}

/* -- L1's zero page. ----------------------------------------------------------------------------- */

static void set32(unsigned offset, uint32_t value)
{
	memcpy(&boot_params[offset], &value, 4);
}

static void add_e820(uint64_t begin, uint64_t end, uint32_t type)
{
	uint8_t *count = &boot_params[BP_E820_ENTRIES];
	uint8_t *entry = &boot_params[BP_E820 + E820_BYTES * *count];
	uint64_t bytes = end - begin;

	if (begin >= end || *count >= E820_MOST)
		return;
	memcpy(entry, &begin, 8);
	memcpy(entry + 8, &bytes, 8);
	memcpy(entry + 16, &type, 4);
	++*count;
}

static void fill_e820(void)
{
	for (unsigned i = 0; i < start->map_entries; i++) {
		uint64_t begin = map(i)->at, end = begin + map(i)->bytes;

		for (unsigned r = 0; map(i)->type == RAM && r < BOOT_RANGES; r++) {
			const struct range *own = &boot_reserved[r];

			if (own->begin < begin || own->end > end)
				continue;
			add_e820(begin, own->begin, RAM);
			add_e820(own->begin, own->end, RESERVED);
			begin = own->end;
		}
		add_e820(begin, end, map(i)->type);
	}
}

/* -- The kernel. --------------------------------------------------------------------------------- */

static uint64_t field(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void *l1s(uint64_t at, uint64_t bytes)
{
	if (!is_ram(at, bytes) || boot_is_reserved(at, bytes) || at + bytes > (uint64_t)bundle)
		stop("the kernel wants to be at %#lx, where no memory is free", at);
	return (void *)at;
}

/* vmlinux: loaded as its program headers say; there is no header of the boot protocol in it. */
static uint64_t load_elf(const uint8_t *image)
{
	const uint8_t *header = image + field(image + 0x20, 8);

	for (unsigned n = field(image + 0x38, 2); n; n--, header += field(image + 0x36, 2)) {
		uint64_t from = field(header + 8, 8), at = field(header + 0x18, 8);
		uint64_t file_bytes = field(header + 0x20, 8), bytes = field(header + 0x28, 8);

		if (field(header, 4) != ELF_LOAD)
			continue;
		if (from + file_bytes > bundle->kernel_bytes || file_bytes > bytes)
			stop("the kernel in the bundle is cut short");
		l1s(at, bytes);
		memcpy((void *)at, image + from, file_bytes);
		memset((void *)(at + file_bytes), 0, bytes - file_bytes);
	}
	memcpy(&boot_params[BP_HEADER], "HdrS", 4);
	boot_params[BP_BOOT_FLAG] = 0x55;
	boot_params[BP_BOOT_FLAG + 1] = 0xaa;
	boot_params[BP_VERSION] = 0x0f;
	boot_params[BP_VERSION + 1] = 0x02;
	set32(BP_ALIGNMENT, 0x1000000);
	return field(image + 0x18, 8);
}

static uint64_t load_bzimage(const uint8_t *image)
{
	unsigned sectors = image[BP_SETUP_SECTS] ? image[BP_SETUP_SECTS] : 4;
	uint64_t bytes = field(image + BP_SYSSIZE, 4) * 16;

	if ((sectors + 1) * 512 + bytes > bundle->kernel_bytes + 16)
		stop("the kernel in the bundle is cut short");
	memcpy(l1s(KERNEL_AT, bytes), image + (sectors + 1) * 512, bytes);
	memcpy(&boot_params[BP_SETUP_SECTS], image + BP_SETUP_SECTS,
	       BP_HEADER + image[BP_JUMP] - BP_SETUP_SECTS);
	return KERNEL_AT + ENTRY64;
}

/* Page tables and descriptors for L1's first instructions: 4 GiB one to one. */
static void first_tables(struct vmcb *b)
{
	uint64_t *table = l1s(START_PAGES, 7 * PAGE);

	memset(table, 0, 7 * PAGE);
	table[0] = START_PAGES + PAGE + 0x67;
	for (unsigned i = 0; i < 4; i++)
		table[512 + i] = START_PAGES + (2 + i) * PAGE + 0x67;
	for (unsigned i = 0; i < 2048; i++)
		table[1024 + i] = (uint64_t)i << 21 | 0xe7;
	memcpy(&table[6 * 512], host_gdt, 32);
	b->cr3 = START_PAGES;
	b->gdtr = (struct svm_segment){0, 0, 31, START_PAGES + 6 * PAGE};
}

void boot_linux(struct cpu *c)
{
	const uint8_t *image = (const uint8_t *)bundle + bundle->kernel_at;
	uint64_t initrd = (uint64_t)bundle + bundle->initrd_at;
	uint8_t *low = l1s(START_PAGES + 7 * PAGE, 2 * PAGE);
	uint64_t rsdp;

	if (!memcmp(image, "\177ELF", 4))
		c->l1.rip = load_elf(image);
	else if (bundle->kernel_bytes > BP_E820 && !memcmp(image + BP_HEADER, "HdrS", 4))
		c->l1.rip = load_bzimage(image);
	else
		stop("the kernel in the bundle is neither a vmlinux nor a bzImage");
	boot_params[BP_LOADER] = 0xff;
	set32(BP_VID_MODE, 0xffff);
	set32(BP_CODE32, KERNEL_AT);
	set32(BP_RAMDISK, initrd);
	set32(BP_RAMDISK_BYTES, bundle->initrd_bytes);
	set32(BP_COMMAND_LINE, (uint64_t)low + PAGE);
	set32(BP_COMMAND_LINE_SIZE, sizeof(command_line) - 1);
	rsdp = start->rsdp;
	if (features.snp)
		rsdp = acpi_add_iommu(rsdp, boot_reserved[BOOT_TABLES].end - ACPI_BYTES);
	memcpy(&boot_params[BP_RSDP], &rsdp, 8);
	fill_e820();
	memcpy(low, boot_params, PAGE);
	memcpy(low + PAGE, command_line, sizeof(command_line));
	first_tables(&c->l1);
	c->regs.rsi = (uint64_t)low;
	say("l0: %lu MiB, kept %#lx-%#lx and %#lx-%#lx; kernel %lu bytes, initramfs %lu bytes at %#lx\n",
	    memory_end >> 20, boot_reserved[BOOT_IMAGE].begin, boot_reserved[BOOT_IMAGE].end,
	    boot_reserved[BOOT_ARENA].begin, boot_reserved[BOOT_TABLES].end, bundle->kernel_bytes,
	    bundle->initrd_bytes, initrd);
}
