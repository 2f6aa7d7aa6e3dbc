/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's machine as KVM knows it, and its end. Everything else of the VMM stands on this. */
#ifndef KVM_MACHINE_H
#define KVM_MACHINE_H

#include "../common/machine.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct machine {
	int kvm, vm, vcpus[MAX_CPUS];
	unsigned cpus;
	uint8_t *ram;
	/* Held by whoever writes messages or changes devices; never released at the end. */
	pthread_mutex_t lock;
};

extern struct machine machine;

/* The end of the guest and of this process, with a reason. The lock is held. */
_Noreturn void end(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `result`, which is that of `what`; if it is negative, the end. The lock is not held. */
long must(const char *what, long result);
#define MUST(call) must(#call, call)

#endif
