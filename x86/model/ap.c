/* SPDX-License-Identifier: BSD-2-Clause */
#include "ap.h"

#include "bug.h"
#include "ghcb.h"
#include "rom_table.h"
#include "sev.h"
#include "smp.h"

static const uint8_t reset_guid[] = {0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
				     0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e};

static uint32_t reset_block; /* 0: the ROM has none */

void ap_read_rom(const void *rom, uint64_t bytes)
{
	reset_block = rom_table_word(rom, bytes, reset_guid);
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
