/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

#include "../common/machine.h"
#include "../common/ports.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

static struct kvm_coalesced_mmio_ring *ring;
static bool used;
static int of_vm;

void ring_start(int kvm, int vm, void *cpu_pages)
{
	int page = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (page <= 0 || ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0)
		return;
	of_vm = vm;
	ring = (void *)((char *)cpu_pages + page * PAGE_BYTES);
}

bool ring_use(bool on)
{
	struct kvm_coalesced_mmio_zone zones[] = {
		{.addr = COM1_PORT, .size = 1, .pio = 1},
		{.addr = WORDS_PORT, .size = 4, .pio = 1},
	};

	if (!ring || on == used)
		return true;
	used = on;
	for (unsigned i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		if (ioctl(of_vm, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
			  &zones[i]) < 0)
			return false;
	return true;
}

void ring_drain(void)
{
	unsigned entries = (PAGE_BYTES - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);

	while (ring && ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[ring->first];

		for (unsigned i = 0; i < entry->len && i < sizeof(entry->data); i++)
			com1_send(entry->data[i]);
		__atomic_store_n(&ring->first, (ring->first + 1) % entries, __ATOMIC_RELEASE);
	}
}

bool ring_move(int kvm, int vm, void *cpu_pages)
{
	bool on = used;

	ring_drain();
	used = false;
	ring_start(kvm, vm, cpu_pages);
	return ring_use(on);
}
