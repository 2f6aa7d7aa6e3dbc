/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SEV-SNP: private memory that this process cannot map (guest_memfd), a launch page by page as the ROM's metadata asks
 * for it, and pages that change hands while the guest runs. Linux, Documentation/virt/kvm/api.rst
 * ("KVM_CREATE_GUEST_MEMFD", "KVM_SET_MEMORY_ATTRIBUTES"), x86/amd-memory-encryption.rst; QEMU, target/i386/sev.c, for the
 * metadata. Linux 6.11 has all of it; the headers that this is built with may be older.
 */
#ifndef KVM_SNP_H
#define KVM_SNP_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before there are slots: the file for private memory, of which a slot's is at its own address, the image's behind RAM. */
void snp_create_memory(uint64_t image_bytes);

/* KVM_SET_USER_MEMORY_REGION of a slot that has both kinds of memory. */
void snp_set_slot(const struct kvm_userspace_memory_region *slot);

/* Launches the image; all memory is private. `cpuid` is that of the first CPU. */
void snp_launch(uint8_t *image, size_t bytes, const struct kvm_cpuid2 *cpuid);

/* An exit of KVM_RUN (or its EFAULT) by which a page is to change hands. False: it is none. */
bool snp_exit(struct kvm_run *run);

#endif
