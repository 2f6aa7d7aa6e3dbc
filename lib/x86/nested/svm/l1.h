/* SPDX-License-Identifier: BSD-2-Clause */
/* What the layers by SVM have in common. */
#ifndef LIB_X86_SVM_L1_H
#define LIB_X86_SVM_L1_H

#include "svm.h"

/* Why this CPU has no SVM, or none with nested paging; NULL if it has. */
const char *svm_obstacle(void);
const char *svm_obstacle_npt(void);

void svm_reset(void);

/* Does an intercepted #DB find its bits in DR6, as it must (APM 2, "#DB (Debug)")? Asked by running a step. */
bool svm_db_exit_has_dr6(struct l2 *v);

/* Runs snippet_enter in L2. */
void svm_enter(struct entry *entry, bool nested_paging, const struct l2_hooks *hooks);

/* -- nmi.c: NMIs of L2 that go through L1. ----------------------------------------------------- */

struct event;

/* Before each run. */
void svm_nmi_begin(struct l2 *v);

/* At each exit, before anything else: true if that was L1's own step, and no exit for anybody else. */
bool svm_nmi_exit(struct l2 *v);

/* The exits of NMI and IRET. False if no NMI came although that was the exit. */
bool svm_nmi_take(struct l2 *v);
void svm_nmi_iret(struct l2 *v);

/* Behind each exit: injects the NMI that L1 has taken, if L2 can have it now. */
void svm_nmi_inject(struct l2 *v);

/* For `take_l1_event` of the layer. */
bool svm_nmi_is_for_l2(const struct recording *rec, const struct event *event);

#endif
