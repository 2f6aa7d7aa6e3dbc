/* SPDX-License-Identifier: BSD-2-Clause */
#include "ap.h"

#include "bug.h"
#include "ghcb.h"
#include "sev.h"
#include "smp.h"

#include "string.h"

/* The table of GUIDs at the end of a ROM (rom.S), read backwards. */
#define TABLE_END 32
#define GUID_BYTES 16

struct table_entry {
	uint16_t bytes; /* data, this and the GUID */
	uint8_t guid[GUID_BYTES];
} __attribute__((packed));

static const uint8_t table_guid[GUID_BYTES] = {0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
					       0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d};
static const uint8_t reset_guid[GUID_BYTES] = {0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
					       0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e};

static uint32_t reset_block; /* 0: the ROM has none */

static bool guid_is(const struct table_entry *e, const uint8_t *guid)
{
	return memcmp(e->guid, guid, GUID_BYTES) == 0;
}

void ap_read_rom(const void *rom, uint64_t bytes)
{
	const uint8_t *at = (const uint8_t *)rom + bytes - TABLE_END, *begin;
	const struct table_entry *e = (const struct table_entry *)at - 1;

	if (!guid_is(e, table_guid) || e->bytes > bytes - TABLE_END)
		return;
	begin = at - e->bytes;
	at = (const uint8_t *)e;
	while (at - begin >= (long)sizeof(*e)) {
		e = (const struct table_entry *)at - 1;
		if (e->bytes < sizeof(*e) || at - begin < e->bytes)
			return;
		at -= e->bytes;
		if (guid_is(e, reset_guid))
			memcpy(&reset_block, at, sizeof(reset_block));
	}
}

static void start_at(struct vcpu *v, uint16_t selector, uint64_t base, uint16_t ip)
{
	v->vmcb.cs.selector = selector;
	v->vmcb.cs.base = base;
	v->vmcb.rip = ip;
}

void ap_init(struct vcpu *v)
{
	if (!bug(INIT_KEEPS_APIC))
		lapic_init(&v->apic);
	v->nmi_pending = v->halted = false;
	v->ap.waits_for_sipi = v->number != 0;
	if (l2_is_es())
		return;
	smp_stop(v);
	vcpu_init(v);
}

static void sipi_under_es(struct vcpu *v)
{
	if (!v->ap.started)
		start_at(v, reset_block >> 4 & 0xf000, reset_block & 0xffff0000, reset_block);
	else if (v->ap.held)
		ghcb_end_hold(v, v->ap.page);
	v->ap.held = false;
}

void ap_sipi(struct vcpu *v, unsigned vector)
{
	if (!v->ap.waits_for_sipi && bug(SIPI_RESTARTS) && v->number)
		ap_init(v);
	if (!v->ap.waits_for_sipi)
		return;
	if (l2_is_es())
		sipi_under_es(v);
	else
		start_at(v, vector << 8, (uint64_t)vector << 12, 0);
	v->ap.waits_for_sipi = false;
	v->ap.started = true;
}

void ap_hold(struct vcpu *v, volatile struct ghcb_page *page)
{
	v->ap.held = true;
	v->ap.page = page;
}

bool ap_runs(const struct vcpu *v)
{
	return !v->ap.waits_for_sipi && !v->ap.held;
}
