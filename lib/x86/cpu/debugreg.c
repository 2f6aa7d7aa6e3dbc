/* SPDX-License-Identifier: BSD-2-Clause */
#include "debugreg.h"

#include "cpu.h"
#include "x86/harness/snippet.h"
#include "x86/harness/testcase.h"
#include "x86/sev/sev.h"

static uint64_t armed = DR7_CLEAR;

void need_breakpoints(void)
{
	need_of_machine(!sev_is_es() || sev_status & SEV_STATUS_DEBUG_SWAP,
			"DR7 that does something (SEV-ES without DebugSwap)");
}

void breakpoint_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes)
{
	static const uint8_t length_code[9] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
	uint64_t control = length_code[bytes] << 2 | kind;

	need_breakpoints();

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

void breakpoints_clear(void)
{
	if (armed == DR7_CLEAR)
		return;
	armed = DR7_CLEAR;
	write_dr7(armed);
	write_dr6(DR6_CLEAR);
}

void prepare_db(void)
{
	setup.shown_flags = X86_EFLAGS_TF | X86_EFLAGS_RF;
	grant_iopl();
	setup.regs.rsi = stack_selector();
}

void single_step(void)
{
	prepare_db();
	setup.rflags |= X86_EFLAGS_TF;
}

void break_at(unsigned n, const struct snippet *snippet, const char *mark)
{
	prepare_db();
	breakpoint_set(n, mark_address(snippet, mark), BREAK_CODE, 1);
}
