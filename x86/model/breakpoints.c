/* SPDX-License-Identifier: BSD-2-Clause */
#include "breakpoints.h"

#include "bug.h"

#include "x86/cpu.h"
#include "x86/debugreg.h"

static uint64_t breakpoint_address(unsigned n)
{
	switch (n) {
	case 0:
		return read_dr0();
	case 1:
		return read_dr1();
	case 2:
		return read_dr2();
	default:
		return read_dr3();
	}
}

static bool kind_matches(enum breakpoint kind, enum access access)
{
	if (access == ACCESS_PORT)
		return kind == BREAK_IO;
	return kind == BREAK_ACCESS || (kind == BREAK_WRITE && access == ACCESS_WRITE);
}

bool breakpoints_hit(struct vcpu *v, uint64_t address, unsigned bytes, enum access access)
{
	static const uint8_t length_of[] = {1, 2, 8, 4};
	uint64_t dr7 = v->vmcb.dr7;
	bool any = false;

	if (access == ACCESS_PORT ? bug(IO_BREAKPOINT_LOST) : bug(MMIO_BREAKPOINT_LOST))
		return false;
	for (unsigned n = 0; n < 4; n++) {
		uint64_t control = dr7 >> (16 + 4 * n), length = length_of[control >> 2 & 3];
		uint64_t first = breakpoint_address(n) & ~(length - 1);

		if (!(dr7 >> 2 * n & 3) || !kind_matches(control & 3, access))
			continue;
		if (address >= first + length || address + bytes <= first)
			continue;
		v->vmcb.dr6 |= 1u << n;
		any = true;
	}
	return any;
}

bool breakpoints_of_data(const struct vcpu *v)
{
	for (unsigned n = 0; n < 4; n++)
		if (v->vmcb.dr6 >> n & 1 && v->vmcb.dr7 >> (16 + 4 * n) & 1)
			return true;
	return false;
}
