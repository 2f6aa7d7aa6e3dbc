/* SPDX-License-Identifier: BSD-2-Clause */
#include "environment.h"

#include "enter.h"

#include <stddef.h>

const struct environment_row environments[] = {
	{CPL0, "cpl0", false, false, KERNEL_CS, KERNEL_DS, ENTER_JUMP, MODE_LONG},
	{CPL3, "cpl3", true, false, USER_CS, USER_DS, ENTER_SYSRET64, MODE_LONG},
	{COMPAT, "compat", true, true, USER_CS32, USER_DS, ENTER_SYSRET32, MODE_LONG},
	{LEGACY, "legacy", false, true, KERNEL_CS, KERNEL_DS, ENTER_SYSRET32, MODE_LONG},
	{LEGACY_CPL0, "legacy-cpl0", false, true, BOOT_CS32, KERNEL_DS, ENTER_JUMP, MODE_LEGACY},
	{LEGACY_CPL3, "legacy-cpl3", true, true, USER_CS32, USER_DS, ENTER_SYSEXIT, MODE_LEGACY},
	{REAL, "real", false, false, LOW_SELECTOR, LOW_SELECTOR, ENTER_IRET, MODE_REAL},
	{BIG_REAL, "big-real", false, false, LOW_SELECTOR, LOW_SELECTOR, ENTER_IRET, MODE_BIG_REAL},
	{0, NULL, false, false, KERNEL_CS, KERNEL_DS, ENTER_SYSRET32, MODE_LONG},
};

const struct environment_row *environment_row(enum environment bit)
{
	const struct environment_row *row = environments;

	while (row->name && row->bit != bit)
		row++;
	return row;
}
