/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest whose memory is encrypted, its registers as well, or (snp.h) the integrity of both: the option "sev", "sev-es" or
 * "sev-snp" of the VMM. What is asked of KVM, in which order, is in Linux,
 * Documentation/virt/kvm/x86/amd-memory-encryption.rst; what the commands do in AMD's "Secure Encrypted Virtualization
 * API", chapters 5 and 6.
 *
 * Memory is not registered (KVM_MEMORY_ENCRYPT_REG_REGION), which would pin all of it, page by page, before each
 * guest: nothing moves the pages of a host that has no more to do than this.
 */
#ifndef KVM_SEV_H
#define KVM_SEV_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which kind the options ask for; before all others. "ghcb=1" or "ghcb=2" among them: that version of the GHCB
 * protocol, where KVM leaves the choice. */
void sev_choose(const char *options);
/* Whether it is one of them at all, and whether KVM has no access to the guest's registers. */
bool sev_memory(void);
bool sev_registers(void);
bool sev_integrity(void); /* SEV-SNP */

/* A command of KVM_MEMORY_ENCRYPT_OP; a failure is the guest's end, but EAGAIN for the second, which returns it. */
void sev_command(const char *name, uint32_t id, void *data);
int sev_command_again(const char *name, uint32_t id, void *data);

/* KVM_CREATE_VM with the type that fits. */
int sev_create_vm(void);
/* The VM becomes one with encryption: before it has CPUs. */
void sev_init(void);
/* What the guest shall see in a leaf of CPUID. */
void sev_set_leaf(struct kvm_cpuid_entry2 *leaf);
/* Encrypts the image in place and, with the registers of all CPUs as they are now, seals the guest. SEV and SEV-ES. */
void sev_launch(uint8_t *image, size_t bytes);

#endif
