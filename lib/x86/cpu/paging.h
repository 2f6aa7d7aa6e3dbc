/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables on top of the ones that the image boots with: the identity map split to 4 KiB where a
 * test needs single pages, and a window of virtual addresses that a test may fill as it likes.
 */
#ifndef LIB_X86_PAGING_H
#define LIB_X86_PAGING_H

#include <stdint.h>

#define PAGE_BYTES 4096ul
#define BLOCK_BYTES (2ul << 20)

#define PTE_PRESENT (1ul << 0)
#define PTE_WRITABLE (1ul << 1)
#define PTE_USER (1ul << 2)
#define PTE_ACCESSED (1ul << 5)
#define PTE_DIRTY (1ul << 6)
#define PTE_LARGE (1ul << 7)
#define PTE_NX (1ul << 63)
#define PTE_ADDRESS (0x000ffffffffff000ul & ~sev_c_bit)

/* Under SEV, the bit of an entry that makes the page private; else 0 (boot/sev.S). */
extern uint64_t sev_c_bit;

#define PTE_PAGE (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED | PTE_DIRTY | sev_c_bit)

#define PF_PRESENT 0x1
#define PF_WRITE 0x2
#define PF_USER 0x4
#define PF_RESERVED 0x8
#define PF_FETCH 0x10

/* The 4 KiB entry that maps an identity-mapped address; splits its 2 MiB page if need be. */
uint64_t *paging_pte(uint64_t address);

/* The window: 2 MiB of addresses below 4 GiB, backed by nothing until a test maps pages. */
#define WINDOW 0x40000000ul

/* The page directory entry of the window, and the page table that it points to by default. */
uint64_t *window_pde(void);
uint64_t *window_table(void);

/* Maps page number `page` of the window; 0 unmaps. */
void window_map(unsigned page, uint64_t entry);

/* Empties the window and points it to its own table again. */
void window_reset(void);

#endif
