/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What rings 1 and 2 may: instructions, I/O, pages, and the way out by IRETQ.
 *
 * The rule. There are three questions, each with an answer of its own. "Is CPL 0?" decides over privileged instructions;
 * rings 1 and 2 get #GP(0) as ring 3 does. "Is CPL <= IOPL?" decides over CLI, STI, IN and OUT, and over IF in POPF and
 * IRET. "Is CPL 3?" decides over pages and alignment: rings 1 and 2 read and write what is the supervisor's, are held by
 * CR0.WP alone, and never get #AC. IRETQ goes to the same ring or an outer one, with SS of that ring's DPL, or null for
 * 64-bit code below ring 3.
 *
 * Why a hypervisor must care. It asks the same questions in its emulator, when it intercepts an instruction, and when it
 * walks a guest's page tables; one that knows "kernel" and "user" only gets one of them wrong.
 *
 * What a buggy hypervisor shows here: no #GP in ring 1, #PF for a page that is the supervisor's, #AC in ring 2.
 * CPL 3 stands beside them, to show that the condition is real.
 */
#include "trapline.h"

#define RULE_PRIVILEGED "SDM 3A, Privileged Instructions: #GP(0) at every CPL but 0"
#define RULE_IOPL \
	"SDM 1, I/O Privilege Level; SDM 2A, CLI, STI, IN, OUT: #GP(0) where CPL > IOPL (and the I/O map says nothing else)"
#define RULE_PAGES \
	"SDM 3A, Determination of Access Mode: CPL 0 to 2 is the supervisor's mode, 3 the user's; CR0.WP holds the supervisor too"
#define RULE_AC "SDM 3A, Alignment Check Exception (#AC): at CPL 3 alone"
#define RULE_IRET \
	"SDM 2A, IRET/IRETD/IRETQ: RPL of CS < CPL is #GP(selector); SS must have the new ring as DPL and RPL, or be null below ring 3"

#define EACH_RING CPL1 | CPL2 | CPL3

/* -- Instructions of ring 0. ---------------------------------------------------------------------- */

#define PRIVILEGED(name, text)                                                  \
	SNIPPET_BOTH(do_##name, "mark insn\n" text "\nmark after; nop", "nop"); \
	CASE(name, EACH_RING, RULE_PRIVILEGED, "")                              \
	{                                                                       \
		setup.regs.rbx = (uint64_t)operand;                             \
		setup.regs.rcx = MSR_LSTAR;                                     \
		expect("#GP(0x0)@insn");                                        \
		run(do_##name);                                                 \
	}

static uint64_t operand[4];

PRIVILEGED(hlt, "hlt")
PRIVILEGED(clts, "clts")
PRIVILEGED(lmsw, "lmsw %ax")
PRIVILEGED(read_cr0, "mov %cr0, %rax")
PRIVILEGED(write_cr0, "mov %rax, %cr0")
PRIVILEGED(read_cr3, "mov %cr3, %rax")
PRIVILEGED(write_cr3, "mov %rax, %cr3")
PRIVILEGED(write_cr4, "mov %rax, %cr4")
PRIVILEGED(read_cr8, "mov %cr8, %rax")
PRIVILEGED(write_cr8, "mov %rax, %cr8")
PRIVILEGED(read_dr7, "mov %dr7, %rax")
PRIVILEGED(write_dr0, "mov %rax, %dr0")
PRIVILEGED(lgdt, "lgdt (%rbx)")
PRIVILEGED(lidt, "lidt (%rbx)")
PRIVILEGED(lldt, "lldt %ax")
PRIVILEGED(ltr, "ltr %ax")
PRIVILEGED(invlpg, "invlpg (%rbx)")
PRIVILEGED(invd, "invd")
PRIVILEGED(wbinvd, "wbinvd")
PRIVILEGED(rdmsr, "rdmsr")
PRIVILEGED(wrmsr, "wrmsr")
PRIVILEGED(swapgs, "swapgs")
PRIVILEGED(sysret, "sysretq")

/* -- IOPL. ----------------------------------------------------------------------------------------- */

#define IOPL_ROW(name, text)                                                    \
	SNIPPET_BOTH(at_##name, "mark insn\n" text "\nmark after; nop", "nop"); \
	CASE(name##_iopl, EACH_RING, RULE_IOPL, "")                             \
	{                                                                       \
		setup.regs.rdx = SCRATCH_PORT;                                  \
		expect("#GP(0x0)@insn; (none)");                                \
		setup.rflags = (uint64_t)(environment_ring() - 1) << 12;        \
		run(at_##name);                                                 \
		setup.rflags = (uint64_t)environment_ring() << 12;              \
		run(at_##name);                                                 \
	}

IOPL_ROW(cli, "cli")
IOPL_ROW(sti, "sti; cli")
IOPL_ROW(in, TEXT_in)
IOPL_ROW(out, TEXT_out)

SNIPPET_BOTH(popf_if, "pushq $0x202; mark insn; popfq; mark after; int $0x21; mark behind; nop",
	     "nop");

CASE(popf_keeps_if, EACH_RING,
     "SDM 2B, POPF, Operation: IF changes where CPL <= IOPL, without a fault elsewhere", "")
{
	setup.shown_flags = X86_EFLAGS_IF;
	expect("int 0x21@behind; int 0x21@behind{IF}");
	setup.rflags = (uint64_t)(environment_ring() - 1) << 12;
	run(popf_if);
	setup.rflags = (uint64_t)environment_ring() << 12;
	run(popf_if);
}

/* -- Pages, and alignment. -------------------------------------------------------------------------- */

SNIPPET_BOTH(load, "mark insn; mov (%rbx), %rax; mark after; nop", "nop");
SNIPPET_BOTH(store, "mark insn; mov %rax, (%rbx); mark after; nop", "nop");

#define NO_FAULT -1

static void try_page(const struct snippet *snippet, uint64_t cleared, int user, int supervisor)
{
	static uint8_t page[PAGE_BYTES] __attribute__((aligned(4096)));
	int error = environment_is_user() ? user : supervisor;

	window_map(0, (uint64_t)page | (PTE_PAGE & ~cleared));
	notation_name("window", WINDOW, PAGE_BYTES);
	setup.regs.rbx = WINDOW;
	if (error != NO_FAULT)
		expect("#PF(%#x,cr2=window)@insn", error);
	else
		expect("(none)");
	run_snippet(snippet);
}

#define PAGE_CASE(name, snippet, cleared, user, supervisor)    \
	CASE(name, EACH_RING, RULE_PAGES, "")                  \
	{                                                      \
		try_page(&snippet, cleared, user, supervisor); \
	}

PAGE_CASE(load_supervisor_page, load, PTE_USER, PF_USER | PF_PRESENT, NO_FAULT)
PAGE_CASE(store_supervisor_page, store, PTE_USER, PF_USER | PF_WRITE | PF_PRESENT, NO_FAULT)
PAGE_CASE(load_absent_page, load, PTE_PRESENT, PF_USER, 0)
PAGE_CASE(store_absent_page, store, PTE_PRESENT, PF_USER | PF_WRITE, PF_WRITE)

static void try_write_protected(bool wp)
{
	uint64_t cr0 = read_cr0();

	write_cr0(wp ? cr0 | X86_CR0_WP : cr0 & ~(uint64_t)X86_CR0_WP);
	try_page(&store, PTE_WRITABLE, PF_USER | PF_WRITE | PF_PRESENT,
		 wp ? PF_WRITE | PF_PRESENT : NO_FAULT);
	write_cr0(cr0);
}

CASE(store_read_only_page, EACH_RING, RULE_PAGES, "")
{
	try_write_protected(true);
}

CASE(store_read_only_page_without_wp, EACH_RING, RULE_PAGES, "")
{
	try_write_protected(false);
}

SNIPPET_BOTH(misaligned, "mark insn; mov 1(%rbx), %rax; mark after; nop", "nop");

CASE(alignment, EACH_RING, RULE_AC, CATCHES("tcg-no-alignment-check"))
{
	uint64_t cr0 = read_cr0();

	setup.regs.rbx = (uint64_t)operand;
	setup.rflags = X86_EFLAGS_AC;
	write_cr0(cr0 | X86_CR0_AM);
	expect(environment_is_user() ? "#AC(0x0)@insn" : "(none)");
	run(misaligned);
	write_cr0(cr0);
}

/* -- IRETQ. ------------------------------------------------------------------------------------------ */

#define SPARE REAL_CS
#define SPARE_DATA REAL_DS
#define CODE64(dpl) (0x00af9b000000ffff | (uint64_t)(dpl) << 45)
#define CONFORMING64(dpl) (0x00af9f000000ffff | (uint64_t)(dpl) << 45)
#define STACK(dpl) (0x00cf93000000ffff | (uint64_t)(dpl) << 45)

SNIPPET_BOTH(iret,
	     "lea 1f(%rip), %rax; mov %rsp, %rcx; pushf; pop %rdx\n"
	     "push %rbx; push %rcx; push %rdx; push %rsi; push %rax\n"
	     "mark insn; iretq; 1: mark after; nop",
	     "nop");

static void return_to(uint16_t cs, uint64_t code, uint16_t ss, uint64_t data)
{
	uint64_t *gdt = this_cpu()->descriptors.gdt;

	gdt[SPARE / 8] = code;
	gdt[SPARE_DATA / 8] = data;
	setup.regs.rbx = ss;
	setup.regs.rsi = cs;
	run(iret);
}

#define IRET_ROW(name, environments, cs, code, ss, data, trace) \
	CASE(iret_##name, environments, RULE_IRET, "")          \
	{                                                       \
		expect(trace);                                  \
		return_to(cs, code, ss, data);                  \
	}

/* Inward. */
IRET_ROW(to_0, EACH_RING, KERNEL_CS, 0, KERNEL_DS, 0, "#GP(0x10)@insn")
IRET_ROW(to_1, CPL2 | CPL3, SPARE | 1, CODE64(1), SPARE_DATA | 1, STACK(1), "#GP(0x38)@insn")
IRET_ROW(to_2, CPL3, SPARE | 2, CODE64(2), SPARE_DATA | 2, STACK(2), "#GP(0x38)@insn")
IRET_ROW(to_conforming_inward, CPL2 | CPL3, SPARE | 1, CONFORMING64(0), SPARE_DATA | 1, STACK(1),
	 "#GP(0x38)@insn")
/* Outward. */
IRET_ROW(from_0_to_1, CPL0, SPARE | 1, CODE64(1), SPARE_DATA | 1, STACK(1), "(none)")
IRET_ROW(out_to_2, CPL0 | CPL1, SPARE | 2, CODE64(2), SPARE_DATA | 2, STACK(2), "(none)")
IRET_ROW(out_to_3, CPL0 | RINGS, SPARE | 3, CODE64(3), SPARE_DATA | 3, STACK(3), "(none)")
IRET_ROW(out_to_2_null_ss, CPL0 | CPL1, SPARE | 2, CODE64(2), 2, 0, "(none)")
IRET_ROW(out_to_3_null_ss, CPL0 | RINGS, SPARE | 3, CODE64(3), 3, 0, "#GP(0x0)@insn")
IRET_ROW(out_to_2_ss_dpl, CPL0 | CPL1, SPARE | 2, CODE64(2), SPARE_DATA | 2, STACK(3),
	 "#GP(0x50)@insn")
IRET_ROW(out_to_2_ss_rpl, CPL0 | CPL1, SPARE | 2, CODE64(2), SPARE_DATA | 3, STACK(2),
	 "#GP(0x50)@insn")
IRET_ROW(out_to_3_cs_dpl, CPL0 | RINGS, SPARE | 3, CODE64(2), SPARE_DATA | 3, STACK(3),
	 "#GP(0x38)@insn")
IRET_ROW(out_to_conforming, CPL0 | CPL1, SPARE | 2, CONFORMING64(1), SPARE_DATA | 2, STACK(2),
	 "(none)")

/* SDM 2A, IRET, 64-Bit Mode Exceptions has it, the APM has not. */
CASE(iret_out_to_2_null_ss_rpl, CPL0 | CPL1, RULE_IRET, CATCHES("bochs-iret-null-ss-rpl"))
{
	if (cpu_is_intel()) {
		expect("#GP(0x0)@insn");
	} else {
		allow("SDM 2A, IRET, 64-Bit Mode Exceptions: the RPL of a null SS is not the new CPL",
		      "#GP(0x0)@insn");
		allow("APM 3, IRET: a null SS is refused at CPL 3 and outside of 64-bit mode alone",
		      "(none)");
	}
	return_to(SPARE | 2, CODE64(2), 1, 0);
}
