/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of L1 and L2, found by the monitor itself: walks of page tables by hand. Sizes are in bytes, addresses
 * of three kinds: `linear` (what instructions name), `gpa` (what L2's page tables lead to), and the machine's own,
 * which for L1 are the same as its gpa. APM 2, "Page Translation and Protection", "Nested Paging".
 */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include "x86/arch/vmcb.h"

#include <stdbool.h>
#include <stdint.h>

/* Of an entry of any page table. */
#define PTE_PRESENT (1ul << 0)
#define PTE_WRITABLE (1ul << 1)
#define PTE_USER (1ul << 2)
#define PTE_ACCESSED (1ul << 5)
#define PTE_DIRTY (1ul << 6)
#define PTE_LARGE (1ul << 7)
#define PTE_NO_EXECUTE (1ul << 63)
#define PTE_ADDRESS 0x000ffffffffff000ul

/* Memory as the code of one guest sees it. */
struct space {
	const struct vmcb *state; /* CR0, CR3, CR4, EFER, CS, RIP */
	uint64_t ncr3;		  /* L1's nested tables; 0: none, a gpa is the machine's */
	unsigned key;		  /* of private memory (views.h); 0: nothing is encrypted */
	unsigned
		snp_asid; /* of a guest under SEV-SNP, whose accesses the RMP decides about; else 0 */
};

/* Why nothing was found. */
struct miss {
	enum {
		MISS_NONE,
		MISS_OWN,	    /* the guest's own tables: #PF */
		MISS_NESTED,	    /* L1's: #NPF at gpa */
		MISS_RMP,	    /* the RMP's: the same, with its bit */
		MISS_NOT_VALIDATED, /* the guest has not said that it knows the page: #VC */
	} kind;
	bool private; /* as the guest has it */
	uint64_t gpa;
	bool of_table; /* the gpa is that of one of the guest's page tables */
};

/* Whether all of it is memory, and none of the monitor's (boot.c). */
bool memory_is_l1s(uint64_t at, uint64_t bytes);

/* A gpa of the space; private: as the C-bit, or the paging mode, says. NULL: nothing there, see `miss`. */
void *space_physical(const struct space *s, uint64_t gpa, bool private, bool write,
		     struct miss *miss);

/* A linear address; *gpa gets its gpa. No rights are checked but present and, for a write, writable. */
void *space_linear(const struct space *s, uint64_t linear, bool write, uint64_t *gpa,
		   struct miss *miss);

/* Bytes from and to linear addresses; how many could be moved. */
unsigned space_read(const struct space *s, uint64_t linear, void *to, unsigned bytes,
		    struct miss *miss);
unsigned space_write(const struct space *s, uint64_t linear, const void *from, unsigned bytes,
		     struct miss *miss);

/* Up to 15 bytes at CS:RIP; the number that is there. Code is private whatever its C-bit says. */
unsigned space_code(const struct space *s, uint8_t *bytes);

#endif
