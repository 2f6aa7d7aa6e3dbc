/* SPDX-License-Identifier: BSD-2-Clause */
/* The nested page tables: 4 GiB, one to one, from which single pages can be taken away. */
#ifndef LIB_X86_SVM_NPT_H
#define LIB_X86_SVM_NPT_H

#include <stdbool.h>
#include <stdint.h>

/* The root; everything is mapped. Builds the tables when first called. */
uint64_t npt_root(void);

/* Takes the page at this physical address away from L2, or gives it back. */
void npt_unmap(uint64_t address);
void npt_map(uint64_t address);
bool npt_is_mapped(uint64_t address);

/* Gives back all that was taken. */
void npt_reset(void);

#endif
