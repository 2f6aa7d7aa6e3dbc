/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IRETQ that faults: each reason alone, with its vector, its error code, and the IRETQ as the fault's place.
 *
 * The rule. IRET checks the code segment, then the stack segment, then RIP, and changes nothing before all of
 * them have passed: the fault comes from the old code on the old stack. A null CS is #GP(0); one that is
 * no code segment, beyond the table, of a wrong privilege, or both 64-bit and 32-bit is #GP(selector), one that is not present
 * #NP(selector). SS is the same with #SS(selector) where it is not present, and may be null only for 64-bit
 * code below CPL 3. A non-canonical RIP is #GP(0). With NT set there is no task to return to in 64-bit mode: #GP(0). What is
 * wrong in itself is found before what is not present.
 *
 * Why a hypervisor must care. Its emulator has IRET, and it intercepts IRET to learn when NMIs are unblocked:
 * one that faults must fault as the CPU would. Bochs to 3.0 gave #NP for a stack that is not
 * present; a guest's kernel that repairs such returns (Linux, espfix and fixup_bad_iret) then meets a vector
 * that it did not expect.
 *
 * What a buggy hypervisor shows here: another vector, the selector's RPL in the error code, RIP behind the
 * IRETQ, no fault at all.
 */
#include "trapline.h"

#define RULE "SDM 2A, IRET/IRETD/IRETQ: 64-Bit Mode Exceptions; the checks come before any change"
#define BUGS CATCHES("model-gp-as-pf")

/* A descriptor that long mode does not use: put back with the rest of the table for the next case. */
#define SPARE REAL_CS
#define BEYOND GDT_BYTES
#define LDT 4
#define FLAT(access, flags) \
	((uint64_t)0xffff | (uint64_t)(access) << 40 | (uint64_t)((flags) << 4 | 0xf) << 48)
#define NONCANONICAL 0x0000800000001000ul

/* Access bytes: present, DPL, type. */
#define CODE 0x9b
#define CONFORMING 0x9f
#define DATA 0x93
#define READ_ONLY 0x91
#define DPL3 0x60
#define ABSENT(access) ((access) & ~0x80)
/* Flags. */
#define LONG 0xa
#define DEFAULT32 0xc
#define LONG_AND_32 0xe

SNIPPET_BOTH(iret,
	     "lea 1f(%rip), %rax; test %rdi, %rdi; cmovz %rax, %rdi\n"
	     "push %rbx; push %rcx; push %rdx; push %rsi; push %rdi\n"
	     "mark insn; iretq; 1: mark after; nop",
	     "nop");

static void return_to(uint16_t cs, uint16_t ss, uint64_t spare, uint64_t rip)
{
	struct descriptors *d = &this_cpu()->descriptors;

	d->gdt[SPARE / 8] = spare;
	setup.regs.rbx = ss;
	setup.regs.rcx = stack_top(this_cpu()->index, STACK_SNIPPET) - 0x200;
	setup.regs.rdx = X86_EFLAGS_FIXED;
	setup.regs.rsi = cs;
	setup.regs.rdi = rip;
	run(iret);
}

#define ROW_OF(name, cs, ss, spare, rip, trace, bugs) \
	CASE(name, CPL0, RULE, bugs)                  \
	{                                             \
		expect(trace);                        \
		return_to(cs, ss, spare, rip);        \
	}
#define ROW(name, cs, ss, spare, trace) ROW_OF(name, cs, ss, spare, 0, trace, BUGS)
#define RIP_ROW(name, cs, ss) ROW_OF(name, cs, ss, 0, NONCANONICAL, "#GP(0x0)@insn", BUGS)

/* -- The code segment. --------------------------------------------------------------------------- */

ROW(cs_null, 0, KERNEL_DS, 0, "#GP(0x0)@insn")
ROW(cs_null_rpl3, 3, USER_DS, 0, "#GP(0x0)@insn")
ROW(cs_beyond_limit, BEYOND, KERNEL_DS, 0, "#GP(0x58)@insn")
ROW(cs_beyond_limit_rpl3, BEYOND | 3, USER_DS, 0, "#GP(0x58)@insn")
ROW(cs_in_no_ldt, SPARE | LDT, KERNEL_DS, 0, "#GP(0x3c)@insn")
ROW(cs_data, SPARE, KERNEL_DS, FLAT(DATA, LONG), "#GP(0x38)@insn")
ROW(cs_system, TSS_SELECTOR, KERNEL_DS, 0, "#GP(0x40)@insn")
ROW(cs_empty, SPARE, KERNEL_DS, 0, "#GP(0x38)@insn")
ROW(cs_absent, SPARE, KERNEL_DS, FLAT(ABSENT(CODE), LONG), "#NP(0x38)@insn")
ROW(cs_absent_rpl3, SPARE | 3, USER_DS, FLAT(ABSENT(CODE) | DPL3, LONG), "#NP(0x38)@insn")
ROW(cs_dpl3_rpl0, SPARE, KERNEL_DS, FLAT(CODE | DPL3, LONG), "#GP(0x38)@insn")
ROW(cs_dpl0_rpl3, SPARE | 3, USER_DS, FLAT(CODE, LONG), "#GP(0x38)@insn")
ROW(cs_conforming_dpl3_rpl0, SPARE, KERNEL_DS, FLAT(CONFORMING | DPL3, LONG), "#GP(0x38)@insn")
ROW(cs_64_and_32, SPARE, KERNEL_DS, FLAT(CODE, LONG_AND_32), "#GP(0x38)@insn")
ROW(cs_absent_dpl3_rpl0, SPARE, KERNEL_DS, FLAT(ABSENT(CODE) | DPL3, LONG), "#GP(0x38)@insn")

/* -- The stack segment. -------------------------------------------------------------------------- */

ROW(ss_null_user, USER_CS, 0, 0, "#GP(0x0)@insn")
ROW(ss_null_rpl3_user, USER_CS, 3, 0, "#GP(0x0)@insn")
ROW(ss_null_compat, USER_CS32, 3, 0, "#GP(0x0)@insn")
ROW(ss_rpl0_user, USER_CS, USER_DS & ~3, 0, "#GP(0x28)@insn")
ROW(ss_rpl3_kernel, KERNEL_CS, USER_DS, 0, "#GP(0x28)@insn")
ROW(ss_dpl0_user, USER_CS, KERNEL_DS | 3, 0, "#GP(0x18)@insn")
ROW(ss_dpl3_kernel, KERNEL_CS, USER_DS & ~3, 0, "#GP(0x28)@insn")
ROW(ss_code_user, USER_CS, SPARE | 3, FLAT(CODE | DPL3, LONG), "#GP(0x38)@insn")
ROW(ss_read_only_user, USER_CS, SPARE | 3, FLAT(READ_ONLY | DPL3, DEFAULT32), "#GP(0x38)@insn")
ROW(ss_read_only_kernel, KERNEL_CS, SPARE, FLAT(READ_ONLY, DEFAULT32), "#GP(0x38)@insn")
ROW(ss_system_user, USER_CS, TSS_SELECTOR | 3, 0, "#GP(0x40)@insn")
ROW(ss_beyond_limit_user, USER_CS, BEYOND | 3, 0, "#GP(0x58)@insn")
ROW(ss_in_no_ldt_user, USER_CS, SPARE | LDT | 3, 0, "#GP(0x3c)@insn")
ROW(ss_absent_user, USER_CS, SPARE | 3, FLAT(ABSENT(DATA) | DPL3, DEFAULT32), "#SS(0x38)@insn")
ROW(ss_absent_compat, USER_CS32, SPARE | 3, FLAT(ABSENT(DATA) | DPL3, DEFAULT32), "#SS(0x38)@insn")
ROW(ss_absent_kernel, KERNEL_CS, SPARE, FLAT(ABSENT(DATA), DEFAULT32), "#SS(0x38)@insn")
ROW(ss_absent_read_only, USER_CS, SPARE | 3, FLAT(ABSENT(READ_ONLY) | DPL3, DEFAULT32),
    "#GP(0x38)@insn")
ROW_OF(ss_null_kernel, KERNEL_CS, 0, 0, 0, "(none)", "")
ROW_OF(good_kernel, KERNEL_CS, KERNEL_DS, 0, 0, "(none)", "")
ROW_OF(good_user, USER_CS, USER_DS, 0, 0, "(none)", "")

/* -- RIP, and NT. -------------------------------------------------------------------------------- */

RIP_ROW(rip_noncanonical, KERNEL_CS, KERNEL_DS)
RIP_ROW(rip_noncanonical_user, USER_CS, USER_DS)

CASE(nt, CPL0, RULE, BUGS)
{
	setup.rflags |= 1u << 14; /* NT */
	expect("#GP(0x0)@insn");
	return_to(KERNEL_CS, KERNEL_DS, 0, 0);
}
