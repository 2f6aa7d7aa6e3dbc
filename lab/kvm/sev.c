/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "sev.h"

#include "../common/order.h"
#include "machine.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Linux 6.10: types of VMs, and a call for both kinds. The headers that this is built with may be older. */
#define CAP_VM_TYPES 235
#define INIT2 22
struct init2 {
	uint64_t vmsa_features;
	uint32_t flags;
	uint16_t ghcb_version; /* 6.11; 0: KVM's own choice */
	uint16_t padding1;
	uint32_t padding2[8];
};

/* Policy of a guest (SEV API, "Guest Policy Structure"). */
#define POLICY_NO_DEBUGGING 1u
#define POLICY_SEV_ES 4u

#define LEAF_SVM 0x80000001u
#define LEAF_ENCRYPTION 0x8000001fu
#define SVM_BIT (1u << 2)
#define ENCRYPTION_SEV (1u << 1)
#define ENCRYPTION_SEV_ES (1u << 3)
#define ENCRYPTION_SEV_SNP (1u << 4)
#define C_BIT_POSITION 0x3fu
#define ADDRESS_BITS_LOST (1u << 6)

/* The values are KVM's types of VMs. */
static enum { NONE = 0, MEMORY = 2, REGISTERS = 3, INTEGRITY = 4 } kind;
static uint16_t ghcb_version;
static bool typed;
static int device;

void sev_choose(const char *options)
{
	kind = has_option(options, "sev-snp")  ? INTEGRITY
	       : has_option(options, "sev-es") ? REGISTERS
	       : has_option(options, "sev")    ? MEMORY
					       : NONE;
	ghcb_version = has_option(options, "ghcb=1") ? 1 : has_option(options, "ghcb=2") ? 2 : 0;
}

bool sev_memory(void)
{
	return kind != NONE;
}

bool sev_registers(void)
{
	return kind >= REGISTERS;
}

bool sev_integrity(void)
{
	return kind == INTEGRITY;
}

int sev_command_again(const char *name, uint32_t id, void *data)
{
	struct kvm_sev_cmd request = {.id = id, .data = (uintptr_t)data, .sev_fd = device};
	int error;

	if (ioctl(machine.vm, KVM_MEMORY_ENCRYPT_OP, &request) >= 0)
		return 0;
	error = errno;
	if (error == EAGAIN)
		return error;
	pthread_mutex_lock(&machine.lock);
	end("%s: %s, the Secure Processor's status %#x", name, strerror(error), request.error);
}

void sev_command(const char *name, uint32_t id, void *data)
{
	if (sev_command_again(name, id, data)) {
		pthread_mutex_lock(&machine.lock);
		end("%s: %s", name, strerror(EAGAIN));
	}
}
#define COMMAND(id, data) sev_command(#id, id, data)

int sev_create_vm(void)
{
	int types = ioctl(machine.kvm, KVM_CHECK_EXTENSION, CAP_VM_TYPES);

	typed = kind != NONE && types > 0 && types >> kind & 1;
	return must("KVM_CREATE_VM", ioctl(machine.kvm, KVM_CREATE_VM, typed ? kind : 0));
}

void sev_init(void)
{
	struct init2 request = {.ghcb_version = ghcb_version};

	device = MUST(open("/dev/sev", O_RDWR | O_CLOEXEC));
	if (typed)
		sev_command("KVM_SEV_INIT2", INIT2, &request);
	else if (kind == REGISTERS)
		COMMAND(KVM_SEV_ES_INIT, NULL);
	else
		COMMAND(KVM_SEV_INIT, NULL);
}

void sev_set_leaf(struct kvm_cpuid_entry2 *leaf)
{
	unsigned a = 0, b = 0, c = 0, d = 0;

	if (leaf->function == LEAF_SVM && kind != NONE)
		leaf->ecx &= ~SVM_BIT; /* KVM could not read its VMCBs */
	if (leaf->function != LEAF_ENCRYPTION)
		return;
	leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
	if (kind == NONE)
		return;
	__cpuid_count(LEAF_ENCRYPTION, 0, a, b, c, d);
	leaf->eax = ENCRYPTION_SEV | (kind >= REGISTERS ? ENCRYPTION_SEV_ES : 0) |
		    (kind == INTEGRITY ? ENCRYPTION_SEV_SNP : 0);
	leaf->ebx = (b & C_BIT_POSITION) | ADDRESS_BITS_LOST;
}

/*
 * Where a CPU starts that another one wakes: the ROM's table says so, below the GUID of the "SEV-ES reset block"
 * (QEMU, docs/specs and pc_system_parse_sev_metadata; OVMF's reset vector). It must be in the registers when they
 * are sealed.
 */
static void set_starts(const uint8_t *image, size_t bytes)
{
	/* 00f771de-1a7e-4fcb-890e-68c77e2fb44e; before it a length of two bytes, and before that the address. */
	static const uint8_t guid[] = {0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
				       0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e};
	const uint8_t *found = memmem(image, bytes, guid, sizeof(guid));
	uint32_t address;

	if (!found || found < image + 6)
		return;
	memcpy(&address, found - 6, sizeof(address));
	for (unsigned i = 1; i < machine.cpus; i++) {
		struct kvm_sregs sregs;
		struct kvm_regs regs;

		must("KVM_GET_SREGS", ioctl(machine.vcpus[i], KVM_GET_SREGS, &sregs));
		must("KVM_GET_REGS", ioctl(machine.vcpus[i], KVM_GET_REGS, &regs));
		sregs.cs.base = address & 0xffff0000;
		regs.rip = address & 0xffff;
		must("KVM_SET_SREGS", ioctl(machine.vcpus[i], KVM_SET_SREGS, &sregs));
		must("KVM_SET_REGS", ioctl(machine.vcpus[i], KVM_SET_REGS, &regs));
	}
}

void sev_launch(uint8_t *image, size_t bytes)
{
	static uint8_t measurement[64];
	struct kvm_sev_launch_start start = {.policy = POLICY_NO_DEBUGGING |
						       (kind == REGISTERS ? POLICY_SEV_ES : 0)};
	struct kvm_sev_launch_update_data data = {.uaddr = (uintptr_t)image, .len = bytes};
	struct kvm_sev_launch_measure measure = {.uaddr = (uintptr_t)measurement,
						 .len = sizeof(measurement)};

	COMMAND(KVM_SEV_LAUNCH_START, &start);
	if (kind == REGISTERS)
		set_starts(image, bytes); /* while the image can still be read */
	COMMAND(KVM_SEV_LAUNCH_UPDATE_DATA, &data);
	if (kind == REGISTERS)
		COMMAND(KVM_SEV_LAUNCH_UPDATE_VMSA, NULL);
	COMMAND(KVM_SEV_LAUNCH_MEASURE, &measure);
	COMMAND(KVM_SEV_LAUNCH_FINISH, NULL);
}
