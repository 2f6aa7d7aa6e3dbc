/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L2's memory: 64 MiB of RAM and the payload's ROM below 4 GiB, in nested page tables that are filled
 * page by page when L2 touches them, so that "cold" means something.
 */
#ifndef MODEL_MEMORY_H
#define MODEL_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define L2_RAM_BYTES (64ul << 20)
#define L2_ROM_MOST (8ul << 20)
#define L2_APIC_PAGE 0xfee00000ul
#define L2_MEMORY_END (1ul << 32)

/* Takes over the payload's bytes as the ROM; they must stay where they are. */
void memory_init(const void *rom, uint64_t rom_bytes);

/*
 * Root of the nested page tables: of a CPU with paging on, or of one without, where all that it touches is
 * private. Neither ever changes.
 */
uint64_t memory_root(bool paged);

/* Maps the page of a guest-physical address; false if there is neither RAM nor ROM. */
bool memory_map(uint64_t gpa);

/*
 * With this bit, two views of memory: an address with it is private memory, the same address without it
 * shared memory, which is other memory (sev.h). Drops all mappings.
 */
void memory_set_c_bit(uint64_t bit);

/* Maps what lies at the private address, executable, where L2 looks for it without the bit. */
bool memory_map_private(uint64_t gpa);

/* Forgets the mapping of one page: the next access to it exits. False: there was none. */
bool memory_unmap(uint64_t gpa);

/* The same for both views of a page, at its address without the C-bit. */
bool memory_forget(uint64_t gpa);

/* The page, which is not mapped, changes hands (SEV-SNP): all that was in it is lost. */
void memory_lose(uint64_t gpa);

/* Forgets all mappings: everything is cold. */
void memory_drop_all(void);

/* Whether the payload's ROM lies there. */
bool memory_is_rom(uint64_t gpa);

/* Our pointer to a guest-physical byte, NULL where there is no memory. */
void *memory_at(uint64_t gpa);

struct vcpu;

/* Guest-virtual to guest-physical by L2's own page tables, without setting A or D; false: not mapped. */
bool memory_walk(const struct vcpu *v, uint64_t linear, uint64_t *gpa);

/* In long mode: the error code of the #PF of a write by L2, as user or supervisor; 0: there would be none. */
uint32_t memory_write_fault(const struct vcpu *v, uint64_t linear, bool user);

/* In long mode: whether SMAP keeps the CPU's own accesses from the address, which is in a page of the user. */
bool memory_closed_by_smap(const struct vcpu *v, uint64_t linear);

/* Copies from or to linear addresses; the number of bytes up to the first that is not mapped. */
size_t memory_read(const struct vcpu *v, uint64_t linear, void *to, size_t bytes);
size_t memory_write(const struct vcpu *v, uint64_t linear, const void *from, size_t bytes);

#endif
