/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking the machine for what may fault. */
#ifndef LIB_X86_PROBE_H
#define LIB_X86_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* True if an MSR can be written and read, and then holds at least these bits. */
bool msr_takes(uint32_t msr, uint64_t bits);

#endif
