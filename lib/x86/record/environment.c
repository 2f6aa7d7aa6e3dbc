/* SPDX-License-Identifier: BSD-2-Clause */
#include "environment.h"

#include "enter.h"
#include "x86/cpu/cpu.h"

#include <stddef.h>

/* An outer segment, as a selector of a ring. */
#define IN_RING(ring, selector) (((selector) & ~3) | (ring))

const struct environment_row environments[] = {
	{CPL0, "cpl0", 0, false, KERNEL_CS, KERNEL_DS, ENTER_JUMP, MODE_LONG, 0},
	{CPL3, "cpl3", 3, false, USER_CS, USER_DS, ENTER_SYSRET64, MODE_LONG, 0},
	{COMPAT, "compat", 3, true, USER_CS32, USER_DS, ENTER_SYSRET32, MODE_LONG, 0},
	{LEGACY, "legacy", 0, true, KERNEL_CS, KERNEL_DS, ENTER_SYSRET32, MODE_LONG, 0},
	{LEGACY_CPL0, "legacy-cpl0", 0, true, BOOT_CS32, KERNEL_DS, ENTER_JUMP, MODE_LEGACY, 0},
	{LEGACY_CPL3, "legacy-cpl3", 3, true, USER_CS32, USER_DS, ENTER_SYSEXIT, MODE_LEGACY, 0},
	{REAL, "real", 0, false, LOW_SELECTOR, LOW_SELECTOR, ENTER_IRET, MODE_REAL, 0},
	{BIG_REAL, "big-real", 0, false, LOW_SELECTOR, LOW_SELECTOR, ENTER_IRET, MODE_BIG_REAL, 0},
	{CPL1, "cpl1", 1, false, IN_RING(1, USER_CS), IN_RING(1, USER_DS), ENTER_IRET, MODE_LONG,
	 0},
	{CPL2, "cpl2", 2, false, IN_RING(2, USER_CS), IN_RING(2, USER_DS), ENTER_IRET, MODE_LONG,
	 0},
	{LEGACY_CPL1, "legacy-cpl1", 1, true, IN_RING(1, USER_CS32), IN_RING(1, USER_DS),
	 ENTER_IRET, MODE_LEGACY, 0},
	{LEGACY_CPL2, "legacy-cpl2", 2, true, IN_RING(2, USER_CS32), IN_RING(2, USER_DS),
	 ENTER_IRET, MODE_LEGACY, 0},
	{V86, "v86", 3, false, LOW_SELECTOR, LOW_SELECTOR, ENTER_IRET, MODE_V86,
	 X86_EFLAGS_VM | X86_EFLAGS_IOPL},
	{0, NULL, 0, false, KERNEL_CS, KERNEL_DS, ENTER_SYSRET32, MODE_LONG, 0},
};

const struct environment_row *environment_row(enum environment bit)
{
	const struct environment_row *row = environments;

	while (row->name && row->bit != bit)
		row++;
	return row;
}
