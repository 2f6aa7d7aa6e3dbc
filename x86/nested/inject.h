/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * L1 injects an event into its own L2: what SVM and VMX alike can inject, and how it must arrive
 * (svm_inject.c, vmx_inject.c). L1 acts at the snippet's call; L2's RIP is then `target`. Where nothing at
 * `target` fits the event ("no backing instruction"), vectors of 32 and above print as `extint`.
 *
 * The file that includes this has defined
 *	CALL			the instruction that calls L1
 *	RULE_..., BUGS_...	as they are used below
 */
#ifndef X86_INJECT_H
#define X86_INJECT_H

SNIPPET(call, "mark call; " CALL "; mark target; nop; mark after; nop; mark far_after; nop");
SNIPPET(call_int3, "mark call; " CALL "; mark target; int3; mark after; nop");
SNIPPET(call_int_0x81, "mark call; " CALL "; mark target; int $0x81; mark after; nop");
SNIPPET(call_into, "mark call; " CALL "; mark target; .byte 0xce; mark after; nop");
SNIPPET(call_ud2, "mark call; " CALL "; mark target; ud2; mark after; nop");

/* What L1 does at the snippet's call. */
static struct {
	uint32_t what, error;
	uint64_t next, rflags, cr2; /* `next`: as l2_inject() has it */
} now;

/* L2's RFLAGS at the call, and those of them that the frames show. */
static void begin(uint64_t rflags, uint64_t shown)
{
	memset(&now, 0, sizeof(now));
	setup.rflags = rflags;
	setup.shown_flags = shown;
}

static void inject(struct l2 *v)
{
	l2_set(v, L2_RFLAGS, l2_get(v, L2_RFLAGS) | now.rflags);
	if (now.cr2)
		l2_set(v, L2_CR2, now.cr2);
	l2_inject(v, now.what, now.error, now.next);
}

static void try_inject(const struct snippet *snippet, uint32_t what, uint32_t error)
{
	now.what = what;
	now.error = error;
	l2_setup.on_call = inject;
	run_snippet(snippet);
}

/* These vectors as one type of event, a run each. */
static void try_each(uint32_t type, const uint8_t *vectors, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		try_inject(&call, type | vectors[i], 0);
}
#define TRY_EACH(type, vectors) try_each(type, vectors, sizeof(vectors) / sizeof((vectors)[0]))

/* From `first` up to 255; those that go alike are one line of the trace. */
static void try_from(uint32_t type, unsigned first)
{
	for_each_vector(vector, first, 255) {
		subject_begin(vector);
		try_inject(&call, type | vector, 0);
		subject_end();
	}
}

/* A trap, after `leave_after` events of which L2 does not go on. */
static void begin_soft(uint64_t rflags, unsigned leave_after)
{
	begin(rflags, 0);
	setup.leave_after = leave_after;
	need_soft_injection();
}

/* Injection that returns to a mark of a trap. */
static void try_soft(const struct snippet *snippet, uint32_t what, const char *next)
{
	now.next = mark_address(snippet, next);
	try_inject(snippet, what, 0);
}

/* Every exception below 32 as the recorder names it, at one place: none pushes an error code. */
#define LOW_VECTORS(place)                                                                  \
	"#DE" place "; #DB[]" place "; nmi" place "; #BP" place "; #OF" place "; #BR" place \
	"; #UD" place "; #NM" place "; #DF" place "; #9" place "; #TS" place "; #NP" place  \
	"; #SS" place "; #GP" place "; #PF(no error code,cr2=0x0)" place "; #15" place      \
	"; #MF" place "; #AC" place "; #MC" place "; #XM" place "; #VE" place "; #CP" place \
	"; #22" place "; #23" place "; #24" place "; #25" place "; #26" place "; #27" place \
	"; #HV" place "; #VC" place "; #SX" place "; #31" place

static void try_low(uint32_t type)
{
	write_cr2(0);
	for (unsigned vector = 0; vector < 32; vector++)
		try_inject(&call, type | vector, 0);
}

/* -- Interrupts and NMIs. ---------------------------------------------------------------------- */

CASE(interrupt, IN_LONG_MODE, RULE_INJECT, BUGS_ANY)
{
	begin(X86_EFLAGS_IF, X86_EFLAGS_IF);
	expect("[0x20-0xff] extint v@target{IF}");
	try_from(L2_INTR, 32);
}

/* The recorder names vectors below 32 as exceptions; none has an error code. Vector 2 is no NMI. */
CASE(interrupt_low, IN_LONG_MODE, RULE_NO_ERROR, "")
{
	begin(X86_EFLAGS_IF, 0);
	setup.leave_after = 1;
	expect(LOW_VECTORS("@target"));
	try_low(L2_INTR);
}

CASE(nmi, IN_LONG_MODE, RULE_INJECT, BUGS_ANY)
{
	begin(X86_EFLAGS_IF, X86_EFLAGS_IF);
	expect("nmi@target{IF}");
	try_inject(&call, L2_NMI | VECTOR_NMI, 0);
}

/* -- Exceptions. ------------------------------------------------------------------------------- */

CASE(exception, IN_LONG_MODE, RULE_INJECT, BUGS_ANY)
{
	static const uint8_t vectors[] = {0, 1, 6, 7, 16, 18, 19};

	begin(X86_EFLAGS_IF, X86_EFLAGS_IF);
	expect("#DE@target{IF}; #DB[]@target{IF}; #UD@target{IF}; #NM@target{IF}; #MF@target{IF}; "
	       "#MC@target{IF}; #XM@target{IF}");
	TRY_EACH(L2_EXCEPTION, vectors);
}

CASE(exception_with_error_code, IN_LONG_MODE, RULE_EV, "")
{
	static const uint8_t vectors[] = {8, 10, 11, 12, 13, 17};

	begin(0, 0);
	expect("#DF(0x0)@target; #TS(0x1234)@target; #NP(0x1234)@target; #SS(0x1234)@target; "
	       "#GP(0x1234)@target; #AC(0x0)@target");
	for (unsigned i = 0; i < sizeof(vectors); i++)
		try_inject(&call, L2_EXCEPTION | L2_EVENT_HAS_ERROR | vectors[i],
			   vectors[i] == 8 || vectors[i] == 17 ? 0 : 0x1234);
}

CASE(page_fault, IN_LONG_MODE, RULE_CR2, BUGS_CR2)
{
	begin(0, 0);
	now.cr2 = 0x123456789000;
	expect("#PF(0x6,cr2=0x123456789000)@target");
	try_inject(&call, L2_EXCEPTION | L2_EVENT_HAS_ERROR | VECTOR_PF, 6);
}

CASE(bound_compat, COMPAT, RULE_INJECT, BUGS_ANY)
{
	begin(0, 0);
	expect("#BR@target");
	try_inject(&call, L2_EXCEPTION | VECTOR_BR, 0);
}

CASE(debug_exception, IN_LONG_MODE, RULE_DB, BUGS_DB)
{
	begin(X86_EFLAGS_TF, X86_EFLAGS_TF);
	expect("#DB[]@target{TF}, #DB[BS]@after{TF}, #DB[BS]@far_after{TF}, #DB[BS]@end{TF}");
	try_inject(&call, L2_EXCEPTION | VECTOR_DB, 0);
}

/* -- Software interrupts and the traps of INT3 and INTO. --------------------------------------- */

CASE(int_n, IN_LONG_MODE, RULE_SOFT, BUGS_SOFT)
{
	begin_soft(X86_EFLAGS_IF, 1);
	setup.shown_flags = X86_EFLAGS_IF;
	now.next = mark_address(&call, "after");
	expect("[0x20-0xff] extint v@after{IF}");
	try_from(L2_SOFT_INT, 32);
}

CASE(int_n_low, IN_LONG_MODE, RULE_NO_ERROR, BUGS_INT_N_LOW)
{
	begin_soft(0, 1);
	now.next = mark_address(&call, "after");
	expect(LOW_VECTORS("@after"));
	try_low(L2_SOFT_INT);
}

/*
 * An INT n at `target`, as if L2 had executed it, but of another vector: whoever executes it once more, or
 * takes the vector from it, shows `int 0x81`.
 */
CASE(int_n_backed, IN_LONG_MODE, RULE_SOFT, BUGS_SOFT)
{
	begin_soft(0, 2);
	expect("extint 0x80@after");
	try_soft(&call_int_0x81, L2_SOFT_INT | 0x80, "after");
}

CASE(int3, IN_LONG_MODE, RULE_SOFT, BUGS_SOFT)
{
	begin_soft(0, 2);
	expect("#BP@after; #BP@after; #BP@far_after");
	try_soft(&call, L2_EXCEPTION | VECTOR_BP, "after");
	try_soft(&call_int3, L2_EXCEPTION | VECTOR_BP, "after");
	try_soft(&call, L2_EXCEPTION | VECTOR_BP, "far_after");
}

CASE(into, COMPAT, RULE_SOFT, BUGS_SOFT)
{
	begin_soft(X86_EFLAGS_OF, 2);
	expect("#OF@after; #OF@after");
	try_soft(&call, L2_EXCEPTION | VECTOR_OF, "after");
	try_soft(&call_into, L2_EXCEPTION | VECTOR_OF, "after");
}

/* As in the kernel's svm_nested_soft_inject_test: a wrong return address runs into UD2. */
CASE(soft_inject_bp_over_ud2, IN_LONG_MODE, RULE_SOFT, BUGS_SOFT)
{
	begin_soft(0, 2);
	expect("#BP@after");
	try_soft(&call_ud2, L2_EXCEPTION | VECTOR_BP, "after");
}

/* ... and its delivery faults below L1: the second IDT was never touched. */
CASE_NEEDS("pam=1", soft_inject_bp_cold_idt, IN_LONG_MODE, RULE_SOFT, BUGS_SOFT_COLD)
{
	begin_soft(0, 2);
	cold_idt();
	expect("#BP@after");
	try_soft(&call_ud2, L2_EXCEPTION | VECTOR_BP, "after");
}

/* -- The gate refuses. ------------------------------------------------------------------------- */

static void refuse(unsigned vector)
{
	begin(0, 0);
	gate_set_dpl(vector, 0);
}

CASE(int_n_gate_dpl0, CPL3 | COMPAT, RULE_DPL_SOFT, BUGS_INT_N_DPL)
{
	refuse(0x80);
	expect("#GP(0x402)@target");
	try_soft(&call, L2_SOFT_INT | 0x80, "after");
}

CASE(int3_gate_dpl0, CPL3 | COMPAT, RULE_DPL_SOFT, BUGS_INT3_DPL)
{
	refuse(3);
	expect("#GP(0x1a)@target");
	try_soft(&call, L2_EXCEPTION | VECTOR_BP, "after");
}

CASE(exception_gate_dpl0, CPL3 | COMPAT, RULE_NO_DPL, "")
{
	refuse(6);
	expect("#UD@target");
	try_inject(&call, L2_EXCEPTION | VECTOR_UD, 0);
}

CASE(interrupt_gate_dpl0, CPL3 | COMPAT, RULE_NO_DPL, "")
{
	refuse(0x50);
	setup.rflags = X86_EFLAGS_IF;
	expect("extint 0x50@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

/* -- Flags and breakpoints. -------------------------------------------------------------------- */

CASE(rf_is_saved, IN_LONG_MODE, RULE_RF, "")
{
	begin(X86_EFLAGS_IF, X86_EFLAGS_RF);
	now.rflags = X86_EFLAGS_RF;
	expect("extint 0x50@target{RF}");
	try_inject(&call, L2_INTR | 0x50, 0);
}

CASE(rf_stays_clear, IN_LONG_MODE, RULE_RF, BUGS_RF)
{
	begin(X86_EFLAGS_IF, X86_EFLAGS_RF);
	expect("extint 0x50@target; nmi@target");
	try_inject(&call, L2_INTR | 0x50, 0);
	try_inject(&call, L2_NMI | VECTOR_NMI, 0);
}

CASE(then_breakpoint, IN_LONG_MODE, RULE_FIRST, BUGS_RF)
{
	begin(X86_EFLAGS_IF, 0);
	breakpoint_set(0, mark_address(&call, "target"), BREAK_CODE, 1);
	expect("extint 0x50@target, #DB[B0]@target");
	try_inject(&call, L2_INTR | 0x50, 0);
}

#endif
