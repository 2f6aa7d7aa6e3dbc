/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handlers in ring 1, 2 and 3, and the rings between kernel and user: gates that lead there, and the way back out.
 *
 * The rule. An event goes to the ring of its handler's code segment, if that is not less privileged than the
 * interrupted code: #GP with the segment's selector otherwise. Where it is more privileged, the stack is that ring's in the
 * TSS, RSP0, RSP1 or RSP2, at a multiple of 16, and SS is null with the ring as its RPL; where it is the same, nothing
 * but RSP's alignment changes. The frame is written with the rights of the new ring: paging knows the supervisor (0 to 2)
 * and the user (3). RSPn beyond the TSS's limit is #TS with the TSS's selector, RSPn that is not canonical #SS, a stack
 * that is not mapped #PF, all of the instruction that raised the event. IRETQ leads outward only, and its null SS is
 * for 64-bit code below ring 3. An instruction that needs CPL 0 is #GP(0) in ring 1 and 2 as in ring 3; a CPU that
 * asks "is it 3" lets it through.
 *
 * Why a hypervisor must care. Nobody's kernel has rings 1 and 2 in 64-bit code, so nobody looks: QEMU pushed the frame of a
 * handler in ring 3 with the kernel's rights until 9.2 (gitlab #249: with SMAP every such event is a double fault),
 * emulators know two kinds of privilege, and Xen's own check for "kernel" is of a time when kernels ran in ring 1.
 *
 * What a buggy hypervisor shows here: a wrong RSP or SS in the handler, the U bit in a #PF's error code, RSP0 for RSP1,
 * no #GP for an instruction of ring 0.
 *
 * A handler of an outer ring is NOP, UD2, which hands the CPU to the recorder, and IRETQ. The trace has the
 * #UD at `handler`; the event behind it, at `behind`, shows that IRETQ has brought everything back.
 */
#include "trapline.h"

#define RULE_STACK \
	"SDM 3A, Stack Switching in IA-32e Mode: a handler in ring n < CPL gets RSPn of the TSS and a null SS with RPL n; in the same ring the stack stays"
#define RULE_OUTWARD \
	"SDM 2A, INT n/INTO/INT3/INT1, Operation: a handler's segment with DPL > CPL is #GP(selector)"
#define RULE_TSS_LIMIT \
	"SDM 2A, INT n/INTO/INT3/INT1, Operation: RSPn beyond the limit of the TSS is #TS(TSS selector)"
#define RULE_CANONICAL \
	"SDM 2A, INT n/INTO/INT3/INT1: a new stack pointer that is not canonical is #SS(EXT)"
#define RULE_PUSH \
	"SDM 3A, Determination of Access Mode: the frame is written with the rights of the handler's ring, user in ring 3, supervisor in 0 to 2"
#define RULE_IRET \
	"SDM 2A, IRET/IRETD/IRETQ: 64-Bit Mode Exceptions; an IRET goes to the same ring or an outer one"
#define RULE_PRIVILEGED "SDM 3A, Privileged Instructions: at a CPL other than 0 they are #GP(0)"
#define RULE_IOPL \
	"SDM 3A, Privilege Levels and I/O: CLI, STI, IN and OUT need CPL <= IOPL, or a 0 in the I/O map"
#define RULE_AC "SDM 3A, Alignment Check Exception (#AC): CPL 3 alone"

#define HELD 0x31
#define SPARE REAL_CS
#define SPARE_DATA REAL_DS
#define ICR_ADDRESS 0xfee00300

#define CODE64(dpl) (0x00af9b000000ffff | (uint64_t)(dpl) << 45)
#define DATA(dpl) (0x00cf93000000ffff | (uint64_t)(dpl) << 45)

static void set_descriptor(uint16_t selector, uint64_t descriptor)
{
	this_cpu()->descriptors.gdt[selector / 8] = descriptor;
}

/* -- Handlers, and what leads to them. ----------------------------------------------------------- */

asm("	.pushsection .text\n"
    "	nop; ring_handler: ud2; iretq\n"
    "	nop; ring_handler_error: ud2; lea 8(%rsp), %rsp; iretq\n"
    "	.popsection");
extern const uint8_t ring_handler[], ring_handler_error[];
#define NOP_BYTES 1
#define UD2_BYTES 2

#define AND_THEN "mark after; int $0x21; mark behind; nop"
SNIPPET(int3, "mark insn; int3; " AND_THEN);
SNIPPET(int_n, "mark insn; int $0x80; " AND_THEN);
SNIPPET(gp, "mark insn; mov %esi, %fs; " AND_THEN);
SNIPPET(send, "mark insn; mov %ebx, (%ebp); area wait; 1: dec %ecx; jnz 1b; " AND_THEN);

struct kind {
	const struct snippet *snippet;
	unsigned vector;
	const char *from, *to; /* between these marks the saved RIP lies */
	uint32_t command;      /* of the IPI that is sent; 0: none is */
	unsigned skip;	       /* bytes of the instruction, where the event is its fault */
};

static const struct kind kind_int3 = {&int3, VECTOR_BP, "after", "after", 0, 0};
static const struct kind kind_int_n = {&int_n, 0x80, "after", "after", 0, 0};
static const struct kind kind_gp = {&gp, VECTOR_GP, "insn", "insn", 0, 2};
static const struct kind kind_intr = {&send, HELD, "wait", "after", ICR_FIXED | HELD, 0};
static const struct kind kind_nmi = {&send, VECTOR_NMI, "wait", "after", ICR_NMI, 0};

/* -- A handler in an outer ring. ------------------------------------------------------------------ */

#define STACK_OF_RING 512
static uint8_t ring_stacks[4][STACK_OF_RING] __attribute__((aligned(16)));

static struct {
	const struct kind *kind;
	bool ran;
	struct event at_handler; /* the handler's #UD */
	struct iret_frame frame; /* of the event that led to it */
} now;

static enum action in_handler(const struct event *event, struct trap_frame *frame)
{
	const struct kind *kind = now.kind;
	bool has_error = event->rip == (uint64_t)ring_handler_error;
	struct iret_frame *pushed = (struct iret_frame *)(event->rsp + (has_error ? 8 : 0));

	if (!has_error && event->rip != (uint64_t)ring_handler)
		return BY_RULE;
	now.ran = true;
	now.at_handler = *event;
	now.frame = *pushed;
	pushed->rip += kind->skip;
	if (kind->command == (ICR_FIXED | HELD))
		apic_eoi();
	if (kind->command)
		frame->regs.rcx = 1;
	frame->iret.rip += UD2_BYTES;
	/* Null, where it may be: our IRETQ must load something else in ring 3. */
	if (frame->iret.ss == 3)
		frame->iret.ss = USER_DS;
	return RESUME;
}

/* No stack is at a multiple of 16, but the frame on it must be. */
static uint64_t top_of_ring(unsigned ring)
{
	return (uint64_t)ring_stacks[ring] + STACK_OF_RING - 24;
}

static void lead_to_ring(const struct kind *kind, unsigned ring)
{
	const uint8_t *handler = kind->skip ? ring_handler_error : ring_handler;
	struct tss *tss = &this_cpu()->descriptors.tss;

	now.kind = kind;
	now.ran = false;
	set_descriptor(SPARE, CODE64(ring));
	gate_set_selector(kind->vector, SPARE);
	gate_set_handler(kind->vector, handler - NOP_BYTES);
	notation_name("handler", (uint64_t)handler, 2);
	tss->rsp[1] = top_of_ring(1);
	tss->rsp[2] = top_of_ring(2);
	setup.stack_top = top_of_ring(3);
	setup.hook = in_handler;
	setup.regs.rsi = 0x58; /* beyond the GDT */
}

static void run_kind(const struct kind *kind)
{
	if (kind->command) {
		need(!apic_is_x2(), "the snippet knows the xAPIC's page only");
		apic_write(APIC_ICR_HIGH, apic_id() << 24);
		setup.regs.rbx = kind->command | ICR_ASSERT;
		setup.regs.rbp = ICR_ADDRESS;
		setup.regs.rcx = 10000000;
	}
	run_snippet(kind->snippet);
}

#define KEPT_FLAGS (X86_EFLAGS_AC | X86_EFLAGS_DF | X86_EFLAGS_IOPL)

static void judge_handler(const struct kind *kind, unsigned ring, bool by_ist, uint64_t top)
{
	bool inward = ring < environment_ring();
	const struct event *h = &now.at_handler;
	/* An IST in the same ring: null or as it was (lib/x86/compare/delivery.h). */
	uint16_t ss = inward || (by_ist && !(h->ss & ~3)) ? ring : stack_selector();
	uint64_t rsp = (top & ~15ul) - sizeof(now.frame) - (kind->skip ? 8 : 0);

	if (!now.ran)
		return;
	check(h->cs == (SPARE | ring), "the handler's CS is %#x, must be %#x", h->cs, SPARE | ring);
	check(h->ss == ss, "the handler's SS is %#x, must be %#x", h->ss, ss);
	check(h->rsp == rsp, "the handler's RSP is %#lx, must be %#lx", h->rsp, rsp);
	check(!(h->rflags & (X86_EFLAGS_IF | X86_EFLAGS_TF | X86_EFLAGS_NT)),
	      "the handler's RFLAGS are %#lx", h->rflags);
	check((h->rflags & KEPT_FLAGS) == (setup.rflags & KEPT_FLAGS),
	      "the handler's RFLAGS are %#lx, those of the snippet %#lx", h->rflags, setup.rflags);
	check(now.frame.cs == code_selector() && now.frame.ss == stack_selector() &&
		      now.frame.rsp == setup.stack_top &&
		      (now.frame.rflags & setup.rflags) == setup.rflags,
	      "the frame has CS %#lx, SS %#lx, RSP %#lx, RFLAGS %#lx", now.frame.cs, now.frame.ss,
	      now.frame.rsp, now.frame.rflags);
	check(now.frame.rip >= mark_address(kind->snippet, kind->from) &&
		      now.frame.rip <= mark_address(kind->snippet, kind->to),
	      "the frame has RIP %#lx", now.frame.rip);
}

static void try_handler(const struct kind *kind, unsigned ring, bool by_ist)
{
	uint64_t top = ring < environment_ring() ? top_of_ring(ring) : top_of_ring(3);

	lead_to_ring(kind, ring);
	if (by_ist) {
		top = top_of_ring(0);
		use_ist(kind->vector, top);
	}
	setup.rflags = X86_EFLAGS_IF | X86_EFLAGS_NT | KEPT_FLAGS;
	expect("#UD@handler, int 0x21@behind");
	run_kind(kind);
	judge_handler(kind, ring, by_ist, top);
}

#define FROM_1_OUT CPL1 | CPL2 | CPL3 | COMPAT
#define FROM_2_OUT CPL2 | CPL3 | COMPAT
#define FROM_3_OUT CPL3 | COMPAT

#define IN_RING(kind, ring, environments, bugs, bugs_ist)                                    \
	CASE_NEEDS("apic=1", kind##_in_ring##ring, environments, RULE_STACK, bugs)           \
	{                                                                                    \
		try_handler(&kind_##kind, ring, false);                                      \
	}                                                                                    \
	CASE_NEEDS("apic=1", kind##_in_ring##ring##_ist, environments, RULE_STACK, bugs_ist) \
	{                                                                                    \
		try_handler(&kind_##kind, ring, true);                                       \
	}

#define FOR_EACH_KIND(ring, environments, bugs, bugs_ist)  \
	IN_RING(int3, ring, environments, bugs, bugs_ist)  \
	IN_RING(int_n, ring, environments, bugs, bugs_ist) \
	IN_RING(gp, ring, environments, "", "")            \
	IN_RING(intr, ring, environments, bugs, bugs_ist)  \
	IN_RING(nmi, ring, environments, bugs, bugs_ist)

#define BUGS_IST CATCHES("model-ring-is-0 bochs-null-ss-dpl")
#define BUGS_RING CATCHES("model-ring-rsp0 model-ring-is-0 bochs-null-ss-dpl")

FOR_EACH_KIND(1, FROM_1_OUT, BUGS_RING, BUGS_IST)
FOR_EACH_KIND(2, FROM_2_OUT, BUGS_RING, BUGS_IST)
FOR_EACH_KIND(3, FROM_3_OUT, "", "")

/* -- IF, which IRETQ leaves alone where CPL > IOPL. ------------------------------------------------ */

#define RULE_IF \
	"SDM 2A, IRET/IRETD/IRETQ, Operation: IF is popped where CPL <= IOPL, IOPL at CPL 0 alone"

SNIPPET(int3_and_flags, "pushf; popf; mark insn; int3; " AND_THEN);

#define IF_CASE(ring, iopl, environments, trace)                    \
	CASE(if_ring##ring##_iopl##iopl, environments, RULE_IF, "") \
	{                                                           \
		lead_to_ring(&kind_int3, ring);                     \
		setup.rflags = X86_EFLAGS_IF | iopl << 12;          \
		setup.shown_flags = X86_EFLAGS_IF;                  \
		expect(trace);                                      \
		run(int3_and_flags);                                \
	}

IF_CASE(1, 0, FROM_1_OUT, "#UD@handler, int 0x21@behind")
IF_CASE(1, 1, FROM_1_OUT, "#UD@handler, int 0x21@behind{IF}")
IF_CASE(2, 1, FROM_2_OUT, "#UD@handler, int 0x21@behind")
IF_CASE(2, 2, FROM_2_OUT, "#UD@handler, int 0x21@behind{IF}")
IF_CASE(3, 2, FROM_3_OUT, "#UD@handler, int 0x21@behind")
IF_CASE(3, 3, FROM_3_OUT, "#UD@handler, int 0x21@behind{IF}")

/* -- What keeps an event from its handler. --------------------------------------------------------- */

SNIPPET(ud, "mark insn; ud2; mark after; nop");

static void try_refused(unsigned vector, const struct snippet *snippet, unsigned ring,
			const char *trace)
{
	set_descriptor(SPARE, CODE64(ring));
	gate_set_selector(vector, SPARE);
	expect("%s", trace);
	run_snippet(snippet);
}

#define OUTWARD(ring, environments)                                                     \
	CASE(int3_outward_ring##ring, environments, RULE_OUTWARD, "")                   \
	{                                                                               \
		try_refused(VECTOR_BP, &int3, ring, "#GP(0x38)@insn");                  \
	}                                                                               \
	CASE(ud_outward_ring##ring, environments, RULE_OUTWARD, CATCHES("tcg-ext-bit")) \
	{                                                                               \
		try_refused(VECTOR_UD, &ud, ring, "#GP(0x39)@insn");                    \
	}

OUTWARD(1, CPL0)
OUTWARD(2, CPL0 | CPL1)
OUTWARD(3, CPL0 | CPL1 | CPL2)

/* RSP0 ends with byte 11 of the TSS, RSP1 with 19. */
static void cut_tss(unsigned limit)
{
	uint64_t *descriptor = &this_cpu()->descriptors.gdt[TSS_SELECTOR / 8];

	*descriptor = (*descriptor & ~(0xfffful | 2ul << 40)) | limit;
	asm volatile("ltr %w0" : : "r"(TSS_SELECTOR) : "memory");
}

#define CUT(ring, limit, environments)                                              \
	CASE(int3_no_rsp##ring, environments, RULE_TSS_LIMIT,                       \
	     CATCHES("model-tss-limit-unchecked"))                                  \
	{                                                                           \
		cut_tss(limit);                                                     \
		try_refused(VECTOR_BP, &int3, ring, "#TS(0x40)@insn");              \
	}                                                                           \
	CASE(ud_no_rsp##ring, environments, RULE_TSS_LIMIT, CATCHES("tcg-ext-bit")) \
	{                                                                           \
		cut_tss(limit);                                                     \
		try_refused(VECTOR_UD, &ud, ring, "#TS(0x41)@insn");                \
	}                                                                           \
	CASE(int3_noncanonical_rsp##ring, environments, RULE_CANONICAL,             \
	     CATCHES("bochs-ss-old-selector model-noncanonical-gate"))              \
	{                                                                           \
		this_cpu()->descriptors.tss.rsp[ring] = 0x0000800000001000;         \
		try_refused(VECTOR_BP, &int3, ring, "#SS(0x0)@insn");               \
	}

CUT(1, 18, CPL2 | CPL3 | COMPAT)
CUT(2, 26, CPL3 | COMPAT)

/* With RSP1 still in it, and RSP2 not. */
CASE(int3_rsp1_is_last, CPL2 | CPL3 | COMPAT, RULE_TSS_LIMIT, "")
{
	cut_tss(19);
	try_handler(&kind_int3, 1, false);
}

/* -- The rights with which the frame is written. ---------------------------------------------------- */

static uint8_t stack_page[PAGE_BYTES] __attribute__((aligned(4096)));

/* The hook of all cases here, behind that of the handler: the page comes back, open to all. */
static enum action in_handler_or_map(const struct event *event, struct trap_frame *frame)
{
	if (event->vector != VECTOR_PF)
		return in_handler(event, frame);
	window_map(0, (uint64_t)stack_page | PTE_PAGE);
	return RESUME;
}

static void try_stack(unsigned ring, uint64_t entry, const char *trace)
{
	lead_to_ring(&kind_int3, ring);
	setup.hook = in_handler_or_map;
	window_map(0, entry);
	notation_name("window", WINDOW, PAGE_BYTES);
	setup.rflags = X86_EFLAGS_IOPL;
	if (ring < environment_ring())
		this_cpu()->descriptors.tss.rsp[ring] = WINDOW + PAGE_BYTES;
	else
		setup.stack_top = WINDOW + PAGE_BYTES;
	expect("%s", trace);
	run(int3);
}

#define SUPERVISOR_PAGE ((uint64_t)stack_page | (PTE_PAGE & ~PTE_USER))
#define AT_ONCE "#UD@handler, int 0x21@behind"

#define PUSH_CASES(ring, environments, absent, supervisor, bugs, bugs_supervisor)   \
	CASE(absent_stack_ring##ring, environments, RULE_PUSH, bugs)                \
	{                                                                           \
		try_stack(ring, 0, absent AT_ONCE);                                 \
	}                                                                           \
	CASE(supervisor_stack_ring##ring, environments, RULE_PUSH, bugs_supervisor) \
	{                                                                           \
		try_stack(ring, SUPERVISOR_PAGE, supervisor AT_ONCE);               \
	}

PUSH_CASES(1, FROM_1_OUT, "#PF(0x2,cr2=window+0xff8)@insn, ", "",
	   CATCHES("model-ring-stack-as-user"), "")
PUSH_CASES(2, FROM_2_OUT, "#PF(0x2,cr2=window+0xff8)@insn, ", "",
	   CATCHES("model-ring-stack-as-user"), "")
PUSH_CASES(3, FROM_3_OUT, "#PF(0x6,cr2=window+0xff8)@insn, ", "#PF(0x7,cr2=window+0xff8)@insn, ",
	   CATCHES("tcg-dpl-stack-smap"), CATCHES("tcg-dpl-stack-smap"))
