/* SPDX-License-Identifier: BSD-2-Clause */
/* What the layers by SVM have in common. */
#ifndef LIB_X86_SVM_L1_H
#define LIB_X86_SVM_L1_H

#include "svm.h"

/* Why this CPU has no SVM, or none with nested paging; NULL if it has. */
const char *svm_obstacle(void);
const char *svm_obstacle_npt(void);

void svm_reset(void);

/* Runs snippet_enter in L2. */
void svm_enter(struct entry *entry, bool nested_paging, const struct l2_hooks *hooks);

#endif
