/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM and its CPUs, as every guest gets them: the interrupt controllers, and CPUID. */
#ifndef KVM_VM_H
#define KVM_VM_H

struct kvm_cpuid2;
struct kvm_run;

/* Makes machine.vm, which has no memory yet. */
void vm_create(void);

/* Makes machine.vcpus[0 … count - 1]. */
void vm_create_cpus(unsigned count);

/* What the first of them was told. */
struct kvm_cpuid2 *vm_cpuid_of_first(void);

/* The pages that CPU `index` shares with us; mapped anew by each call, vm_unmap() undoes that. */
struct kvm_run *vm_map_run(unsigned index);
void vm_unmap(struct kvm_run *run);

#endif
