/* SPDX-License-Identifier: BSD-2-Clause */
#include "foreign.h"

#include "base/cpu.h"
#include "base/log.h"

#include "string.h"

#include <stdint.h>

#define MSR_FS_BASE 0xc0000100

static uint8_t image[512] __attribute__((aligned(16))); /* of FXSAVE */
static uint64_t fs_base, thread[8];

void foreign_begin(void)
{
	asm volatile("fxsave64 %0" : "=m"(image));
	fs_base = rdmsr(MSR_FS_BASE);
	wrmsr(MSR_FS_BASE, (uint64_t)thread);
}

void foreign_end(void)
{
	wrmsr(MSR_FS_BASE, fs_base);
	asm volatile("fxrstor64 %0" : : "m"(image));
}

/* -- What such code calls. ------------------------------------------------------------------------- */

_Noreturn void __stack_chk_fail(void);
void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room);

_Noreturn void __stack_chk_fail(void)
{
	stop("a function of a library has overrun its stack");
}

void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room)
{
	if (bytes > room)
		__stack_chk_fail();
	return memcpy(to, from, bytes);
}
