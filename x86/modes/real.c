/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real mode: what is delivered otherwise than in any other mode.
 *
 * The rule. An event pushes FLAGS, CS and IP, 16 bits each, and goes where the vector's entry of the table at the
 * IDTR's base says, which need not be address 0. There is no error code, for no vector; a vector beyond the IDTR's
 * limit is #GP, as is an access beyond a segment's limit (#SS for the stack's). Where SS.B is set, ESP is used and not
 * SP, also above 64 KiB ("big real mode", which firmware lives in).
 *
 * The bugs that taught it. KVM injected exceptions with an error code into an L2 in real mode until 6.4
 * (6c41468c7c12), Bochs likewise. QEMU's emulation pushed at SS:SP whatever SS.B said until 10.2
 * (https://gitlab.com/qemu-project/qemu/-/issues/1506).
 *
 * What a buggy hypervisor shows: `#GP(0x0)`, or an event at `nowhere`: no frame lies where the stack pointer says.
 */
#include "trapline.h"

#define RULE_FRAME \
	"SDM 3B, Interrupt and Exception Handling (8086 emulation): FLAGS, CS and IP are pushed, and no error code"
#define RULE_LIMIT \
	"SDM 3B, 8086 Emulation, Exceptions and Interrupts: a vector beyond the IDTR's limit is #GP, without an error code"
#define RULE_NMI "SDM 3A, Nonmaskable Interrupt (NMI): delivered through vector 2, whatever IF says"

#define BUGS_FRAME CATCHES("real-mode-error-code tcg-realmode-stack32")
#define BUGS_LIMIT CATCHES("real-mode-error-code tcg-no-segment-limits")
#define PENDING 0x31
#define APIC_ICR_ADDRESS 0xfee00300ul

static void try_it(const struct snippet *snippet, const char *trace)
{
	expect("%s", trace);
	run_snippet(snippet);
}

#define ROW(name, environments, text, trace) ROW_OF(name, environments, text, trace, BUGS_FRAME)
#define ROW_OF(name, environments, text, trace, bugs)                                 \
	SNIPPET_ALL(name, "nop", "nop", "mark insn\n" text "\nmark after; nop; nop"); \
	CASE(name, environments, RULE_FRAME, bugs)                                    \
	{                                                                             \
		try_it(&name, trace);                                                 \
	}

ROW(divide, IN_REAL, "xor %cx, %cx; div %cx", "#DE@insn+0x2")
ROW(undefined, IN_REAL, "ud2", "#UD@insn")
ROW_OF(load_beyond_limit, REAL, "mov 0xffff, %ax", "#GP@insn", BUGS_LIMIT)
ROW_OF(store_beyond_limit, REAL, "mov %ax, 0xffff", "#GP@insn", BUGS_LIMIT)
ROW_OF(stack_beyond_limit, REAL, "mov %ss:0xffff, %ax", "#SS@insn", BUGS_LIMIT)
ROW(load_far, BIG_REAL, "mov $0x100000, %ebx; mov (%ebx), %eax", "(none)")
ROW(protected_only, IN_REAL, "sldt %ax", "#UD@insn")
ROW(int3, IN_REAL, "int3", "#BP@after")
ROW(int_8, IN_REAL, "int $8", "int 0x8@after")
ROW(int_13, IN_REAL, "int $13", "int 0xd@after")
ROW(int_14, IN_REAL, "int $14", "int 0xe@after")

SNIPPET(int_0x30, "mark insn; int $0x30; mark after; nop");

CASE(beyond_limit, IN_REAL, RULE_LIMIT, CATCHES("tcg-realmode-stack32 model-real-limit"))
{
	load_idt(idt, 0x30 * sizeof(struct gate) - 1);
	try_it(&int_0x30, "#GP@insn");
}

SNIPPET(sti, "sti; mark shadow; nop; mark after; nop");

CASE_NEEDS("apic=1", interrupt, IN_REAL, RULE_FRAME, CATCHES("tcg-realmode-stack32"))
{
	interrupt_pending(PENDING);
	try_it(&sti, "intr 0x31@after");
}

CASE_NEEDS("apic=1", interrupt_beyond_limit, IN_REAL, RULE_LIMIT, BUGS_FRAME)
{
	interrupt_pending(PENDING);
	load_idt(idt, PENDING * sizeof(struct gate) - 1);
	try_it(&sti, "#GP@after");
	apic_eoi();
}

SNIPPET_ALL(nmi, "nop", "nop", "mov %eax, (%edi); mark wait; 1: dec %ecx; jnz 1b; mark late; nop");

static enum action end_wait(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	frame->regs.rcx = 1;
	return BY_RULE;
}

CASE_NEEDS("apic=1", nmi, BIG_REAL, RULE_NMI, CATCHES("model-nmi-lost tcg-realmode-stack32"))
{
	need(!apic_is_x2(), "the snippet knows the xAPIC's page only");
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	setup.regs.rcx = 20000000;
	setup.hook = end_wait;
	try_it(&nmi, "nmi@wait");
}
