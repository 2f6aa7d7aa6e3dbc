/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard.h"

#include "base/log.h"
#include "base/opcode.h"
#include "memory/views.h"

#define IO_MAP_BYTES (3 * PAGE)
#define MSR_MAP_BYTES (2 * PAGE)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* QEMU's configuration device copies its files to any address: docs/specs/fw_cfg.rst, "Guest-side DMA Interface". */
#define FW_CFG_DMA 0x514
#define FW_CFG_DMA_END 0x51c
#define PCI_CONFIG 0xcf8
#define PCI_CONFIG_END 0xd00

#define APIC_AT 0xfee00000ul
#define APIC_ADDRESS 0x000ffffffffff000ul

/* One bit for a port. */
static const struct guarded ports[] = {
	{FW_CFG_DMA / 8, 0xf0},
	{FW_CFG_DMA / 8 + 1, 0x0f},
	{PCI_CONFIG / 8, 0xff},
};

/* Two bits, read and write, for an MSR; those of C001_0000 on begin at 0x1000. */
static const struct guarded msrs[] = {
	{MSR_APIC_BASE / 4, 2 << (MSR_APIC_BASE & 3) * 2},
	{0x1000 + (MSR_VM_HSAVE_PA & 0x1fff) / 4, 3 << (MSR_VM_HSAVE_PA & 3) * 2},
};

/* Where L1 has none. */
static uint8_t no_io_map[IO_MAP_BYTES] __attribute__((aligned(4096)));
static uint8_t no_msr_map[MSR_MAP_BYTES] __attribute__((aligned(4096)));

static struct {
	uint64_t iopm, msrpm;
	uint8_t ports[COUNT(ports)], msrs[COUNT(msrs)];
} was;

void guard_set(uint8_t *map, const struct guarded *g, unsigned count, uint8_t *old)
{
	for (unsigned i = 0; i < count; i++) {
		old[i] = map[g[i].at];
		map[g[i].at] |= g[i].bits;
	}
}

void guard_put_back(uint8_t *map, const struct guarded *g, unsigned count, const uint8_t *old)
{
	for (unsigned i = 0; i < count; i++)
		map[g[i].at] = old[i];
}

static uint8_t *map_at(uint64_t address)
{
	return (uint8_t *)(address & ~(PAGE - 1));
}

void guard_before(struct l2 *l)
{
	struct vmcb *b = l->b;

	was.iopm = b->iopm;
	was.msrpm = b->msrpm;
	if (!l2_wants(l, SVM_INTERCEPT_IOIO))
		b->iopm = (uint64_t)no_io_map;
	if (!l2_wants(l, SVM_INTERCEPT_MSR))
		b->msrpm = (uint64_t)no_msr_map;
	guard_set(map_at(b->iopm), ports, COUNT(ports), was.ports);
	guard_set(map_at(b->msrpm), msrs, COUNT(msrs), was.msrs);
	l2_intercept(l, SVM_INTERCEPT_IOIO);
	l2_intercept(l, SVM_INTERCEPT_MSR);
	l2_intercept(l, SVM_INTERCEPT_VMLOAD);
	l2_intercept(l, SVM_INTERCEPT_VMSAVE);
}

void guard_after(struct l2 *l)
{
	struct vmcb *b = l->b;

	guard_put_back(map_at(b->iopm), ports, COUNT(ports), was.ports);
	guard_put_back(map_at(b->msrpm), msrs, COUNT(msrs), was.msrs);
	b->iopm = was.iopm;
	b->msrpm = was.msrpm;
}

/* -- What L1 did not ask for. ---------------------------------------------------------------------- */

static bool overlaps(uint16_t port, unsigned bytes, uint16_t begin, uint16_t end)
{
	return port < end && port + bytes > begin;
}

/* Whether L1's map asks for any of them. APM 2, "I/O Permissions Map". */
static bool asked_for_port(const struct l2 *l, uint16_t port, unsigned bytes)
{
	const uint8_t *map = map_at(l->b->iopm);

	for (unsigned i = 0; i < bytes; i++)
		if (map[(port + i) / 8] >> (port + i) % 8 & 1)
			return true;
	return false;
}

static void check_port(const struct l2 *l)
{
	uint16_t port = l->b->exit_info1 >> 16;
	unsigned bytes = l->b->exit_info1 >> 4 & 7;

	if (!overlaps(port, bytes, FW_CFG_DMA, FW_CFG_DMA_END) &&
	    !overlaps(port, bytes, PCI_CONFIG, PCI_CONFIG_END))
		return;
	if (!l2_wants(l, SVM_INTERCEPT_IOIO) || !asked_for_port(l, port, bytes))
		stop("L1 leaves port %#x to its L2, by which that could reach all memory", port);
}

/* Returns true: L2 goes on. MSRs that are in no map exit whatever the map says. */
static bool move_msr(struct l2 *l)
{
	struct vmcb *b = l->b;
	uint32_t msr = l->cpu->regs.rcx;
	uint8_t code[15];
	struct opcode o;

	if (!opcode_at(&o, code, space_code(&l->space, code), code_bits(b)))
		stop("L2's RDMSR or WRMSR at %#lx cannot be read", b->rip);
	if (b->exit_info1 & 1)
		wrmsr(msr, cpu_get_pair(l->cpu, b));
	else
		cpu_set_pair(l->cpu, b, rdmsr(msr));
	return l2_done(l, b->rip + o.length);
}

static void check_msr(const struct l2 *l)
{
	uint32_t msr = l->cpu->regs.rcx;
	bool is_write = l->b->exit_info1 & 1;
	const uint8_t *map = map_at(l->b->msrpm);
	unsigned at = msr == MSR_APIC_BASE ? msrs[0].at : msrs[1].at;

	if (msr != MSR_VM_HSAVE_PA && (msr != MSR_APIC_BASE || !is_write))
		return;
	if (!l2_wants(l, SVM_INTERCEPT_MSR) || !(map[at] >> (2 * (msr & 3) + is_write) & 1))
		stop("L1 leaves MSR %#x to its L2, by which that could reach all memory", msr);
}

/* The address is one of the machine's: no nested table is asked. */
static bool carry_out(struct l2 *l, bool is_load)
{
	struct vmcb *b = l->b;
	uint64_t at = code_bits(b) == 64 ? b->rax : (uint32_t)b->rax;
	uint8_t code[15];
	struct opcode o;

	if (!memory_is_l1s(at & ~(PAGE - 1), PAGE))
		stop("L2 reaches for %#lx by VMLOAD or VMSAVE, which L1 leaves to it and is not L1's",
		     at);
	if (!opcode_at(&o, code, space_code(&l->space, code), code_bits(b)))
		stop("L2's VMLOAD or VMSAVE at %#lx cannot be read", b->rip);
	if (at & (PAGE - 1))
		return l2_raise(l, VECTOR_GP, true, 0);
	views_show(at, 0);
	if (is_load)
		vmload((const void *)at);
	else
		vmsave((void *)at);
	/* A sealed guest's registers go from here into its VMSA. */
	if (is_load && l->sealed)
		vmsave(b);
	return l2_done(l, b->rip + o.length);
}

bool guard_exit(struct l2 *l)
{
	switch (l->b->exit_code) {
	case SVM_EXIT(IOIO):
		check_port(l);
		return false;
	case SVM_EXIT(MSR):
		check_msr(l);
		return !l2_wants(l, SVM_INTERCEPT_MSR) && move_msr(l);
	case SVM_EXIT(VMLOAD):
		return !l2_wants(l, SVM_INTERCEPT_VMLOAD) && carry_out(l, true);
	case SVM_EXIT(VMSAVE):
		return !l2_wants(l, SVM_INTERCEPT_VMSAVE) && carry_out(l, false);
	}
	return false;
}

/* -- L1 itself. -------------------------------------------------------------------------------------- */

bool guard_claims_port(uint16_t port, unsigned bytes)
{
	return overlaps(port, bytes, FW_CFG_DMA, FW_CFG_DMA_END);
}

bool guard_allows_apic(uint64_t base)
{
	return (base & APIC_ADDRESS) == APIC_AT;
}
