/* SPDX-License-Identifier: BSD-2-Clause */
#include "debugreg.h"

#include "cpu.h"

static uint64_t armed = DR7_CLEAR;

void debugreg_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes)
{
	static const uint8_t length_code[9] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
	uint64_t control = length_code[bytes] << 2 | kind;

	switch (n) {
	case 0:
		write_dr0(address);
		break;
	case 1:
		write_dr1(address);
		break;
	case 2:
		write_dr2(address);
		break;
	case 3:
		write_dr3(address);
		break;
	}
	armed &= ~(15ul << (16 + 4 * n));
	armed |= control << (16 + 4 * n) | 2ul << 2 * n;
	write_dr6(DR6_CLEAR);
	write_dr7(armed);
}

void debugreg_clear(void)
{
	if (armed == DR7_CLEAR)
		return;
	armed = DR7_CLEAR;
	write_dr7(armed);
	write_dr6(DR6_CLEAR);
}
