/* SPDX-License-Identifier: BSD-2-Clause */
/* What the layers by SVM have in common. */
#ifndef LIB_X86_SVM_L1_H
#define LIB_X86_SVM_L1_H

#include "svm.h"

/* Why this CPU has no SVM, or none with nested paging; NULL if it has. */
const char *svm_obstacle(void);
const char *svm_obstacle_npt(void);

void svm_reset(void);

/*
 * Runs L2 from snippet_enter. `prepare` sees the VMCB before the case does, `on_exit` the exits that the
 * case does not resume by itself.
 */
void svm_enter(struct entry *entry, bool nested_paging, void (*prepare)(struct svm_vcpu *),
	       svm_exit_hook *on_exit);

bool svm_take_l1_event(struct percpu *cpu, const struct event *event);

#endif
