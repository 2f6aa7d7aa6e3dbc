/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the VMM share: vmm.c the machine, devices.c its ports, memory.c its slots, debugger.c
 * and churn.c what only userspace can do to a guest. */
#ifndef VMM_H
#define VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RAM_BYTES (64ul << 20)
#define MAX_CPUS 16

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

/* memory.c */
void create_memory(void *rom, uint64_t rom_bytes);
/* Makes KVM forget one page. */
void forget_page(uint64_t number);
/* Makes KVM forget what it has mapped of 0xc0000 to 0xfffff, and with that of all memory. */
void renew_pam_slot(void);
/* The same for each slot, one after the other. No CPU may run. */
void renew_all_slots(void);

/* devices.c. `cpu_pages`: what KVM shares of the first CPU. */
void start_devices(void *cpu_pages);
/* Takes what KVM has kept of the guest's output. The lock is held. */
void drain_ring(void);
void port_access(struct kvm_run *run);
/* What the guest wrote to COM1 and did not end with a newline. The lock is held. */
void flush_com1(void);

/*
 * debugger.c: the host's side of x86/hoststep.c. `places` has the addresses of host_plan,
 * host_waits_here and host_is_done_here, in hexadecimal with colons between.
 */
void debugger_start(const char *places);
/* KVM_EXIT_DEBUG of the first CPU; `run` is of that exit. */
void debugger_exit(const struct kvm_run *run);

/*
 * churn.c: things done to a CPU each millisecond that its guest must not notice. `options` are words with
 * commas between: events, state, slots.
 */
void churn_start(const char *options);
bool churn_wanted(void);
/* CPU `index` has come out of KVM_RUN, nothing is half done. */
void churn(unsigned index);

#endif
