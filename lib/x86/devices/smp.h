/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Application processors: started by INIT and SIPI (or in another way, cpus_start_by) when a case first asks for
 * one, then parked in STI;HLT until there is work. Everything that waits has a deadline in TSC ticks.
 */
#ifndef LIB_X86_SMP_H
#define LIB_X86_SMP_H

#include "x86/cpu/frame.h"
#include "x86/cpu/percpu.h"
#include "x86/cpu/wait.h"

#include <stdbool.h>
#include <stdint.h>

/* Wakes a parked CPU; never recorded. */
#define WAKE_VECTOR 0xfe

/* CPUs that the machine has (from the arguments or fw_cfg), at most MAX_CPUS. */
unsigned cpus_present(void);
void cpus_set(unsigned count);

/* Starts the CPUs up to number `count` - 1; false if one did not answer within the deadline. */
bool cpus_start(unsigned count);

/* Switches all CPUs, and those that start later, to x2APIC mode; false if there is none. */
bool cpus_use_x2apic(void);

/* Starts a CPU anew in the same way, whatever it was doing; false if it did not answer. */
bool cpu_restart(unsigned index);

/* How many CPUs are up. */
unsigned cpus_started(void);

/* Gives a parked CPU work; cpu_wait is false if it was not done by the deadline. */
void cpu_start_work(unsigned index, void (*work)(void *argument), void *argument);
bool cpu_wait(unsigned index);

/* For whom an event comes first: true if it only woke this CPU, which has no other business then. */
bool cpu_wake_event(const struct trap_frame *frame);

/* Another way to start a CPU than INIT and SIPI, in the same code; false if it is refused. */
void cpus_start_by(bool (*start)(unsigned index));

#endif
