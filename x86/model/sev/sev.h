/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2 as a guest under SEV, SEV-ES or SEV-SNP (snp.h): what the CPU does for one, by means of nested paging and
 * intercepts.
 *
 * Memory has two views, told apart by the C-bit, an ordinary bit of L2's physical addresses: what is
 * written through one does not show in the other. Under SEV-ES an intercepted instruction is a #VC, and
 * only what the GHCB offers is used to serve it (ghcb.h).
 */
#ifndef MODEL_SEV_H
#define MODEL_SEV_H

#include "vcpu.h"

#include "x86/cpu/cpu.h"

#include <stdbool.h>
#include <stdint.h>

/* The word behind mode=; false if there is no such mode. */
bool sev_switch_on(const char *mode);

bool l2_is_sev(void);
bool l2_is_es(void);
bool l2_is_snp(void);

/* After memory_init (with the same arguments) and intercepts_init_maps, before the first CPU. */
void sev_init(const void *rom, uint64_t rom_bytes);

/* What L2 is allowed to do without an exit, after intercepts_init. */
void sev_init_intercepts(struct vcpu *v);

/* Leaf 8000001F and the highest extended leaf. */
void sev_cpuid(uint32_t leaf, struct cpuid *r);

/* SEV_STATUS and the GHCB MSR, which no guest's access to intercepts; false: another. */
bool sev_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool sev_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

/* An exit that is special here; false: as in a plain guest. */
bool sev_exit(struct vcpu *v);

/* Before an entry. */
void sev_before_entry(struct vcpu *v);

/* A nested page fault on memory: maps it in the view that it was looked for in; false: a device. */
bool sev_map(struct vcpu *v);

/* Our pointer to shared memory of L2's that lies in one page; NULL where there is none. */
void *sev_shared(uint64_t gpa, uint64_t bytes);

/* Paging was switched on or off, which decides what L2 sees of memory. */
void sev_view_changed(struct vcpu *v);

/* Position of the C-bit. */
unsigned sev_c_bit_position(void);

#endif
