/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gates of every kind: what a handler finds when it begins.
 *
 * The rule. A trap gate leaves IF as it was, an interrupt gate clears it; TF, NT, RF and VM are clear behind both,
 * and all other flags are kept, AC, DF, IOPL and ID among them. CS is the gate's selector with the RPL that the new CPL
 * demands. A conforming segment does not change the CPL: its handler runs where the event came from, on the same stack. An
 * IST gives its stack whatever the CPL was. A gate that names no code segment that the event may enter is #GP or #NP
 * with that selector as the error code, and EXT set unless the program itself has asked by INT n or INT3.
 *
 * Why a hypervisor must care. Whoever delivers an event by hand (emulator, shadow code, #VC) does all of this itself,
 * and kernels have used interrupt gates alone for so long that nobody looks.
 *
 * What the library compares for every event anyway (lib/x86/compare/delivery.h) is most of the check: the cases put the
 * flags there, bend the gate, and take each kind of event through it. A buggy hypervisor shows `#BP@after!IF`,
 * `!NT`, `!AC`, `!CS`, `!RSP`; `intr 0x31@after` where the handler was to be interrupted first; another error code.
 */
#include "trapline.h"

#define RULE_FLAGS \
	"SDM 3A, Flag Usage By Exception- or Interrupt-Handler Procedure: TF, NT, RF, VM cleared; IF behind an interrupt gate alone; no other flag"
#define RULE_RF \
	"SDM 3A, Flag Usage By Exception- or Interrupt-Handler Procedure: RF is cleared, so a breakpoint on the handler's first instruction hits"
#define RULE_PENDING \
	"SDM 3A, Flag Usage By Exception- or Interrupt-Handler Procedure: a trap gate leaves IF set, so a pending interrupt comes at the handler's first instruction"
#define RULE_RPL "SDM 2A, INT n/INTO/INT3/INT1, Operation: CS(RPL) := CPL"
#define RULE_CONFORMING \
	"SDM 3A, Protection of Exception- and Interrupt-Handler Procedures: a conforming handler runs at the interrupted CPL"
#define RULE_SELECTOR \
	"SDM 2A, INT n/INTO/INT3/INT1, Operation: a gate's selector must name a present 64-bit code segment with DPL <= CPL; the error code has it, and EXT"

#define BUGS_FLAGS                                                                  \
	"model-delivery-keeps-if model-delivery-keeps-nt model-delivery-clears-ac " \
	"model-delivery-clears-df model-delivery-clears-id model-delivery-frame-iopl "
#define BUGS_TRAP_GATE "model-delivery-trap-gate "

#define HELD 0x31

/* -- One snippet for each kind of event. ------------------------------------------------------- */

SNIPPET(int3, "mark insn; int3; mark after; nop");
SNIPPET(int_n, "mark insn; int $0x80; mark after; nop");
SNIPPET(ud, "mark insn; ud2; mark after; nop");
SNIPPET(gp, "mark insn; mov %esi, %fs; mark after; nop");
SNIPPET(send, "mov %ebx, (%ebp); " WAIT);

struct kind {
	const struct snippet *snippet;
	unsigned vector;
	const char *trace;
	uint32_t command; /* of the IPI that is sent; 0: none is */
};

static const struct kind kind_int3 = {&int3, VECTOR_BP, "#BP@after", 0};
static const struct kind kind_int_n = {&int_n, 0x80, "int 0x80@after", 0};
static const struct kind kind_ud = {&ud, VECTOR_UD, "#UD@insn", 0};
static const struct kind kind_gp = {&gp, VECTOR_GP, "#GP(0x58)@insn", 0};
static const struct kind kind_intr = {&send, HELD, "intr 0x31@wait", ICR_FIXED | HELD};
static const struct kind kind_nmi = {&send, VECTOR_NMI, "nmi@wait", ICR_NMI};

#define GP_SELECTOR 0x58 /* beyond the GDT */
#define ICR_ADDRESS 0xfee00300

static void run_kind(const struct kind *kind)
{
	setup.regs.rsi = GP_SELECTOR;
	if (!kind->command) {
		run_snippet(kind->snippet);
		return;
	}
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rbx = kind->command | ICR_ASSERT;
	setup.regs.rbp = ICR_ADDRESS;
	run_until(send, 1);
}

/* -- Flags. ------------------------------------------------------------------------------------ */

#define X86_EFLAGS_ID (1u << 21)

/* All that a handler is to find as it was, and NT, which it is not to find. */
static void set_flags(void)
{
	setup.rflags = X86_EFLAGS_IF | X86_EFLAGS_AC | X86_EFLAGS_DF | X86_EFLAGS_NT |
		       X86_EFLAGS_ID | X86_EFLAGS_IOPL;
}

#define FOR_EACH_KIND(do) \
	do                \
	(int3) do(int_n) do(ud) do(gp) do(intr) do(nmi)

#define FLAGS_CASES(kind)                                                           \
	CASE_NEEDS("apic=1", interrupt_gate_##kind, IN_EVERY_RING, RULE_FLAGS,      \
		   CATCHES(BUGS_OF_##kind))                                         \
	{                                                                           \
		set_flags();                                                        \
		expect("%s", kind_##kind.trace);                                    \
		run_kind(&kind_##kind);                                             \
	}                                                                           \
	CASE_NEEDS("apic=1", trap_gate_##kind, IN_EVERY_RING, RULE_FLAGS,           \
		   CATCHES(TRAP_BUGS_OF_##kind))                                    \
	{                                                                           \
		set_flags();                                                        \
		gate_set_trap(kind_##kind.vector);                                  \
		expect("%s", kind_##kind.trace);                                    \
		run_kind(&kind_##kind);                                             \
	}                                                                           \
	CASE_NEEDS("apic=1", ist_##kind, IN_LONG_MODE | RINGS, RULE_FLAGS,          \
		   CATCHES(IST_BUGS_OF_##kind))                                     \
	{                                                                           \
		set_flags();                                                        \
		gate_set_trap(kind_##kind.vector);                                  \
		/* not at a multiple of 16 */                                       \
		use_ist(kind_##kind.vector, stack_top(0, STACK_EVENTS) - 1024 + 8); \
		expect("%s", kind_##kind.trace);                                    \
		run_kind(&kind_##kind);                                             \
	}

#define BUGS_OF_SOFT                                                                       \
	BUGS_FLAGS                                                                         \
	"model-delivery-ss model-delivery-stack "                                          \
	"model-delivery-cr2 model-delivery-dr6 model-delivery-register model-delivery-ds " \
	"model-delivery-frame-ss model-delivery-frame-rsp model-delivery-arithmetic"
#define BUGS_OF_int3 BUGS_OF_SOFT
#define BUGS_OF_int_n BUGS_OF_SOFT
#define BUGS_OF_ud ""
#define BUGS_OF_gp ""
#define BUGS_OF_intr BUGS_OF_SOFT
#define BUGS_OF_nmi BUGS_OF_SOFT
#define TRAP_BUGS_OF_int3 BUGS_TRAP_GATE "model-delivery-keeps-nt"
#define TRAP_BUGS_OF_int_n TRAP_BUGS_OF_int3
#define TRAP_BUGS_OF_ud ""
#define TRAP_BUGS_OF_gp ""
#define TRAP_BUGS_OF_intr TRAP_BUGS_OF_int3
#define TRAP_BUGS_OF_nmi TRAP_BUGS_OF_int3
#define IST_BUGS_OF_int3 "model-delivery-ist model-delivery-unaligned"
#define IST_BUGS_OF_int_n IST_BUGS_OF_int3
#define IST_BUGS_OF_ud ""
#define IST_BUGS_OF_gp ""
#define IST_BUGS_OF_intr IST_BUGS_OF_int3
#define IST_BUGS_OF_nmi IST_BUGS_OF_int3

FOR_EACH_KIND(FLAGS_CASES)

/* -- RF, which PUSHF does not show: what it would hold back does come. -------------------------- */

static void try_breakpoint(const struct kind *kind, const char *trace)
{
	breakpoint_set(0, (uint64_t)mode_stub(kind->vector), BREAK_CODE, 1);
	setup.rflags = X86_EFLAGS_IF;
	expect("#DB[B0]@handler[%#x], %s", kind->vector, trace);
	run_kind(kind);
}

#define BREAKPOINT_CASE(kind)                                                      \
	CASE_NEEDS("apic=1", breakpoint_in_handler_##kind, IN_EVERY_RING, RULE_RF, \
		   CATCHES(RF_BUGS_OF_##kind))                                     \
	{                                                                          \
		try_breakpoint(&kind_##kind, kind_##kind.trace);                   \
	}

#define RF_BUGS_OF_int3 "model-delivery-keeps-rf"
#define RF_BUGS_OF_int_n "model-delivery-keeps-rf"
#define RF_BUGS_OF_ud ""
#define RF_BUGS_OF_gp ""
#define RF_BUGS_OF_intr "model-delivery-keeps-rf"
#define RF_BUGS_OF_nmi "model-delivery-keeps-rf bochs-nmi-code-breakpoint"

FOR_EACH_KIND(BREAKPOINT_CASE)

/* -- An interrupt in a handler behind a trap gate. ---------------------------------------------- */

#define BUGS_PENDING "tcg-shadow-in-handler"

SNIPPET(sti_int3, "sti; mark insn; int3; mark after; nop");
SNIPPET(sti_int_n, "sti; mark insn; int $0x80; mark after; nop");
SNIPPET(sti_ud, "sti; mark insn; ud2; mark after; nop");

static void try_pending(const struct snippet *snippet, unsigned vector, const char *trace)
{
	grant_iopl();
	setup.shown_flags = X86_EFLAGS_IF | X86_EFLAGS_TF;
	gate_set_trap(vector);
	interrupt_pending(HELD);
	expect("intr 0x31@handler[%#x]{IF}, %s", vector, trace);
	run_snippet(snippet);
}

CASE_NEEDS("apic=1", pending_int3, IN_EVERY_RING, RULE_PENDING, CATCHES(BUGS_PENDING))
{
	try_pending(&sti_int3, VECTOR_BP, "#BP@after{IF}");
}

CASE_NEEDS("apic=1", pending_int_n, IN_EVERY_RING, RULE_PENDING, CATCHES(BUGS_PENDING))
{
	try_pending(&sti_int_n, 0x80, "int 0x80@after{IF}");
}

CASE_NEEDS("apic=1", pending_ud, IN_EVERY_RING, RULE_PENDING, CATCHES("tcg-shadow-in-handler"))
{
	try_pending(&sti_ud, VECTOR_UD, "#UD@insn{IF}");
}

/* -- The gate's selector. ----------------------------------------------------------------------- */

#define SPARE_SELECTOR 0x38 /* between the segments and the TSS (boot/start.S) */

static void set_spare(uint64_t descriptor)
{
	this_cpu()->descriptors.gdt[SPARE_SELECTOR / 8] = descriptor;
}

#define RPL_CASE(kind)                                                            \
	CASE_NEEDS("apic=1", selector_rpl_##kind, IN_LONG_MODE | RINGS, RULE_RPL, \
		   CATCHES(RPL_BUGS_OF_##kind))                                   \
	{                                                                         \
		setup.rflags = X86_EFLAGS_IF;                                     \
		gate_set_selector(kind_##kind.vector, KERNEL_CS | 3);             \
		expect("%s", kind_##kind.trace);                                  \
		run_kind(&kind_##kind);                                           \
	}

#define RPL_BUGS_OF_int3 ""
#define RPL_BUGS_OF_int_n ""
#define RPL_BUGS_OF_ud ""
#define RPL_BUGS_OF_gp ""
#define RPL_BUGS_OF_intr ""
#define RPL_BUGS_OF_nmi ""

FOR_EACH_KIND(RPL_CASE)

#define CODE_CONFORMING 0x00af9f000000ffff

/* A handler that may be at CPL 3: #UD takes it to the recorder, as the frame lies. */
asm("	.pushsection .text\n"
    "conforming_handler:\n"
    "	ud2\n"
    "	.popsection");
extern const uint8_t conforming_handler[];

static struct iret_frame seen;
static bool has_error;

static enum action look_at_frame(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	seen = *(const struct iret_frame *)(event->rsp + (has_error ? 8 : 0));
	return LEAVE;
}

static void try_conforming(const struct kind *kind, const char *place)
{
	uint64_t flags = setup.rflags = X86_EFLAGS_IF | X86_EFLAGS_AC | X86_EFLAGS_DF;
	uint16_t cs = SPARE_SELECTOR | environment_ring();
	uint64_t top = stack_top(0, STACK_SNIPPET) - 24; /* to be aligned */

	set_spare(CODE_CONFORMING);
	gate_set_selector(kind->vector, SPARE_SELECTOR);
	gate_set_handler(kind->vector, conforming_handler);
	notation_name("conforming", (uint64_t)conforming_handler, 2);
	setup.stack_top = top;
	setup.hook = look_at_frame;
	setup.shown_flags = X86_EFLAGS_IF;
	has_error = kind == &kind_gp;
	expect("#UD@conforming");
	run_kind(kind);
	check(this_recording()->trace->events[0].cs == cs, "the handler's CS is %#x, must be %#x",
	      this_recording()->trace->events[0].cs, cs);
	check(this_recording()->trace->events[0].rsp ==
		      (top & ~15ul) - sizeof(seen) - (has_error ? 8 : 0),
	      "the handler's RSP is %#lx; the stack was at %#lx",
	      this_recording()->trace->events[0].rsp, top);
	check(this_recording()->trace->events[0].ss == stack_selector(),
	      "the handler's SS is %#x, must be %#x", this_recording()->trace->events[0].ss,
	      stack_selector());
	check(seen.cs == code_selector() && seen.ss == stack_selector() && seen.rsp == top &&
		      (seen.rflags & flags) == flags,
	      "the frame has CS %#lx, SS %#lx, RSP %#lx, RFLAGS %#lx", seen.cs, seen.ss, seen.rsp,
	      seen.rflags);
	check(seen.rip == mark_address(kind->snippet, place), "the frame has RIP %#lx", seen.rip);
}

CASE(conforming_int3, IN_LONG_MODE | RINGS, RULE_CONFORMING, CATCHES("model-delivery-conforming"))
{
	try_conforming(&kind_int3, "after");
}

CASE(conforming_int_n, IN_LONG_MODE | RINGS, RULE_CONFORMING, CATCHES("model-delivery-conforming"))
{
	try_conforming(&kind_int_n, "after");
}

CASE(conforming_gp, IN_LONG_MODE | RINGS, RULE_CONFORMING, "")
{
	try_conforming(&kind_gp, "insn");
}

/* -- Selectors that no event may go to. ---------------------------------------------------------- */

static const struct bad {
	const char *name;
	uint16_t selector;
	uint64_t descriptor; /* in SPARE_SELECTOR */
	unsigned vector;
} bads[] = {
	{"null", 0, 0, VECTOR_GP},
	{"data", KERNEL_DS, 0, VECTOR_GP},
	{"system", TSS_SELECTOR, 0, VECTOR_GP},
	{"DPL 3", USER_CS, 0, VECTOR_GP},
	{"32-bit", BOOT_CS32, 0, VECTOR_GP},
	{"64-bit with D", SPARE_SELECTOR, 0x00ef9b000000ffff, VECTOR_GP},
	{"not present", SPARE_SELECTOR, 0x00af1b000000ffff, VECTOR_NP},
	{"no descriptor", SPARE_SELECTOR, 0, VECTOR_GP},
	{"beyond the GDT", 0x60, 0, VECTOR_GP},
};

/* The segment of outer rings is allowed in the ring that it belongs to. */
static bool is_bad_here(const struct bad *bad)
{
	return bad->selector != USER_CS || !environment_ring();
}

static void try_bad_selectors(const struct kind *kind, const char *place, unsigned external)
{
	char trace[900];
	struct text text;

	setup.rflags = X86_EFLAGS_IF;
	text_init(&text, trace, sizeof(trace));
	for (unsigned i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *bad = &bads[i];

		if (!is_bad_here(bad))
			continue;
		set_spare(bad->descriptor);
		gate_set_selector(kind->vector, bad->selector);
		text_append(&text, "%s%s(%#x)@%s", i ? "; " : "",
			    bad->vector == VECTOR_NP ? "#NP" : "#GP",
			    (bad->selector & ~3) | external, place);
		run_kind(kind);
	}
	expect("%s", trace);
}

CASE(bad_selector_int3, IN_LONG_MODE | RINGS, RULE_SELECTOR, CATCHES("bochs-eventinj-ext"))
{
	try_bad_selectors(&kind_int3, "insn", 0);
}

CASE(bad_selector_int_n, IN_LONG_MODE | RINGS, RULE_SELECTOR, "")
{
	try_bad_selectors(&kind_int_n, "insn", 0);
}

CASE(bad_selector_ud, IN_LONG_MODE | RINGS, RULE_SELECTOR, CATCHES("tcg-ext-bit"))
{
	try_bad_selectors(&kind_ud, "insn", 1);
}
