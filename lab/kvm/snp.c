/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "snp.h"

#include "machine.h"
#include "memory.h"
#include "sev.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

/* Linux 6.8. */
struct region2 {
	struct kvm_userspace_memory_region old;
	uint64_t file_offset;
	uint32_t file, padding1;
	uint64_t padding2[14];
};
struct guest_memfd {
	uint64_t bytes, flags, reserved[6];
};
struct attributes {
	uint64_t address, bytes, attributes, flags;
};
#define SET_REGION2 _IOW(KVMIO, 0x49, struct region2)
#define SET_ATTRIBUTES _IOW(KVMIO, 0xd2, struct attributes)
#define CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct guest_memfd)
#define HAS_GUEST_MEMFD (1u << 2)
#define PRIVATE (1u << 3) /* of attributes, and of a memory fault's flags */

#define CAP_EXIT_HYPERCALL 201
#define HC_MAP_GPA_RANGE 12
#define MAP_ENCRYPTED (1u << 4)
#define EXIT_MEMORY_FAULT 39
struct memory_fault {
	uint64_t flags, gpa, bytes;
};

/* Linux 6.11. */
enum { LAUNCH_START = 100, LAUNCH_UPDATE, LAUNCH_FINISH };
enum { PAGE_NORMAL = 1, PAGE_ZERO = 3, PAGE_SECRETS = 5, PAGE_CPUID = 6 };
struct launch_start {
	uint64_t policy;
	uint8_t gosvw[16];
	uint16_t flags;
	uint8_t padding0[6];
	uint64_t padding1[4];
};
struct launch_update {
	uint64_t gfn, from, bytes;
	uint8_t type, padding0;
	uint16_t flags;
	uint32_t padding1;
	uint64_t padding2[4];
};
struct launch_finish {
	uint64_t id_block, id_auth;
	uint8_t has_id_block, has_auth_key, vcek_disabled, host_data[32], padding0[3];
	uint16_t flags;
	uint64_t padding1[4];
};
#define POLICY 0x30000 /* as of the machine sev-snp: SMT may be on, and a bit that must be set */

static int file;

void snp_create_memory(uint64_t image_bytes)
{
	struct guest_memfd request = {.bytes = RAM_BYTES + image_bytes};
	struct kvm_enable_cap hypercalls = {.cap = CAP_EXIT_HYPERCALL,
					    .args = {1u << HC_MAP_GPA_RANGE}};

	must("KVM_CAP_EXIT_HYPERCALL", ioctl(machine.vm, KVM_ENABLE_CAP, &hypercalls));
	file = must("KVM_CREATE_GUEST_MEMFD", ioctl(machine.vm, CREATE_GUEST_MEMFD, &request));
}

/* The image, at the top of 4 GiB, lies behind RAM in the file. */
static uint64_t offset_of(uint64_t guest)
{
	return guest < RAM_BYTES ? guest : RAM_BYTES;
}

void snp_set_slot(const struct kvm_userspace_memory_region *slot)
{
	struct region2 request = {
		.old = *slot,
		.file_offset = offset_of(slot->guest_phys_addr),
		.file = file,
	};

	request.old.flags |= HAS_GUEST_MEMFD;
	must("KVM_SET_USER_MEMORY_REGION2", ioctl(machine.vm, SET_REGION2, &request));
}

/* What becomes shared gives its private page back: with that, KVM has the RMP forget it. */
static void set_private(uint64_t guest, uint64_t bytes, bool private)
{
	struct attributes request = {guest, bytes, private ? PRIVATE : 0, 0};

	must("KVM_SET_MEMORY_ATTRIBUTES", ioctl(machine.vm, SET_ATTRIBUTES, &request));
	if (!private && guest < RAM_BYTES)
		must("fallocate of guest_memfd",
		     fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_of(guest),
			       bytes));
}

/* -- Launch. ------------------------------------------------------------------------------------- */

static void update(uint64_t guest, void *from, uint64_t bytes, unsigned type)
{
	struct launch_update request = {.gfn = guest / PAGE_BYTES,
					.from = (uintptr_t)from,
					.bytes = bytes,
					.type = type};

	/* KVM counts on what is left, and stops where somebody else wants the CPU. */
	while (request.bytes)
		if (sev_command_again("KVM_SEV_SNP_LAUNCH_UPDATE", LAUNCH_UPDATE, &request) !=
		    EAGAIN)
			break;
}

/* The CPUID page: SNP ABI, "CPUID Page". As QEMU fills it: a leaf that is empty is there, a sub-leaf is not. */
static void *cpuid_page(const struct kvm_cpuid2 *cpuid)
{
	enum { MOST = 64 };
	static struct {
		uint32_t count, reserved[3];
		struct {
			uint32_t leaf, subleaf;
			uint64_t xcr0, xss;
			uint32_t a, b, c, d;
			uint64_t reserved;
		} entry[MOST];
		uint8_t rest[PAGE_BYTES - 16 - MOST * 48];
	} page __attribute__((aligned(4096)));

	for (unsigned i = 0; i < cpuid->nent && page.count < MOST; i++) {
		const struct kvm_cpuid_entry2 leaf = cpuid->entries[i];

		if (leaf.function >> 28 == 4 ||
		    (leaf.index && !(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx)))
			continue;
		page.entry[page.count].leaf = leaf.function;
		page.entry[page.count].subleaf = leaf.index;
		page.entry[page.count].xcr0 = leaf.function == 0xd && leaf.index < 2;
		page.entry[page.count].a = leaf.eax;
		page.entry[page.count].b = leaf.ebx;
		page.entry[page.count].c = leaf.ecx;
		page.entry[page.count].d = leaf.edx;
		page.count++;
	}
	return &page;
}

struct metadata {
	char magic[4];
	uint32_t bytes, version, sections;
	struct {
		uint32_t base, bytes, type;
	} section[];
};
enum { SECTION_MEMORY = 1, SECTION_SECRETS, SECTION_CPUID };

static const struct metadata *find_metadata(const uint8_t *image, size_t bytes)
{
	/* dc886566-984a-4798-a75e-5585a7bf67cc; before it a length of two bytes, and before that the distance from the end. */
	static const uint8_t guid[] = {0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
				       0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc};
	const uint8_t *found = memmem(image, bytes, guid, sizeof(guid));
	const struct metadata *m;
	uint32_t distance;

	if (!found || found < image + 6)
		return NULL;
	memcpy(&distance, found - 6, sizeof(distance));
	if (distance > bytes || distance < sizeof(*m))
		return NULL;
	m = (const struct metadata *)(image + bytes - distance);
	return memcmp(m->magic, "ASEV", 4) ||
			       sizeof(*m) + m->sections * sizeof(m->section[0]) > distance
		       ? NULL
		       : m;
}

/*
 * KVM looks at a request for AP creation only on the way into a guest, where a CPU that waits for its SIPI never is: KVM_RUN
 * of it comes back with EAGAIN for ever (bugs.toml, kvm-snp-ap-create-unstarted). One that is halted gets there.
 */
static void halt_others(void)
{
	struct kvm_mp_state halted = {KVM_MP_STATE_HALTED};

	for (unsigned i = 1; i < machine.cpus; i++)
		must("KVM_SET_MP_STATE", ioctl(machine.vcpus[i], KVM_SET_MP_STATE, &halted));
}

void snp_launch(uint8_t *image, size_t bytes, const struct kvm_cpuid2 *cpuid)
{
	static uint8_t secrets[PAGE_BYTES] __attribute__((aligned(4096)));
	const struct metadata *m = find_metadata(image, bytes);
	struct launch_start start = {.policy = POLICY};
	struct launch_finish finish = {0};

	if (!m) {
		pthread_mutex_lock(&machine.lock);
		end("the image has no metadata for SEV-SNP, which its launch goes by");
	}
	sev_command("KVM_SEV_SNP_LAUNCH_START", LAUNCH_START, &start);
	set_private(0, HOLE_BASE, true);
	set_private(PAM_BASE, RAM_BYTES - PAM_BASE, true);
	set_private(FOUR_GIB - bytes, bytes, true);
	update(FOUR_GIB - bytes, image, bytes, PAGE_NORMAL);
	for (unsigned i = 0; i < m->sections; i++) {
		uint64_t base = m->section[i].base, length = m->section[i].bytes;

		switch (m->section[i].type) {
		case SECTION_MEMORY:
			update(base, NULL, length, PAGE_ZERO);
			break;
		case SECTION_SECRETS:
			update(base, secrets, length, PAGE_SECRETS);
			break;
		case SECTION_CPUID:
			update(base, cpuid_page(cpuid), length, PAGE_CPUID);
			break;
		}
	}
	sev_command("KVM_SEV_SNP_LAUNCH_FINISH", LAUNCH_FINISH, &finish);
	halt_others();
}

/* -- While it runs. -------------------------------------------------------------------------------- */

static bool is_memory(uint64_t guest, uint64_t bytes)
{
	return guest + bytes >= guest && guest + bytes <= RAM_BYTES &&
	       (guest + bytes <= HOLE_BASE || guest >= PAM_BASE);
}

bool snp_exit(struct kvm_run *run)
{
	const struct memory_fault *fault = (const struct memory_fault *)&run->hw;
	uint64_t guest, bytes;

	if (!sev_integrity())
		return false;
	switch (run->exit_reason) {
	case EXIT_MEMORY_FAULT:
		guest = fault->gpa & ~(PAGE_BYTES - 1);
		if (!is_memory(guest, fault->bytes))
			return false;
		set_private(guest, fault->bytes, fault->flags & PRIVATE);
		return true;
	case KVM_EXIT_HYPERCALL:
		guest = run->hypercall.args[0];
		bytes = run->hypercall.args[1] * PAGE_BYTES;
		run->hypercall.ret = EINVAL; /* a positive number: newer KVM takes no other */
		if (run->hypercall.nr != HC_MAP_GPA_RANGE || !is_memory(guest, bytes))
			return true;
		set_private(guest, bytes, run->hypercall.args[2] & MAP_ENCRYPTED);
		run->hypercall.ret = 0;
		return true;
	default:
		return false;
	}
}
