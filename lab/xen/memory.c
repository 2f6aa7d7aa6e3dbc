/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Xen gives a domain all its memory at once and never takes back what it has mapped. What makes a page cold is log-
 * dirty mode: to learn which pages a guest touches, Xen takes away its rights at the top of its second-level page
 * tables (or drops the shadow ones), and the next access to each page faults and is sorted out. The mode is entered
 * before the guest starts and begun anew (OP_CLEAN) for each change of a PAM register.
 */
#include "memory.h"

#include "../common/image.h"
#include "../common/machine.h"
#include "abi.h"
#include "domain.h"
#include "xen.h"

#include <string.h>

#define NO_PAGE (~0ul)

static uint8_t image_window[IMAGE_MAX] __attribute__((aligned(4096)));
static uint8_t page_window[PAGE_BYTES] __attribute__((aligned(4096)));
static size_t image_mapped;
static uint64_t page_shown = NO_PAGE;
static bool logging;

static void unmap_all(void)
{
	for (size_t at = 0; at < image_mapped; at += PAGE_BYTES)
		xen_unmap(image_window + at);
	image_mapped = 0;
	if (page_shown != NO_PAGE)
		xen_unmap(page_window);
	page_shown = NO_PAGE;
	logging = false;
}

void memory_start(void)
{
	domain_at_end(unmap_all);
}

void memory_set_image(const uint8_t *image, size_t bytes, const char *words)
{
	uint64_t first = (FOUR_GIB - bytes) / PAGE_BYTES;

	if (bytes > IMAGE_MAX)
		end("the image has %lu bytes, more than %lu", bytes, IMAGE_MAX);
	domain_populate(first, bytes / PAGE_BYTES);
	for (; image_mapped < bytes; image_mapped += PAGE_BYTES)
		must("map a page of the image", xen_map(image_window + image_mapped, domain.id,
							first + image_mapped / PAGE_BYTES, false));
	memcpy(image_window, image, bytes);
	image_set_words(image_window, bytes, words);
}

uint8_t *guest_byte(uint64_t address)
{
	if (address >= RAM_BYTES)
		return NULL;
	if (page_shown != address / PAGE_BYTES) {
		if (xen_map(page_window, domain.id, address / PAGE_BYTES, false) < 0)
			return NULL;
		page_shown = address / PAGE_BYTES;
	}
	return page_window + address % PAGE_BYTES;
}

void forget_all(void)
{
	struct domctl op = {.shadow = {.op = logging ? SHADOW_CLEAN : SHADOW_LOG_DIRTY}};

	must(logging ? "log-dirty clean" : "log-dirty mode", domctl(&op, DOMCTL_SHADOW));
	logging = true;
}

/* One page: as part of a screen of which a device model wants to know what has changed. */
void forget_page(uint64_t number)
{
	static uint64_t bitmap;
	struct dm_op op = {.op = DM_TRACK_DIRTY, .dirty = {.count = 1, .first = number}};
	struct dm_buffer buffers[] = {{&op, sizeof(op)}, {&bitmap, sizeof(bitmap)}};

	must("track_dirty_vram", hypercall(OP_DM, (uint64_t)domain.id, 2ul, buffers));
}
