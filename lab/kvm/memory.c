/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "memory.h"

#include "machine.h"
#include "sev.h"
#include "snp.h"

#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* What the PAM registers of the host bridge are about lies in a slot of its own. */
enum { SLOT_LOW, SLOT_PAM, SLOT_HIGH, SLOT_ROM, SLOTS };

static struct kvm_userspace_memory_region slots[SLOTS];

static void apply(const struct kvm_userspace_memory_region *slot)
{
	if (sev_integrity())
		snp_set_slot(slot);
	else
		must("KVM_SET_USER_MEMORY_REGION",
		     ioctl(machine.vm, KVM_SET_USER_MEMORY_REGION, slot));
}

/* KVM's second address space is what a CPU in SMM sees: the same. */
#define SMM_SPACE (1u << 16)

static void set_slot_of_smm(unsigned number)
{
	struct kvm_userspace_memory_region slot = slots[number];

	if (sev_memory() || ioctl(machine.vm, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) <= 0)
		return;
	slot.slot |= SMM_SPACE;
	apply(&slot);
}

static void set_slot(unsigned number, uint64_t guest, void *host, uint64_t bytes, uint32_t flags)
{
	slots[number] = (struct kvm_userspace_memory_region){
		.slot = number,
		.flags = flags,
		.guest_phys_addr = guest,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)host,
	};
	apply(&slots[number]);
	set_slot_of_smm(number);
}

void create_memory(void *rom, uint64_t rom_bytes)
{
	uint8_t *ram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must("mmap of memory", ram == MAP_FAILED ? -1 : 0);
	if (sev_integrity())
		snp_create_memory(rom_bytes);
	madvise(ram, RAM_BYTES, MADV_NOHUGEPAGE);
	machine.ram = ram;
	set_slot(SLOT_LOW, 0, ram, HOLE_BASE, 0);
	set_slot(SLOT_PAM, PAM_BASE, ram + PAM_BASE, PAM_END - PAM_BASE, 0);
	set_slot(SLOT_HIGH, PAM_END, ram + PAM_END, RAM_BYTES - PAM_END, 0);
	/* KVM would have to emulate what writes to read-only memory, which it cannot with registers encrypted. */
	set_slot(SLOT_ROM, FOUR_GIB - rom_bytes, rom, rom_bytes,
		 sev_registers() ? 0 : KVM_MEM_READONLY);
}

void forget_page(uint64_t number)
{
	/* Shared memory stays; what goes is its place in this process's page tables, and with that in KVM's. */
	if (number < RAM_BYTES / PAGE_BYTES)
		must("madvise",
		     madvise(machine.ram + number * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED));
}

static void renew(unsigned number)
{
	struct kvm_userspace_memory_region gone = slots[number];

	gone.memory_size = 0;
	apply(&gone);
	apply(&slots[number]);
}

void renew_pam_slot(void)
{
	renew(SLOT_PAM);
}

void apply_all_slots(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		apply(&slots[i]);
}

void renew_all_slots(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		renew(i);
}
