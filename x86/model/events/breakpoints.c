/* SPDX-License-Identifier: BSD-2-Clause */
#include "breakpoints.h"

#include "bug.h"
#include "memory.h"
#include "step.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/debugreg.h"
#include "x86/cpu/paging.h"

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

	for (unsigned n = 0; n < 4; n++) {
		uint64_t control = dr7 >> (16 + 4 * n), length = length_of[control >> 2 & 3];
		uint64_t first = breakpoint_address(n) & ~(length - 1);

		if (!(dr7 >> 2 * n & 3) || !kind_matches(control & 3, access))
			continue;
		if ((address >= first + length || address + bytes <= first) &&
		    !(access == ACCESS_PORT && bug(IO_BREAKPOINT_ANY_PORT)))
			continue;
		if (access == ACCESS_PORT ? bug(IO_BREAKPOINT_LOST) : bug(MMIO_BREAKPOINT_LOST))
			continue;
		v->vmcb.dr6 |= 1u << n;
		any = true;
	}
	return any;
}

bool breakpoints_on_code(const struct vcpu *v)
{
	for (unsigned n = 0; n < 4; n++)
		if (v->vmcb.dr7 >> 2 * n & 3 && !(v->vmcb.dr7 >> (16 + 4 * n) & 3))
			return true;
	return false;
}

bool breakpoints_of_code(const struct vcpu *v)
{
	for (unsigned n = 0; n < 4; n++)
		if (v->vmcb.dr6 >> n & 1 && !(v->vmcb.dr7 >> (16 + 4 * n) & 3))
			return true;
	return false;
}

bool breakpoints_of_data(const struct vcpu *v)
{
	for (unsigned n = 0; n < 4; n++)
		if (v->vmcb.dr6 >> n & 1 && v->vmcb.dr7 >> (16 + 4 * n) & 1)
			return true;
	return false;
}

void breakpoints_by_page(struct vcpu *v)
{
	for (unsigned n = 0; n < 4; n++) {
		uint64_t gpa;

		v->watched_page[n] = 0;
		if (!(v->vmcb.dr7 >> 2 * n & 3) || !(v->vmcb.dr7 >> (16 + 4 * n) & 1) ||
		    !memory_walk(v, breakpoint_address(n), &gpa) || !memory_at(gpa))
			continue;
		v->watched_page[n] = gpa & ~(PAGE_BYTES - 1);
		memory_unmap(gpa);
		v->vmcb.tlb_control = SVM_TLB_FLUSH_ALL;
	}
}

void breakpoints_page_touched(struct vcpu *v, uint64_t gpa)
{
	for (unsigned n = 0; n < 4; n++) {
		if (!v->watched_page[n] || v->watched_page[n] != (gpa & ~(PAGE_BYTES - 1)))
			continue;
		v->watched_page[n] = 0;
		if (bug(DATA_BREAKPOINT_PAGE))
			step_break_behind(v, 1u << n);
	}
}
