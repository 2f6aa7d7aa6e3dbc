/* SPDX-License-Identifier: BSD-2-Clause */
#include "ap.h"

#include "bug.h"
#include "memory.h"
#include "sev/ghcb.h"
#include "sev/rmp.h"
#include "sev/rom_table.h"
#include "sev/sev.h"
#include "smp.h"

#include "panic.h"
#include "string.h"
#include "x86/devices/apic.h"
#include "x86/nested/svm/vmsa_regs.h"

static const uint8_t reset_guid[] = {0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
				     0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e};

static uint32_t reset_block; /* 0: the ROM has none; QEMU launches no such guest under SEV-ES */

void ap_read_rom(const void *rom, uint64_t bytes)
{
	reset_block = rom_table_word(rom, bytes, reset_guid);
	if (!reset_block && l2_is_es())
		panic("model: the ROM has no SEV-ES reset block");
}

static void start_at(struct vcpu *v, uint16_t selector, uint64_t base, uint16_t ip)
{
	v->vmcb.cs.selector = selector;
	v->vmcb.cs.base = base;
	v->vmcb.rip = ip;
}

static void init_apic(struct vcpu *v)
{
	uint32_t lvt[sizeof(v->apic.lvt) / sizeof(v->apic.lvt[0])];

	memcpy(lvt, v->apic.lvt, sizeof(lvt));
	if (!bug(INIT_KEEPS_APIC))
		lapic_init(&v->apic);
	if (v->ap.started && bug(INIT_KEEPS_LVT))
		memcpy(v->apic.lvt, lvt, sizeof(lvt));
	if (v->ap.started && bug(INIT_APIC_BASE))
		v->apic.base |= APIC_BASE_BSP;
}

void ap_init(struct vcpu *v)
{
	init_apic(v);
	v->nmi_pending = false;
	v->halted = v->halted && bug(INIT_STAYS_HALTED);
	v->ap.waits_for_sipi = v->number != 0;
	if (v->ap.on_init) {
		ap_create(v, v->ap.on_init);
		return;
	}
	if (l2_is_es())
		return;
	smp_stop(v);
	vcpu_init(v);
	if (v->ap.started && bug(INIT_STARTS))
		ap_sipi(v, v->ap.last_page);
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
	if (vector & 2 && bug(SIPI_PAGE))
		vector &= ~2u;
	v->ap.last_page = vector;
	if (l2_is_es())
		sipi_under_es(v);
	else
		start_at(v, vector << 8, (uint64_t)vector << 12, 0);
	v->ap.waits_for_sipi = false;
	v->ap.started = true;
}

void ap_other_event(struct vcpu *v)
{
	if (v->ap.waits_for_sipi && v->ap.started && bug(WAITING_WAKES))
		ap_sipi(v, v->ap.last_page);
}

/* VMRUN reads all registers from the page. */
static void load_vmsa(struct vcpu *v, const struct vmsa *s)
{
	size_t shared = offsetof(struct vmsa, pat) + sizeof(s->pat);

	memcpy(&v->vmcb.es, s, shared);
	v->regs = vmsa_get_regs(s);
	if (bug(SNP_AP_REGISTERS))
		v->regs.rdx = v->regs.r9 = 0;
}

void ap_create(struct vcpu *v, uint64_t vmsa)
{
	if (!rmp_is_private(vmsa) || !rmp_is_vmsa(vmsa))
		panic("model: VMRUN of CPU %u fails: the page at %#lx is no VMSA", v->number, vmsa);
	smp_stop(v);
	load_vmsa(v, memory_at(vmsa | 1ul << sev_c_bit_position()));
	sev_view_changed(v);
	v->event.what = 0;
	v->halted = false;
	v->ap = (struct ap_state){.started = true};
	smp_kick(v);
}

void ap_create_on_init(struct vcpu *v, uint64_t vmsa)
{
	if (bug(SNP_AP_AT_ONCE))
		ap_create(v, vmsa);
	else
		v->ap.on_init = vmsa;
}

void ap_destroy(struct vcpu *v)
{
	if (bug(SNP_AP_LIVES))
		return;
	smp_stop(v);
	v->ap.destroyed = true;
}

void ap_hold(struct vcpu *v, volatile struct ghcb_page *page)
{
	v->ap.held = true;
	v->ap.page = page;
	if (bug(GHCB_HOLD_ENDS)) {
		v->ap.held = false;
		ghcb_end_hold(v, page);
	}
}

bool ap_runs(const struct vcpu *v)
{
	return !v->ap.waits_for_sipi && !v->ap.held && !v->ap.destroyed;
}
