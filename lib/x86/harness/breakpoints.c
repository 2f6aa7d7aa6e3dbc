/* SPDX-License-Identifier: BSD-2-Clause */
#include "breakpoints.h"

#include "testcase.h"
#include "x86/cpu/cpu.h"
#include "x86/sev/sev.h"

void need_breakpoints(void)
{
	need_of_machine(!sev_is_es() || sev_status & SEV_STATUS_DEBUG_SWAP,
			"DR7 that does something (SEV-ES without DebugSwap)");
}

void breakpoint_set(unsigned n, uint64_t address, enum breakpoint kind, unsigned bytes)
{
	need_breakpoints();
	debugreg_set(n, address, kind, bytes);
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
