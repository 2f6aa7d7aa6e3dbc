/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery that faults: L1 has not mapped something that the CPU touches on its way to L2's handler.
 *
 * The rule (APM 2, "Intercepts During IDT Interrupt Delivery"). The exit's EXITINTINFO holds the event
 * that was being delivered: its type, vector and error code. INT1, INT3 and INTO are exceptions (type
 * 3) there, INT n alone is a software interrupt (4), an interrupt or a virtual one is 0, an NMI 2. RIP
 * is that of the instruction. L1 maps the page and puts EXITINTINFO into EVENTINJ: the event comes
 * exactly once, with the return address that it would have had. A second exception is checked for
 * intercepts *before* it is combined with the first: L1 that intercepts it sees it and not a #DF.
 *
 * The bugs that taught it. All of KVM's re-injection fixes of 2022 (6ef88d6e36c2, 7e5b5ef8dca3,
 * 00f08d99dd7d, 159fc6fa3b7d) are about these exits. QEMU writes type 4 for INT3 and type 3 for
 * interrupts, so that an L1 that trusts it injects something else. KVM before 6.1 combined L2's
 * exceptions to #DF before it looked whether L1 intercepts the second.
 *
 * Each row is an event, executed by L2, pending for it, or injected by L1; each column one thing that
 * L1 takes away at the snippet's VMMCALL. `exit NPF(…)` shows the fault's code (bit 32: the access
 * itself, bit 33: a walk of L2's page tables), the page, and what was being vectored. The same rows
 * with pages that are cold below L1: there L0 has to sort it out, and L1 sees nothing.
 *
 * A buggy hypervisor shows the wrong type or none in the exit, an event twice or not at all, or one
 * with another return address.
 */
#define GUEST_LAYERS(do) \
	do               \
	(svm, "svm")
#include "trapline.h"

#include "x86/svm/svm.h"

#define RULE_VECTORING \
	"APM 2, Intercepts During IDT Interrupt Delivery: EXITINTINFO says what was being delivered; injected again it comes exactly once"
#define RULE_BELOW \
	"APM 2, Event Injection: unconditionally; what the hypervisor below has to map on the way is nobody's concern"
#define RULE_BEFORE_COMBINED \
	"APM 2, Exception Intercepts: a second exception is checked for intercepts before it is combined with the first"
#define RULE_SHUTDOWN "APM 2, Shutdown Intercept: a triple fault is an exit, not the end"

/* -- What can be missing. ------------------------------------------------------------------------------------------- */

enum thing { IDT, GDT, TSS, STACK, HANDLER, PAGE_TABLE };

#define NPF_FINAL (1ul << 32)
#define NPF_WALK (2ul << 32)
#define NPF_READ 0x4
#define NPF_WRITE 0x6
#define NPF_FETCH 0x14

static uint8_t gdt_page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t tss_page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t stack_page[PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t handler_page[PAGE_BYTES] __attribute__((aligned(4096)));

static const struct {
	const char *name;
	uint64_t info1;
} things[] = {
	[IDT] = {"idt", NPF_FINAL | NPF_READ},
	[GDT] = {"gdt", NPF_FINAL | NPF_READ},
	[TSS] = {"tss", NPF_FINAL | NPF_READ},
	[STACK] = {"stack", NPF_FINAL | NPF_WRITE},
	[HANDLER] = {"handler", NPF_FINAL | NPF_FETCH},
	[PAGE_TABLE] = {"table", NPF_WALK | NPF_WRITE},
};

/* Gives the delivery of `vector` a page of its own to stumble over; returns its address. */
static uint64_t prepare(enum thing thing, unsigned vector)
{
	struct percpu *cpu = this_cpu();

	switch (thing) {
	case IDT:
		return (uint64_t)idt;
	case GDT:
		memcpy(gdt_page, cpu->descriptors.gdt, GDT_BYTES);
		load_gdt(gdt_page);
		return (uint64_t)gdt_page;
	case TSS:
		use_ist(vector, stack_top(0, STACK_EVENTS));
		memcpy(tss_page, &cpu->descriptors.tss, sizeof(cpu->descriptors.tss));
		load_tss(&cpu->descriptors, (const struct tss *)tss_page);
		return (uint64_t)tss_page;
	case STACK:
		use_ist(vector, (uint64_t)stack_page + PAGE_BYTES);
		return (uint64_t)stack_page;
	case HANDLER:
		memcpy(handler_page, vector_stubs + vector * VECTOR_STUB_BYTES, VECTOR_STUB_BYTES);
		gate_set_handler(vector, handler_page);
		return (uint64_t)handler_page;
	case PAGE_TABLE:
	default:
		window_map(0, (uint64_t)stack_page | PTE_PAGE);
		use_ist(vector, WINDOW + PAGE_BYTES);
		return (uint64_t)window_table();
	}
}

/* -- What is being delivered. ----------------------------------------------------------------------------------- */

enum how { EXECUTED, PENDING, INJECTED };

#define PENDING_VECTOR 0x31

struct row {
	const struct snippet *snippet;
	enum how how;
	unsigned vector;
	uint32_t what, error;  /* INJECTED: EVENTINJ */
	const char *vectoring; /* as the exit must show it */
	const char *trace;     /* what must be delivered in the end */
	const char *next;      /* mark that a trap returns to, or "" */
};

SNIPPET(int3, "mark call; vmmcall; mark insn; int3; mark after; nop");
SNIPPET(int_3, "mark call; vmmcall; mark insn; .byte 0xcd, 0x03; mark after; nop");
SNIPPET(int_0x80, "mark call; vmmcall; mark insn; int $0x80; mark after; nop");
SNIPPET(into, "mark call; vmmcall; mark insn; .byte 0xce; mark after; nop");
SNIPPET(int1, "mark call; vmmcall; mark insn; .byte 0xf1; mark after; nop");
SNIPPET(ud, "mark call; vmmcall; mark insn; ud2; mark after; nop");
/* A selector beyond the GDT: a fault with an error code of its own. */
SNIPPET(gp, "mov $0x58, %ecx; mark call; vmmcall; mark insn; mov %ecx, %ds; mark after; nop");
SNIPPET(nothing, "mark call; vmmcall; mark insn; nop; mark after; nop");

#define ROW_EXECUTED(name, vector, vectoring, trace, next) \
	static const struct row row_##name = {&name, EXECUTED, vector, 0, 0, vectoring, trace, next}
#define ROW_PENDING(name, vector, vectoring, trace) \
	static const struct row row_##name = {&nothing, PENDING, vector, 0, 0, vectoring, trace, ""}
#define ROW_INJECTED(name, what, error, vectoring, trace, next)                           \
	static const struct row row_inj_##name = {&nothing, INJECTED,  (what)&0xff, what, \
						  error,    vectoring, trace,	    next}

ROW_EXECUTED(int3, 3, "#BP", "#BP@after", "after");
ROW_EXECUTED(int_3, 3, "int 0x3", "int 0x3@after", "after");
ROW_EXECUTED(int_0x80, 0x80, "int 0x80", "int 0x80@after", "after");
ROW_EXECUTED(into, 4, "#OF", "#OF@after", "after");
ROW_EXECUTED(int1, 1, "#DB", "#DB[]@after", "after");
ROW_EXECUTED(ud, 6, "#UD", "#UD@insn", "");
ROW_EXECUTED(gp, 13, "#GP(0x58)", "#GP(0x58)@insn", "");
ROW_PENDING(intr, PENDING_VECTOR, "intr 0x31", "intr 0x31@insn");
ROW_PENDING(nmi, 2, "nmi", "nmi@insn");
ROW_INJECTED(int3, L2_EXCEPTION | 3, 0, "#BP", "#BP@after", "after");
ROW_INJECTED(int_n, L2_SOFT_INT | 0x80, 0, "int 0x80", "extint 0x80@after", "after");
ROW_INJECTED(ud, L2_EXCEPTION | 6, 0, "#UD", "#UD@insn", "");
ROW_INJECTED(gp, L2_EXCEPTION | L2_EVENT_HAS_ERROR | 13, 0x58, "#GP(0x58)", "#GP(0x58)@insn", "");
ROW_INJECTED(ss, L2_EXCEPTION | L2_EVENT_HAS_ERROR | 12, 0x58, "#SS(0x58)", "#SS(0x58)@insn", "");
ROW_INJECTED(intr, L2_INTR | 0x50, 0, "intr 0x50", "extint 0x50@insn", "");
ROW_INJECTED(nmi, L2_NMI | 2, 0, "nmi", "nmi@insn", "");

/* -- L1. -------------------------------------------------------------------------------------------------------------- */

static const struct row *row;
static uint64_t missing; /* page to take away at the call; 0: none */
static unsigned faults;

static void start(struct l2 *v)
{
	if (missing)
		slat_unmap(missing);
	if (row->how == INJECTED) {
		v->vmcb->next_rip = mark_address(row->snippet, row->next[0] ? row->next : "insn");
		l2_inject(v, row->what, row->error, 0);
	} else if (row->vector == PENDING_VECTOR) {
		interrupt_pending(PENDING_VECTOR);
	} else if (row->how == PENDING) {
		nmi_to_self();
	}
}

/* Whatever it was: map the page, and on with what was being delivered. */
static enum l2_action mend(struct l2 *v)
{
	if (v->vmcb->exit_code != SVM_EXIT_NPF || v->vmcb->exit_info2 >> 32)
		return L2_UNEXPECTED;
	if (v->vmcb->exit_info2 - missing < PAGE_BYTES)
		faults++;
	slat_map(v->vmcb->exit_info2);
	if (row == &row_int1 && (v->vmcb->exit_int_info.what & L2_EVENT_VALID))
		v->vmcb->rip = mark_address(row->snippet, "after");
	if (v->vmcb->exit_int_info.what & L2_EVENT_VALID)
		l2_inject_again(v, mark_address(row->snippet, row->next[0] ? row->next : "insn"));
	return L2_RESUME;
}

static void need_next_rip_for(const struct row *r)
{
	need(r->how != INJECTED || !r->next[0] || svm_has_next_rip(),
	     "the CPU does not report NRIPS: APM 2, Event Injection: software interrupts cannot be injected");
}

SNIPPET(warm_up, "nop");

/*
 * The #UD that ends this snippet is the last event before the one under test: a CPU that leaves an old
 * event in EXITINTINFO shows that one, and always the same.
 */
static void deliver_another_event(void)
{
	run(warm_up);
	trace_reset(this_cpu()->trace);
}

static void set_up(const struct row *r)
{
	row = r;
	faults = 0;
	missing = 0;
	need_next_rip_for(r);
	if (r->vector == PENDING_VECTOR)
		apic_enable(0);
	setup.rflags = X86_EFLAGS_OF | (r->vector == PENDING_VECTOR ? X86_EFLAGS_IF : 0);
	setup.leave_after = 4;
	l2_setup.on_call = start;
	l2_setup.on_exit = mend;
}

/* The frame is complete when the handler's own page is missing: that is no fault of the delivery. */
static void expect_exit(const struct row *r, enum thing thing)
{
	const char *name = things[thing].name;
	uint64_t info1 = things[thing].info1;

	if (thing == HANDLER) {
		expect("exit NPF(%#lx,gpa=handler)@handler, %s", info1, r->trace);
	} else if (r == &row_int1) {
		allow("APM 2, #DB (Debug): trap-type, so RIP is that of the next instruction",
		      "exit NPF(%#lx,gpa=%s,vectoring #DB)@after, %s", info1, name, r->trace);
		allow("APM 2, Exception Intercepts: names INT3, INTO and BOUND as those whose exits have their own RIP, and is silent about INT1",
		      "exit NPF(%#lx,gpa=%s,vectoring #DB)@insn, %s", info1, name, r->trace);
	} else {
		expect("exit NPF(%#lx,gpa=%s,vectoring %s)@insn, %s", info1, name, r->vectoring,
		       r->trace);
	}
}

/* L1 has not mapped the thing: it sees the exit, and L2 the event. */
static void try_unmapped(const struct row *r, enum thing thing)
{
	deliver_another_event();
	set_up(r);
	missing = prepare(thing, r->vector) & ~(PAGE_BYTES - 1);
	notation_name(things[thing].name, missing, PAGE_BYTES);
	l2_setup.show_exits = true;
	expect_exit(r, thing);
	run_snippet(r->snippet);
	witness(faults > 0, "L1 saw no nested page fault on the page that it took away");
}

/* L1 has mapped everything, and who is below it nothing: L1 sees no exit at all. */
static void try_below(const struct row *r, enum thing thing)
{
	deliver_another_event();
	set_up(r);
	l2_setup.show_exits = true;
	switch (thing) {
	case IDT:
		cold_idt();
		break;
	case GDT:
		cold_gdt();
		break;
	case TSS:
		cold_tss(r->vector);
		break;
	case STACK:
		cold_ist_stack(r->vector);
		break;
	case HANDLER:
		cold_handler(r->vector);
		break;
	case PAGE_TABLE:
		cold_page_table(r->vector);
		break;
	}
	expect("%s", r->trace);
	run_snippet(r->snippet);
}

#define BUGS CATCHES("tcg-exitintinfo bochs-exitintinfo-stale bochs-eventinj-rip")
#define BUGS_BELOW \
	CATCHES("nsvm-next-rip bochs-eventinj-rip kvm-int3-retry kvm-intn-retry nsvm-nmi-reinject")

#define CELL(name, column, thing, needs, below_needs, environments)                            \
	CASE_NEEDS(needs, name##_##column, environments, RULE_VECTORING, BUGS)                 \
	{                                                                                      \
		try_unmapped(&row_##name, thing);                                              \
	}                                                                                      \
	CASE_NEEDS(below_needs, name##_##column##_below, environments, RULE_BELOW, BUGS_BELOW) \
	{                                                                                      \
		try_below(&row_##name, thing);                                                 \
	}

#define ROW(name, apic, environments)                                  \
	CELL(name, idt, IDT, apic, apic "pam=1", environments)         \
	CELL(name, gdt, GDT, apic, apic "pam=1", environments)         \
	CELL(name, tss, TSS, apic, apic "pam=1", environments)         \
	CELL(name, stack, STACK, apic, apic "", environments)          \
	CELL(name, handler, HANDLER, apic, apic "pam=1", environments) \
	CELL(name, page_table, PAGE_TABLE, apic, apic "pam=1", environments)

ROW(int3, "", ALL_NATIVE)
ROW(int_3, "", ALL_NATIVE)
ROW(int_0x80, "", ALL_NATIVE)
ROW(into, "", COMPAT)
ROW(int1, "", ALL_NATIVE)
ROW(ud, "", ALL_NATIVE)
ROW(gp, "", ALL_NATIVE)
ROW(intr, "apic=1 ", ALL_NATIVE)
ROW(nmi, "apic=1 ", ALL_NATIVE)
ROW(inj_int3, "", ALL_NATIVE)
ROW(inj_int_n, "", ALL_NATIVE)
ROW(inj_ud, "", ALL_NATIVE)
ROW(inj_gp, "", ALL_NATIVE)
ROW(inj_ss, "", ALL_NATIVE)
ROW(inj_intr, "", ALL_NATIVE)
ROW(inj_nmi, "", ALL_NATIVE)

/* -- Re-execution told from re-injection. ------------------------------------------------------------------------- */

CASE(int3_code_breakpoint, ALL_NATIVE,
     "SDM 3B, Instruction-Breakpoint Exception Condition: one #DB before the instruction, also when its delivery is injected again",
     CATCHES("kvm-int3-retry tcg-exitintinfo"))
{
	set_up(&row_int3);
	missing = prepare(STACK, 3);
	breakpoint_set(0, mark_address(&int3, "insn"), BREAK_CODE, 1);
	expect("#DB[B0]@insn, #BP@after");
	run(int3);
	witness(faults > 0, "L1 saw no nested page fault on the stack");
}

/* -- The second exception. ------------------------------------------------------------------------------------------- */

static uint32_t second; /* exceptions to intercept */

static void intercept_second(struct l2 *v)
{
	l2_intercept_exceptions(v, second);
}

static void try_second(const struct row *r, uint32_t intercepted)
{
	set_up(r);
	second = intercepted;
	l2_setup.before = intercept_second;
	run_snippet(r->snippet);
}

#define EXCEPTION(vector) (1u << (vector))
#define NP_UD 0x32 /* #NP while delivering #UD: vector * 8 + IDT */
#define EXT 1
#define EXT_SDM "SDM 3A, Error Code: EXT is set if an earlier exception was being delivered"
#define EXT_APM \
	"APM 2, Selector-Error Code: EXT is set if the source is external to the processor; an exception is internal"

/* The two vendors differ over EXT; KVM's nested_exceptions_test has 0x62 for AMD, 0x63 for Intel. */
#define allow_either_ext(format, error, ...)                        \
	do {                                                        \
		allow(EXT_APM, format, error, ##__VA_ARGS__);       \
		allow(EXT_SDM, format, error | EXT, ##__VA_ARGS__); \
	} while (0)

CASE(np_during_ud, ALL_NATIVE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	gate_set_present(6, false);
	allow_either_ext("exit #NP(%#x)(vectoring #UD)@insn", NP_UD);
	try_second(&row_ud, EXCEPTION(11));
}

/* Both are contributory: without the intercept this is #DF. */
CASE(np_during_gp, ALL_NATIVE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	gate_set_present(13, false);
	allow_either_ext("exit #NP(%#x)(vectoring #GP(0x58))@insn", 0x6a);
	try_second(&row_gp, EXCEPTION(11) | EXCEPTION(8));
}

CASE(np_during_int_n, ALL_NATIVE, RULE_BEFORE_COMBINED,
     CATCHES("kvm-nested-exception tcg-idt-errcode-64"))
{
	gate_set_present(0x80, false);
	expect("exit #NP(0x402)(vectoring int 0x80)@insn");
	try_second(&row_int_0x80, EXCEPTION(11));
}

CASE(df_intercepted, ALL_NATIVE,
     "APM 2, EXITINTINFO Pseudo-Code: the combination is checked for the intercept of #DF before it is delivered",
     CATCHES("kvm-nested-exception tcg-df-intercept"))
{
	gate_set_present(13, false);
	expect("exit #DF(0x0)");
	try_second(&row_gp, EXCEPTION(8));
}

/* Not intercepted: the CPU combines by itself, and L1 sees nothing. */
CASE(df_delivered, ALL_NATIVE, "APM 2, #DF: a second contributory exception makes #DF",
     CATCHES("kvm-nested-exception"))
{
	gate_set_present(13, false);
	setup.leave_after = 1;
	expect("#DF(0x0)@insn");
	try_second(&row_gp, 0);
}

CASE(pf_during_ud, ALL_NATIVE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	use_ist(6, WINDOW + PAGE_BYTES);
	window_map(1, 0);
	notation_name("window", WINDOW, PAGE_BYTES);
	expect("exit #PF(0x2,cr2=window+0xff8)(vectoring #UD)@insn");
	try_second(&row_ud, EXCEPTION(14));
}

/* The kernel's nested_exceptions_test: with an IDT of no length everything ends in shutdown. */
static void take_idt_away(struct l2 *v)
{
	start(v);
	v->vmcb->idtr.limit = 0;
}

static void try_without_idt(const struct row *r, uint32_t intercepted)
{
	set_up(r);
	second = intercepted;
	l2_setup.before = intercept_second;
	l2_setup.on_call = take_idt_away;
	run_snippet(r->snippet);
}

CASE(no_idt_gp, ALL_NATIVE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception"))
{
	allow_either_ext("exit #GP(%#x)(vectoring #SS(0x58))@insn", 0x62);
	try_without_idt(&row_inj_ss, EXCEPTION(13) | EXCEPTION(8));
}

CASE(no_idt_df, ALL_NATIVE, RULE_BEFORE_COMBINED, CATCHES("kvm-nested-exception tcg-df-intercept"))
{
	expect("exit #DF(0x0)");
	try_without_idt(&row_inj_ss, EXCEPTION(8));
}

CASE(no_idt_shutdown, CPL0, RULE_SHUTDOWN, CATCHES("l2-triple-fault"))
{
	expect("exit SHUTDOWN");
	try_without_idt(&row_inj_ss, 0);
}

CASE(no_idt_int3_shutdown, CPL0, RULE_SHUTDOWN, CATCHES("l2-triple-fault"))
{
	expect("exit SHUTDOWN");
	try_without_idt(&row_int3, 0);
}
