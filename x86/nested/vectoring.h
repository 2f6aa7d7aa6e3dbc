/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery that faults, by SVM and VMX alike (svm_vectoring.c, vmx_vectoring.c): the rows, the columns and
 * L1. Each row is an event, executed by L2, pending for it, or injected by L1; each column one thing that
 * L1 takes away at the snippet's call (missing_page.h): in the nested tables or, in the layer without them, in L2's own,
 * and then the exit is a #PF. The same rows with pages that are cold below L1: there L0 has to sort it out, and
 * L1 sees nothing.
 *
 * The file that includes this has defined what missing_page.h needs, and
 *	CALL			the instruction that calls L1
 *	SOFT, PRIV		what stands before INT3 and INTO, and before INT1, in what was being vectored
 *	RULE_VECTORING, RULE_BELOW, BUGS, BUGS_BELOW
 *	missed()		whether the exit is such a miss, and of which page
 *	SEND_NMI, send_nmi()	instructions of L2, or L1 by itself, that make an NMI pending in L2
 *	expect_int1()		what an INT1 shows whose delivery missed
 * and defines note_exit() afterwards, which looks at each miss before L1 mends it; `next` is where a trap
 * returns to, or 0.
 */
#ifndef X86_VECTORING_H
#define X86_VECTORING_H

#include "missing_page.h"

/* -- What is being delivered. ------------------------------------------------------------------ */

enum how { EXECUTED, PENDING, INJECTED };

#define PENDING_VECTOR 0x31
#define APIC_ICR_ADDRESS 0xfee00300ul

struct row {
	const struct snippet *snippet;
	enum how how;
	unsigned vector;
	uint32_t what, error;  /* INJECTED: as l2_inject() has it */
	const char *vectoring; /* as the exit must show it */
	const char *trace;     /* what must be delivered in the end */
	const char *next;      /* mark that a trap returns to, or "" */
};

SNIPPET(int3, "mark call; " CALL "; mark insn; int3; mark after; nop");
SNIPPET(int_3, "mark call; " CALL "; mark insn; .byte 0xcd, 0x03; mark after; nop");
SNIPPET(int_0x80, "mark call; " CALL "; mark insn; int $0x80; mark after; nop");
SNIPPET(into, "mark call; " CALL "; mark insn; .byte 0xce; mark after; nop");
SNIPPET(int1, "mark call; " CALL "; mark insn; .byte 0xf1; mark after; nop");
SNIPPET(ud, "mark call; " CALL "; mark insn; ud2; mark after; nop");
/* A selector beyond the GDT: a fault with an error code of its own. */
SNIPPET(gp, "mov $0x58, %ecx; mark call; " CALL "; mark insn; mov %ecx, %ds; mark after; nop");
SNIPPET(nothing, "mark call; " CALL "; mark insn; nop; mark after; nop");
SNIPPET(nmi_comes, "mark call; " CALL "; " SEND_NMI "area insn; nop; nop; nop; nop; nop; nop; mark after; nop");

#define ROW_EXECUTED(name, vector, vectoring, trace, next) \
	static const struct row row_##name = {&name, EXECUTED, vector, 0, 0, vectoring, trace, next}
#define ROW_PENDING(name, snippet, vector, vectoring, trace) \
	static const struct row row_##name = {&snippet, PENDING, vector, 0, 0, vectoring, trace, ""}
#define ROW_INJECTED(name, what, error, vectoring, trace, next)                           \
	static const struct row row_inj_##name = {&nothing, INJECTED,  (what)&0xff, what, \
						  error,    vectoring, trace,	    next}

ROW_EXECUTED(int3, VECTOR_BP, SOFT "#BP", "#BP@after", "after");
ROW_EXECUTED(int_3, VECTOR_BP, "int 0x3", "int 0x3@after", "after");
ROW_EXECUTED(int_0x80, 0x80, "int 0x80", "int 0x80@after", "after");
ROW_EXECUTED(into, VECTOR_OF, SOFT "#OF", "#OF@after", "after");
ROW_EXECUTED(int1, VECTOR_DB, PRIV "#DB", "#DB[]@after", "after");
ROW_EXECUTED(ud, VECTOR_UD, "#UD", "#UD@insn", "");
ROW_EXECUTED(gp, VECTOR_GP, "#GP(0x58)", "#GP(0x58)@insn", "");
ROW_PENDING(intr, nothing, PENDING_VECTOR, "intr 0x31", "intr 0x31@insn");
ROW_PENDING(nmi, nmi_comes, VECTOR_NMI, "nmi", "nmi@insn");
ROW_INJECTED(int3, L2_EXCEPTION | VECTOR_BP, 0, SOFT "#BP", "#BP@after", "after");
ROW_INJECTED(int_n, L2_SOFT_INT | 0x80, 0, "int 0x80", "extint 0x80@after", "after");
ROW_INJECTED(into, L2_EXCEPTION | VECTOR_OF, 0, SOFT "#OF", "#OF@after", "after");
ROW_INJECTED(ud, L2_EXCEPTION | VECTOR_UD, 0, "#UD", "#UD@insn", "");
ROW_INJECTED(gp, L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_GP, 0x58, "#GP(0x58)", "#GP(0x58)@insn",
	     "");
ROW_INJECTED(ss, L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_SS, 0x58, "#SS(0x58)", "#SS(0x58)@insn",
	     "");
ROW_INJECTED(intr, L2_INTR | 0x50, 0, "intr 0x50", "extint 0x50@insn", "");
ROW_INJECTED(nmi, L2_NMI | VECTOR_NMI, 0, "nmi", "nmi@insn", "");

/* -- L1. --------------------------------------------------------------------------------------- */

static void note_exit(struct l2 *v, const struct row *r, uint64_t next);

static const struct row *row;
static uint64_t missing; /* page to take away at the call; 0: none */
static unsigned faults;

static const char *trap_returns_to(const struct row *r)
{
	return r->next[0] ? r->next : NULL;
}

static uint64_t next_of(const struct row *r)
{
	return trap_returns_to(r) ? mark_address(r->snippet, r->next) : 0;
}

/* Without nested paging L1 takes the page from L2's own tables, and it is a #PF that L1 intercepts. */
static uint64_t *entry_of_missing(void)
{
	return missing == WINDOW ? window_pde() : paging_pte(missing);
}

static void take_from_l2(void)
{
	*entry_of_missing() &= ~PTE_PRESENT;
	invlpg(missing);
}

static void give_to_l2(void)
{
	*entry_of_missing() |= PTE_PRESENT;
	invlpg(missing);
}

static bool missed_in_l2(const struct l2 *v, uint64_t *page)
{
	if (l2_exception(v) != VECTOR_PF || layer == &SLAT_LAYER)
		return false;
	*page = l2_get(v, L2_FAULT_ADDRESS);
	return *page - missing < PAGE_BYTES;
}

static void intercept_page_faults(struct l2 *v)
{
	l2_intercept_exceptions(v, EXCEPTION(VECTOR_PF));
}

static void start(struct l2 *v)
{
	if (missing && layer == &SLAT_LAYER)
		slat_unmap(missing);
	else if (missing)
		take_from_l2();
	if (row->how == INJECTED)
		l2_inject(v, row->what, row->error, next_of(row));
	else if (row->vector == PENDING_VECTOR)
		interrupt_pending(PENDING_VECTOR);
	else if (row->how == PENDING)
		send_nmi();
}

/* Whatever it was: map the page, and on with what was being delivered. */
static enum l2_action mend(struct l2 *v)
{
	uint64_t page;

	if (missed(v, &page))
		slat_map(page);
	else if (missed_in_l2(v, &page))
		give_to_l2();
	else
		return L2_UNEXPECTED;
	if (page - missing < PAGE_BYTES)
		faults++;
	note_exit(v, row, next_of(row));
	l2_inject_again(v, next_of(row));
	return L2_RESUME;
}

SNIPPET(warm_up, "lodsb; xchg %esi, %edi; lodsb; nop");

/*
 * The #UD that ends this snippet is the last event before the one under test: a CPU that leaves an old
 * event in EXITINTINFO shows that one, and always the same. The snippet reads `page` and the stack of a delivery that
 * was prepared, so that whoever is below L1 has mapped these, and only L1's own miss is left.
 */
static void deliver_another_event(uint64_t page)
{
	const struct tss *tss = &this_cpu()->descriptors.tss;

	setup.regs.rsi = page;
	setup.regs.rdi = tss->ist[1] ? tss->ist[1] - 8 : page;
	run(warm_up);
	trace_reset(this_recording()->trace);
}

/* VMX injects an interrupt only where IF is set. */
static bool is_interrupt(const struct row *r)
{
	return r->vector == PENDING_VECTOR ||
	       (r->how == INJECTED && (r->what & L2_EVENT_TYPE) == L2_INTR);
}

static void set_up(const struct row *r)
{
	row = r;
	faults = 0;
	missing = 0;
	if (r->how == INJECTED && trap_returns_to(r))
		need_soft_injection();
	if (r->vector == PENDING_VECTOR)
		apic_enable(0);
	setup.rflags = X86_EFLAGS_OF | (is_interrupt(r) ? X86_EFLAGS_IF : 0);
	setup.leave_after = 4;
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	l2_setup.on_call = start;
	l2_setup.on_exit = mend;
}

/* The frame is complete when the handler's own page is missing: that is no fault of the delivery. */
static void expect_exit(const struct row *r, enum thing thing)
{
	char exit[80];
	struct text text;

	text_init(&text, exit, sizeof(exit));
	describe_miss(&text, r->vector, thing);
	if (thing == HANDLER)
		expect("exit %s@handler, %s", exit, r->trace);
	else if (r == &row_int1)
		expect_int1(exit, r->trace);
	else
		expect("exit %svectoring %s)@insn, %s", exit, r->vectoring, r->trace);
}

/* L1 has not mapped the thing: it sees the exit, and L2 the event. Below L1 the stack is warm. */
static void try_unmapped(const struct row *r, enum thing thing)
{
	uint64_t page = prepare(thing, r->vector) & ~(PAGE_BYTES - 1);

	deliver_another_event(page);
	set_up(r);
	missing = page;
	if (layer != &SLAT_LAYER) {
		missing = thing == PAGE_TABLE ? WINDOW : missing;
		l2_setup.before = intercept_page_faults;
	}
	notation_name(things[thing].name, missing, PAGE_BYTES);
	l2_setup.show_exits = true;
	expect_exit(r, thing);
	run_snippet(r->snippet);
	witness(faults > 0, "L1 saw no miss on the page that it took away");
	if (layer != &SLAT_LAYER)
		give_to_l2();
}

/* L1 has mapped everything, and who is below it nothing: L1 sees no exit at all. */
static void try_below(const struct row *r, enum thing thing)
{
	deliver_another_event((uint64_t)r); /* nothing that the delivery needs is read */
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

ROW(int3, "", IN_LONG_MODE)
ROW(int_3, "", IN_LONG_MODE)
ROW(int_0x80, "", IN_LONG_MODE)
ROW(into, "", COMPAT)
ROW(int1, "", IN_LONG_MODE)
ROW(ud, "", IN_LONG_MODE)
ROW(gp, "", IN_LONG_MODE)
ROW(intr, "apic=1 ", IN_LONG_MODE)
ROW(nmi, "apic=1 ", IN_LONG_MODE)
ROW(inj_int3, "", IN_LONG_MODE)
ROW(inj_int_n, "", IN_LONG_MODE)
ROW(inj_into, "", COMPAT)
ROW(inj_ud, "", IN_LONG_MODE)
ROW(inj_gp, "", IN_LONG_MODE)
ROW(inj_ss, "", IN_LONG_MODE)
ROW(inj_intr, "", IN_LONG_MODE)
ROW(inj_nmi, "", IN_LONG_MODE)

/* -- Re-execution told from re-injection. ------------------------------------------------------ */

CASE(int3_code_breakpoint, IN_LONG_MODE,
     "SDM 3B, Instruction-Breakpoint Exception Condition: one #DB before the instruction, also when its delivery is injected again",
     CATCHES("kvm-int3-retry tcg-exitintinfo"))
{
	uint64_t page = prepare(STACK, 3);

	deliver_another_event(page);
	set_up(&row_int3);
	l2_setup.before = intercept_page_faults;
	missing = page;
	breakpoint_set(0, mark_address(&int3, "insn"), BREAK_CODE, 1);
	expect("#DB[B0]@insn, #BP@after");
	run(int3);
	witness(faults > 0, "L1 saw no miss on the stack");
}

#endif
