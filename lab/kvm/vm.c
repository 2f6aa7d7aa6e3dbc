/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "vm.h"

#include "machine.h"
#include "sev.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Three pages and one that Intel's KVM wants for itself. */
#define IDENTITY_PAGE 0xfeffc000ul
#define TSS_PAGES 0xfeffd000ul

static struct kvm_cpuid2 *cpuid, *cpuid_of_first;

struct kvm_cpuid2 *vm_cpuid_of_first(void)
{
	return cpuid_of_first;
}

void vm_create(void)
{
	uint64_t identity = IDENTITY_PAGE;

	machine.vm = sev_create_vm();
	if (sev_memory())
		sev_init();
	must("KVM_SET_IDENTITY_MAP_ADDR", ioctl(machine.vm, KVM_SET_IDENTITY_MAP_ADDR, &identity));
	must("KVM_SET_TSS_ADDR", ioctl(machine.vm, KVM_SET_TSS_ADDR, TSS_PAGES));
	must("KVM_CREATE_IRQCHIP", ioctl(machine.vm, KVM_CREATE_IRQCHIP, 0));
}

/* KVM's CPUID with what tells one CPU from the other. */
static void set_cpuid(unsigned index, unsigned count)
{
	struct kvm_cpuid2 *own = malloc(sizeof(*own) + cpuid->nent * sizeof(own->entries[0]));

	memcpy(own, cpuid, sizeof(*own) + cpuid->nent * sizeof(own->entries[0]));
	for (unsigned i = 0; i < own->nent; i++) {
		struct kvm_cpuid_entry2 *leaf = &own->entries[i];

		switch (leaf->function) {
		case 1:
			leaf->ebx = (leaf->ebx & 0xffff) | count << 16 | index << 24;
			leaf->ecx |= 1u << 31; /* runs under a hypervisor */
			if (ioctl(machine.kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				leaf->ecx |= 1u << 24;
			break;
		case 0xb:
		case 0x1f:
			leaf->edx = index;
			break;
		case 0x80000008:
			leaf->ecx = (leaf->ecx & ~0xffu) | (count - 1);
			break;
		case 0x8000001e:
			leaf->eax = index;
			break;
		}
		sev_set_leaf(leaf);
	}
	must("KVM_SET_CPUID2", ioctl(machine.vcpus[index], KVM_SET_CPUID2, own));
	if (index) {
		free(own);
		return;
	}
	free(cpuid_of_first);
	cpuid_of_first = own;
}

/*
 * KVM for AMD begins with a 16-bit TSS in TR, which Bochs refuses to enter long mode with, as Intel's
 * manual demands ("IA-32e Mode Operation: Initializing"). QEMU makes it a 32-bit one, and so do we.
 */
static void set_task_segment(int vcpu)
{
	struct kvm_sregs state;

	must("KVM_GET_SREGS", ioctl(vcpu, KVM_GET_SREGS, &state));
	state.tr.type = 11;
	must("KVM_SET_SREGS", ioctl(vcpu, KVM_SET_SREGS, &state));
}

void vm_create_cpus(unsigned count)
{
	enum { LEAVES = 256 };

	if (!cpuid) {
		cpuid = calloc(1, sizeof(*cpuid) + LEAVES * sizeof(cpuid->entries[0]));
		cpuid->nent = LEAVES;
		must("KVM_GET_SUPPORTED_CPUID", ioctl(machine.kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	}
	for (unsigned i = 0; i < count; i++) {
		machine.vcpus[i] = must("KVM_CREATE_VCPU", ioctl(machine.vm, KVM_CREATE_VCPU, i));
		set_cpuid(i, count);
		set_task_segment(machine.vcpus[i]);
	}
}

static size_t run_bytes(void)
{
	return must("KVM_GET_VCPU_MMAP_SIZE", ioctl(machine.kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
}

struct kvm_run *vm_map_run(unsigned index)
{
	struct kvm_run *run = mmap(NULL, run_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
				   machine.vcpus[index], 0);

	must("mmap of a CPU", run == MAP_FAILED ? -1 : 0);
	return run;
}

void vm_unmap(struct kvm_run *run)
{
	must("munmap of a CPU", munmap(run, run_bytes()));
}
