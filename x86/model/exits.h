/* SPDX-License-Identifier: BSD-2-Clause */
/* Each exit and what is done about it. */
#ifndef MODEL_EXITS_H
#define MODEL_EXITS_H

#include "vcpu.h"

#include "x86/cpu/cpu.h"

/* RAX behind a hypercall, as KVM has it. */
#define NO_SUCH_CALL -1000l
#define NOT_PERMITTED -1l

void exit_handle(struct vcpu *v);

/* What L2 is told of CPUID and of the MSRs that are ours; false: no such MSR, or no such value. */
struct cpuid exits_cpuid(uint32_t leaf, uint32_t subleaf);
bool exits_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
#define MSR_DEBUGCTL 0x1d9
#define DEBUGCTL_BTF 2ul
bool exits_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

#endif
