/* SPDX-License-Identifier: BSD-2-Clause */
/* The ports of ../common/ports.h on KVM. */
#ifndef KVM_BOARD_H
#define KVM_BOARD_H

#include <linux/kvm.h>

/* `cpu_pages`: what KVM shares of the first CPU. */
void board_start(void *cpu_pages);
/* The first CPU is another, in another VM; the pages of the one before are still there. */
void board_moved(void *cpu_pages);
/* KVM_EXIT_IO of a CPU. */
void board_access(struct kvm_run *run);

#endif
