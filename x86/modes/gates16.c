/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gates of 32-bit protected mode that no kernel of today fills in: interrupt and trap gates of 16 bits, and trap gates.
 *
 * The rule. A gate of 16 bits pushes words: FLAGS, CS and IP, SP and SS before them where the CPL changes, and an error
 * code of 16 bits behind them. Its handler begins at the 16 bits of its offset, whatever lies in the gate's upper word,
 * which only a gate of 32 bits has. The stack is SS:ESP, as SS.B says, whatever the gate's size. A trap gate leaves IF as
 * it was, for interrupts and NMIs too; every gate clears TF, NT, RF and VM. IRET of 16 bits pops three words, and leaves the
 * upper half of EFLAGS alone.
 *
 * Why a hypervisor must care. Windows 3.x, OS/2, DOS extenders and some firmware have such gates; for an emulator each size
 * is code of its own that nobody runs, and a hypervisor that reads a gate itself, for a software interrupt that it
 * carries out or a fault on the way, must know both.
 *
 * What a buggy hypervisor shows here: an event at an address that is none (the upper word was used), no `heard` at all,
 * or a fact that is wrong: each has a bit in `wrong`, and a sentence in the notes.
 *
 * The handler lies in a segment of its own, in the first 64 KiB of it, and leaves it by a far JMP to the UD2 at `heard`,
 * which hands the CPU to the recorder. What lies on the stack there is the raw frame.
 */
#include "trapline.h"

#define RULE_FRAME \
	"SDM 3A, Exception- or Interrupt-Handler Procedures; SDM 2A, INT n, Operation: a 16-bit gate pushes words and takes 16 bits of its offset"
#define RULE_OFFSET \
	"SDM 2A, INT n, Operation: a 16-bit gate has IP, not EIP; APM 2, Legacy-Mode Gate Descriptors"
#define RULE_TRAP \
	"SDM 3A, Flag Usage By Exception- or Interrupt-Handler Procedure: a trap gate leaves IF alone; TF, NT and RF are cleared by every gate"
#define RULE_IRET \
	"SDM 2A, IRET, Operation: with 16-bit operands IP, CS and FLAGS are popped, and the upper half of EFLAGS stays"

/* SDM 3A, System-Segment and Gate-Descriptor Types. */
enum size { INTR16 = 6, TRAP16 = 7, INTR32 = 14, TRAP32 = 15 };

#define FOR_ALL_CPLS 0xe0 /* present, DPL 3 */
#define SPARE REAL_CS
#define CODE32(base)                                                 \
	(0x00cf9b000000ffffull | ((uint64_t)(base)&0xffffff) << 16 | \
	 ((uint64_t)(base) >> 24 & 0xff) << 56)
/* With the segment's base, an address in the window, where nothing is. */
#define UPPER_WORD (WINDOW >> 16)

/* 16 bits of the address of a handler are its offset; `iret_target` is where IRET goes. */
asm("	.pushsection .text\n"
    "	.code32\n"
    "	.balign 16\n"
    "gates16_base: .skip 64, 0xcc\n"
    "gates_handler: ljmp $" STRING_OF(BOOT_CS32) ", $gates_heard\n"
						 "gates_heard: ud2\n"
						 "	.code64\n"
						 "	.popsection");
extern const uint8_t gates16_base[], gates_handler[], gates_heard[];
#define OFFSET_OF_HANDLER 64

#define AND_THEN "mark after; nop; mark late; nop; nop"
SNIPPET(int_n, "mark insn; int $0x80; " AND_THEN);
SNIPPET(int3, "mark insn; int3; " AND_THEN);
SNIPPET_BOTH(into, "nop", "mark first; movb $0x7f, %al; addb $1, %al; mark insn; into; " AND_THEN);
SNIPPET(divide, "mark first; xor %ecx, %ecx; mark insn; div %ecx; " AND_THEN);
SNIPPET(bad_segment, "mark insn; mov %esi, %fs; " AND_THEN);
/* `%cr2`: what the recorder compares it with is not from before this event. */
SNIPPET_BOTH(page_fault, "nop", "mark insn; mov %eax, (%edi); mov %cr2, %eax; " AND_THEN);
SNIPPET(step, "mark insn; nop; " AND_THEN);
SNIPPET(send, "mark insn; mov %ebx, (%ebp); area wait; 1: dec %ecx; jnz 1b; " AND_THEN);

#define HELD 0x31
#define ICR_ADDRESS 0xfee00300
#define BEYOND_GDT 0x58
#define ABSENT 0x40000123 /* in the window's first page */

struct kind {
	const struct snippet *snippet;
	unsigned vector;
	const char *from, *to; /* between these marks the saved EIP lies */
	bool has_error;
	uint32_t error;
	uint32_t command; /* of the IPI that is sent; 0: none is */
	uint32_t rflags;
};

static const struct kind kind_int_n = {&int_n, 0x80, "after", "after", false, 0, 0, 0};
static const struct kind kind_int3 = {&int3, VECTOR_BP, "after", "after", false, 0, 0, 0};
static const struct kind kind_into = {&into, VECTOR_OF, "after", "after", false, 0, 0, 0};
static const struct kind kind_divide = {&divide, VECTOR_DE, "insn", "insn", false, 0, 0, 0};
static const struct kind kind_bad_segment = {&bad_segment, VECTOR_GP,  "insn", "insn",
					     true,	   BEYOND_GDT, 0,      0};
static const struct kind kind_page_fault = {&page_fault, VECTOR_PF, "insn", "insn",
					    true,	 PF_WRITE,  0,	    0};
static const struct kind kind_step = {&step, VECTOR_DB, "after", "after",
				      false, 0,		0,	 X86_EFLAGS_TF};
static const struct kind kind_intr = {&send, HELD, "wait", "after", false, 0, ICR_FIXED | HELD, 0};
static const struct kind kind_nmi = {&send, VECTOR_NMI, "wait", "after", false, 0, ICR_NMI, 0};

/* -- What the handler found. ------------------------------------------------------------------------ */

enum fact { HEARD, IP, CS, FLAGS, SP, SS, ERROR_CODE, STACK, HANDLER_FLAGS, CR2 };

static struct {
	bool heard;
	uint64_t esp;
	uint64_t rflags; /* of the handler, with the UD2's RF */
	uint32_t raw[8]; /* words or doublewords */
	bool is_16;
	uint32_t wrong;
} now;

static enum action hear(const struct event *event, struct trap_frame *frame)
{
	if (event->rip != (uint64_t)gates_heard)
		return BY_RULE;
	now.heard = true;
	now.esp = frame->iret.rsp;
	now.rflags = event->rflags;
	for (unsigned i = 0; i < 8; i++)
		now.raw[i] =
			now.is_16 ? ((const uint16_t *)now.esp)[i] : ((const uint32_t *)now.esp)[i];
	return LEAVE;
}

static void must_be(enum fact fact, const char *what, uint64_t is, uint64_t right)
{
	if (is == right)
		return;
	now.wrong |= 1u << fact;
	note("%s is %#lx, must be %#lx", what, is, right);
}

static bool is_16(enum size size)
{
	return size == INTR16 || size == TRAP16;
}

/* Of a gate's size. */
static uint64_t part(uint64_t value)
{
	return value & (now.is_16 ? 0xffff : 0xffffffff);
}

#define ARITHMETIC_FLAGS 0x8d5u
#define KEPT_FLAGS (X86_EFLAGS_DF | X86_EFLAGS_IOPL)
/* In frames of 32 bits faults have RF, and some interrupts may: that is other guests' subject. */
#define LOOKED_AT (~(uint64_t)(ARITHMETIC_FLAGS | X86_EFLAGS_RF))

static void judge_ip(const struct kind *kind, uint64_t ip)
{
	uint64_t from = part(mark_address(kind->snippet, kind->from));
	uint64_t to = part(mark_address(kind->snippet, kind->to));

	if (ip - from > to - from)
		must_be(IP, "IP in the frame", ip, from);
}

static void judge(const struct kind *kind, enum size size)
{
	bool inward = environment_ring() != 0;
	const uint32_t *raw = now.raw + kind->has_error;
	unsigned items = 3 + (inward ? 2 : 0) + kind->has_error;
	uint64_t top = inward ? (uint32_t)this_cpu()->descriptors.tss.rsp[0] : setup.stack_top;
	uint64_t rflags = setup.rflags | X86_EFLAGS_FIXED;
	uint64_t cleared = X86_EFLAGS_TF | X86_EFLAGS_NT;

	if (size == INTR16 || size == INTR32)
		cleared |= X86_EFLAGS_IF;
	must_be(STACK, "ESP in the handler", now.esp, top - items * (now.is_16 ? 2 : 4));
	must_be(HANDLER_FLAGS, "EFLAGS in the handler", now.rflags & LOOKED_AT,
		rflags & LOOKED_AT & ~cleared);
	if (kind->has_error)
		must_be(ERROR_CODE, "the error code", now.raw[0],
			kind->error | (kind->vector == VECTOR_PF && inward ? PF_USER : 0));
	judge_ip(kind, raw[0]);
	must_be(CS, "CS in the frame", raw[1] & 0xffff, code_selector());
	must_be(FLAGS, "FLAGS in the frame", raw[2] & LOOKED_AT, part(rflags) & LOOKED_AT);
	if (!inward)
		return;
	must_be(SP, "SP in the frame", raw[3], part(setup.stack_top));
	must_be(SS, "SS in the frame", raw[4] & 0xffff, stack_selector());
}

/* -- A case. ------------------------------------------------------------------------------------------- */

static void lead(unsigned vector, enum size size)
{
	uint64_t linear = is_16(size) ? OFFSET_OF_HANDLER : (uint64_t)gates_handler;

	memset(&now, 0, sizeof(now));
	now.is_16 = is_16(size);
	this_cpu()->descriptors.gdt[SPARE / 8] = CODE32((uint64_t)gates16_base);
	gate_set_selector(vector, is_16(size) ? SPARE : BOOT_CS32);
	idt[vector].offset_low = linear;
	idt[vector].offset_middle = linear >> 16;
	idt[vector].attributes = FOR_ALL_CPLS | size;
	notation_name("heard", (uint64_t)gates_heard, 1);
	notation_name("beyond", OFFSET_OF_HANDLER | WINDOW, 1);
	notation_name("linear", (uint64_t)gates16_base + (OFFSET_OF_HANDLER | WINDOW), 1);
	setup.stack_top = stack_top(0, STACK_SNIPPET);
	setup.hook = hear;
}

static void send_it(uint32_t command)
{
	need(!apic_is_x2(), "the snippet knows the xAPIC's page only");
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rbx = command | ICR_ASSERT;
	setup.regs.rbp = ICR_ADDRESS;
	setup.regs.rcx = 10000000;
}

static void run_kind(const struct kind *kind, enum size size)
{
	setup.rflags = X86_EFLAGS_IF | X86_EFLAGS_NT | KEPT_FLAGS | kind->rflags;
	setup.regs.rsi = BEYOND_GDT;
	if (kind->command)
		send_it(kind->command);
	if (kind->vector == VECTOR_PF) {
		window_map(0, 0);
		setup.regs.rdi = ABSENT;
	}
	expect("#UD@heard; wrong=0x0");
	run_snippet(kind->snippet);
	if (now.heard)
		judge(kind, size);
	if (kind->vector == VECTOR_PF)
		must_be(CR2, "CR2", read_cr2(), setup.regs.rdi);
	observe("wrong", now.wrong);
	if (kind->vector == VECTOR_DB)
		write_dr6(DR6_CLEAR);
	if (kind->command == (ICR_FIXED | HELD))
		apic_eoi();
}

static void try_gate(const struct kind *kind, enum size size)
{
	lead(kind->vector, size);
	run_kind(kind, size);
}

#define GATE(kind, size, suffix, rule, bugs)                                  \
	CASE(kind##_##suffix, LEGACY_CPL0 | LEGACY_CPL3, rule, CATCHES(bugs)) \
	{                                                                     \
		try_gate(&kind_##kind, size);                                 \
	}
#define GATE_APIC(kind, size, suffix, rule, bugs)                                             \
	CASE_NEEDS("apic=1", kind##_##suffix, LEGACY_CPL0 | LEGACY_CPL3, rule, CATCHES(bugs)) \
	{                                                                                     \
		try_gate(&kind_##kind, size);                                                 \
	}
#define ALL_SIZES(gate, kind, of_16, of_trap)                 \
	gate(kind, INTR16, intr16, RULE_FRAME, of_16)         \
		gate(kind, TRAP16, trap16, RULE_FRAME, of_16) \
			gate(kind, TRAP32, trap32, RULE_TRAP, of_trap)

#define OF_SOFT_16 \
	"model-gate16-dwords model-gate16-flags-late model-gate16-no-stack model-gate16-sp model-legacy-gate-nt-kept"
#define OF_SOFT_TRAP "model-trap-gate-clears-if model-legacy-gate-nt-kept"

ALL_SIZES(GATE, int_n, OF_SOFT_16, OF_SOFT_TRAP)
ALL_SIZES(GATE, int3, OF_SOFT_16, OF_SOFT_TRAP)
ALL_SIZES(GATE, into, OF_SOFT_16, OF_SOFT_TRAP)
ALL_SIZES(GATE, divide, "", "")
ALL_SIZES(GATE, bad_segment, "", "")
ALL_SIZES(GATE, page_fault, "", "")
ALL_SIZES(GATE, step, "", "")
ALL_SIZES(GATE_APIC, intr, "", "")
ALL_SIZES(GATE_APIC, nmi, "", "")

#define UPPER(name, kind, size)                                                          \
	CASE(name, LEGACY_CPL0 | LEGACY_CPL3, RULE_OFFSET, CATCHES("tcg-gate16-offset")) \
	{                                                                                \
		lead(kind.vector, size);                                                 \
		idt[kind.vector].offset_middle = UPPER_WORD;                             \
		run_kind(&kind, size);                                                   \
	}

UPPER(upper_word_intr16, kind_int_n, INTR16)
UPPER(upper_word_trap16, kind_bad_segment, TRAP16)

/* -- Back. ---------------------------------------------------------------------------------------------- */

SNIPPET_BOTH(iret_of_16, "nop",
	     "mark insn; pushw %ax; pushw %bx; pushw %cx; .byte 0x66; iret; " AND_THEN);

/* AC and ID lie in the upper half. */
#define UPPER_FLAGS (X86_EFLAGS_AC | 1u << 21)

CASE(iret_of_16, LEGACY_CPL0, RULE_IRET, CATCHES(""))
{
	lead(0x80, INTR16);
	setup.rflags = UPPER_FLAGS;
	setup.regs.rax = X86_EFLAGS_FIXED | X86_EFLAGS_IF | X86_EFLAGS_DF;
	setup.regs.rbx = SPARE;
	setup.regs.rcx = OFFSET_OF_HANDLER;
	expect("#UD@heard; wrong=0x0");
	run(iret_of_16);
	must_be(STACK, "ESP behind IRET", now.esp, setup.stack_top);
	must_be(HANDLER_FLAGS, "EFLAGS behind IRET", now.rflags & LOOKED_AT,
		UPPER_FLAGS | X86_EFLAGS_FIXED | X86_EFLAGS_IF | X86_EFLAGS_DF);
	observe("wrong", now.wrong);
}
