/* SPDX-License-Identifier: BSD-2-Clause */
#include "unexpected.h"

#include "cpu.h"
#include "percpu.h"

#include "report.h"

static void dump_regs(const struct trap_frame *f)
{
	const struct regs *r = &f->regs;

	report_note("panic rip %#lx rflags %#lx cs %#lx ss %#lx rsp %#lx", f->iret.rip,
		    f->iret.rflags, f->iret.cs, f->iret.ss, f->iret.rsp);
	report_note("panic rax %#lx rbx %#lx rcx %#lx rdx %#lx", r->rax, r->rbx, r->rcx, r->rdx);
	report_note("panic rsi %#lx rdi %#lx rbp %#lx r8 %#lx r9 %#lx", r->rsi, r->rdi, r->rbp,
		    r->r8, r->r9);
	report_note("panic r10 %#lx r11 %#lx r12 %#lx r13 %#lx r14 %#lx r15 %#lx", r->r10, r->r11,
		    r->r12, r->r13, r->r14, r->r15);
	report_note("panic cr0 %#lx cr2 %#lx cr3 %#lx cr4 %#lx dr6 %#lx dr7 %#lx", read_cr0(),
		    read_cr2(), read_cr3(), read_cr4(), read_dr6(), read_dr7());
}

/* The first CPU that ends tells its story; one that follows would only garble it. */
static void be_the_only_one(void)
{
	static bool taken;

	while (__atomic_test_and_set(&taken, __ATOMIC_SEQ_CST))
		asm volatile("cli; hlt");
}

void unexpected_event(const struct trap_frame *frame, const char *what)
{
	be_the_only_one();
	dump_regs(frame);
	report_bail_out("unexpected %s at %#lx on CPU %u in %s", what, frame->iret.rip,
			this_cpu()->index, report_current());
}
