/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VM entries that are refused, many in one run: what vmx_refused.c and vmx_refused_state.c have in common.
 *
 * A case makes something wrong in the VMCS, tries to enter L2, looks at how that was refused, mends it, and goes on
 * with the next thing, all in one run of L2. An event is set up to be injected all the time, and an interrupt waits
 * in the APIC. In the end nothing is wrong any more: the event is delivered, once, and the interrupt comes, once; and
 * no field of the VMCS is another than before the first attempt, but for those that say why. So the right trace is
 *
 *	extint 0x50@after, L1 intr 0x91; steps=0x2c
 *
 * with the number of attempts in the end, and before it what went wrong, by the name of its row:
 *
 *	cr4_pae=0x0		L2 was entered
 *	cr4_pae=0x7		VMfail with error 7
 *	cr4_pae=0x80000021	an exit with that reason
 *	cr4_reserved=0x8000	a row of many bits: those that were not refused as they must be
 *	changed=0x440c		the number of a field that is not what it was
 *
 * The notes have it in words. Where L2 is entered it does not get anywhere: it has no IDT for the event, and the #GP
 * or #DF of that is L1's.
 */
#ifndef X86_REFUSED_H
#define X86_REFUSED_H

#define PENDING_VECTOR 0x91
#define INJECTED (L2_EVENT_VALID | L2_SOFT_INT | 0x50)

SNIPPET(refused_call, "mark call; vmcall; mark target; nop; mark after; nop; mark again; vmcall; mark last; nop");

/* How an entry must be refused. */
struct refusal {
	uint32_t how; /* error of a VMfail, or exit reason with VMX_ENTRY_FAILURE */
	uint64_t qualification;
};

#define VMFAIL(error) ((struct refusal){.how = (error)})
#define EXIT(reason) ((struct refusal){.how = VMX_ENTRY_FAILURE | (reason)})
#define EXIT_QUALIFIED(reason, value) \
	((struct refusal){.how = VMX_ENTRY_FAILURE | (reason), .qualification = (value)})

struct attempts {
	struct refusal must;
	/* Once, before the first: makes what is right for all attempts. May be NULL. */
	void (*base)(struct l2 *v);
	/*
	 * Makes something wrong by attempt_change(), and names it by attempt_of(). False: there are no more.
	 * `must` is as above, and may be changed for this one.
	 */
	bool (*next)(struct l2 *v);
};

static struct {
	const struct attempts *of;
	struct refusal must;
	const char *name;
	uint32_t mark;	     /* what the trace shows for it; 0: how it was refused */
	bool is_wrong;	     /* an attempt goes on */
	bool entered;	     /* one was not refused */
	bool vmfails, exits; /* there was one, right or wrong */
	unsigned steps;
} attempt;

/* -- What is changed and put back. ------------------------------------------------------------- */

#define MAX_UNDO 24

struct undo {
	enum vmcs_field field;
	uint64_t value;
};

static struct undo of_attempt[MAX_UNDO], of_base[MAX_UNDO];
static unsigned of_attempt_used, of_base_used;

static void change(struct undo *undo, unsigned *used, enum vmcs_field field, uint64_t value)
{
	undo[*used] = (struct undo){field, vmread(field)};
	(*used)++;
	vmwrite(field, value);
}

static void put_back(const struct undo *undo, unsigned *used)
{
	while (*used) {
		--*used;
		vmwrite(undo[*used].field, undo[*used].value);
	}
}

/* For attempts.next, and for attempts.base. */
static void attempt_change(enum vmcs_field field, uint64_t value)
{
	change(of_attempt, &of_attempt_used, field, value);
}

static void base_change(enum vmcs_field field, uint64_t value)
{
	change(of_base, &of_base_used, field, value);
}

static void attempt_of(const char *name, uint32_t mark)
{
	attempt.name = name;
	attempt.mark = mark;
}

/* -- Before and behind all attempts. ----------------------------------------------------------- */

#define MAX_FIELDS 256
static uint64_t kept[MAX_FIELDS];

static void keep_fields(void)
{
	unsigned count;
	const uint16_t *fields = vmcs_fields(&count);

	for (unsigned i = 0; i < count; i++)
		kept[i] = vmread(fields[i]);
}

/* L2 was entered: it begins again as it was. */
static void put_back_guest(void)
{
	unsigned count;
	const uint16_t *fields = vmcs_fields(&count);

	for (unsigned i = 0; i < count; i++)
		if (vmcs_type(fields[i]) == VMCS_GUEST)
			vmwrite(fields[i], kept[i]);
	vmwrite(VMCS_ENTRY_EVENT, INJECTED);
}

/*
 * SDM 3C, "VM-Entry Failures During or After Loading Guest State": of the exit's information the reason and the
 * qualification alone are written. VMfail writes neither.
 */
static bool is_written(enum vmcs_field field)
{
	if (field == VMCS_HOST_RSP) /* by L1 */
		return true;
	if (vmcs_type(field) != VMCS_READ_ONLY)
		return false;
	if (attempt.entered)
		return true;
	if (field == VMCS_INSTRUCTION_ERROR)
		return attempt.vmfails;
	return attempt.exits && (field == VMCS_EXIT_REASON || field == VMCS_QUALIFICATION);
}

#define MAX_CHANGED 8
static uint16_t changed[MAX_CHANGED];
static unsigned changed_used;

static void compare_fields(void)
{
	unsigned count;
	const uint16_t *fields = vmcs_fields(&count);

	for (unsigned i = 0; i < count; i++) {
		uint64_t now = vmread(fields[i]);

		if (now == kept[i] || is_written(fields[i]))
			continue;
		check(false, "field %#x of the VMCS is %#lx, was %#lx", fields[i], now, kept[i]);
		if (changed_used < MAX_CHANGED)
			changed[changed_used++] = fields[i];
	}
}

/* -- The run. ---------------------------------------------------------------------------------- */

#define MAX_WRONG 16

/* By row, with the first of its attempts that went wrong. */
static struct wrong {
	const char *name;
	uint32_t value;
	struct refusal must, is;
	unsigned times;
} wrong[MAX_WRONG];
static unsigned wrong_used;

static void keep_wrong(uint32_t how, uint64_t qualification)
{
	struct wrong *w = wrong;

	while (w < wrong + wrong_used && strcmp(w->name, attempt.name) != 0)
		w++;
	if (w == wrong + MAX_WRONG)
		return;
	if (w == wrong + wrong_used) {
		wrong_used++;
		*w = (struct wrong){.name = attempt.name,
				    .must = attempt.must,
				    .is = {how, qualification}};
	}
	w->value |= attempt.mark ? attempt.mark : how;
	w->times++;
}

static void show_wrong(void)
{
	for (const struct wrong *w = wrong; w < wrong + wrong_used; w++) {
		observe(w->name, w->value);
		check(false, "%s: must be %#x (qualification %#lx), is %#x (%#lx), in %u attempts",
		      w->name, w->must.how, w->must.qualification, w->is.how, w->is.qualification,
		      w->times);
	}
	for (unsigned i = 0; i < changed_used; i++)
		observe("changed", changed[i]);
}

static void next_attempt(struct l2 *v)
{
	attempt.must = attempt.of->must;
	attempt.is_wrong = attempt.of->next(v);
	if (attempt.is_wrong) {
		attempt.steps++;
		return;
	}
	compare_fields();
	put_back(of_base, &of_base_used);
}

static void judge_attempt(uint32_t how, uint64_t qualification)
{
	if (how != attempt.must.how || qualification != attempt.must.qualification)
		keep_wrong(how, qualification);
}

/* SDM 3C, "Conventions": VMfailValid sets ZF and clears the other five. */
static void judge_flags(void)
{
	const uint64_t six = 0x8d5; /* OF, SF, ZF, AF, PF, CF */

	check((vmx_flags_of_failure & six) == 1 << 6, "%s: VMfail leaves flags %#lx", attempt.name,
	      vmx_flags_of_failure);
}

static void entered(struct l2 *v)
{
	attempt.entered = true;
	judge_attempt(0, 0);
	put_back(of_attempt, &of_attempt_used);
	put_back_guest();
	next_attempt(v);
}

static void first_attempt(struct l2 *v)
{
	interrupt_pending(PENDING_VECTOR);
	l2_inject(v, INJECTED, 0, mark_address(&refused_call, "after"));
	base_change(VMCS_EXCEPTION_BITMAP, ~0u);
	base_change(VMCS_GUEST_IDTR_LIMIT, 0);
	if (attempt.of->base)
		attempt.of->base(v);
	keep_fields();
	next_attempt(v);
}

static void call_while_refused(struct l2 *v)
{
	if (v->exits == 1)
		first_attempt(v);
	else if (attempt.is_wrong)
		entered(v);
	else
		l2_window(true);
}

static enum l2_action look_at_refusal(struct l2 *v)
{
	uint32_t reason = vmx_reason(v);

	if (!attempt.is_wrong)
		return L2_UNEXPECTED;
	if (!(reason & VMX_ENTRY_FAILURE)) {
		entered(v);
		return L2_RESUME;
	}
	if (vmx_entry_error(v)) {
		attempt.vmfails = true;
		judge_attempt(vmx_entry_error(v), 0);
		judge_flags();
	} else {
		attempt.exits = true;
		judge_attempt(reason, vmread(VMCS_QUALIFICATION));
	}
	put_back(of_attempt, &of_attempt_used);
	next_attempt(v);
	return L2_RESUME;
}

SNIPPET(refused_warm_up, "nop");

static void try_attempts(const struct attempts *attempts)
{
	memset(&attempt, 0, sizeof(attempt));
	attempt.of = attempts;
	wrong_used = changed_used = of_attempt_used = of_base_used = 0;
	apic_enable(0);
	run(refused_warm_up);
	trace_reset(this_recording()->trace);
	l2_setup.keep_injection = true;
	l2_setup.on_call = call_while_refused;
	l2_setup.on_exit = look_at_refusal;
	run(refused_call);
	show_wrong();
	observe("steps", attempt.steps);
	witness(attempt.steps, "nothing of this can be made wrong on this CPU");
	expect("extint 0x50@after, L1 intr 0x91; steps=%#x", attempt.steps);
}

/* -- Attempts that a table has. ---------------------------------------------------------------- */

/*
 * One thing that is wrong: bits of up to three fields; and, where `each` has bits, one of these of the last field that
 * is inverted, in an attempt for each bit. A row is left out where the CPU does not have the controls that it sets.
 */
#define MAX_CHANGES 4

struct row {
	const char *name;
	struct row_change {
		uint16_t field;
		uint64_t set, clear;
	} changes[MAX_CHANGES];
	uint64_t each;
	uint64_t qualification; /* in place of the case's, if it is not 0 */
};

static const struct row *row, *last_row;
static unsigned row_bit;

static bool is_controls(enum vmcs_field field)
{
	return field == VMCS_PIN_CONTROLS || field == VMCS_CPU_CONTROLS ||
	       field == VMCS_SECONDARY_CONTROLS || field == VMCS_EXIT_CONTROLS ||
	       field == VMCS_ENTRY_CONTROLS;
}

/* The field with number 0 is the VPID, and is always changed. */
static bool is_change(const struct row_change *c)
{
	return c->field || c->set || c->clear;
}

static bool row_applies(const struct row *r)
{
	for (const struct row_change *c = r->changes; c < r->changes + MAX_CHANGES; c++) {
		uint64_t limits;

		if (!is_change(c) || !is_controls(c->field))
			continue;
		limits = vmx_limits(c->field);
		if ((limits >> 32 & c->set) != c->set || limits & c->clear)
			return false;
	}
	return true;
}

static bool is_access_rights(enum vmcs_field field)
{
	return field >= VMCS_GUEST_ACCESS && field <= VMCS_GUEST_ACCESS + 2 * VMCS_TR;
}

/* False: the field does not take it. Some CPUs drop the reserved bits of access rights at VMWRITE. */
static bool make_wrong(const struct row *r)
{
	for (const struct row_change *c = r->changes; c < r->changes + MAX_CHANGES; c++) {
		bool is_last = c + 1 == r->changes + MAX_CHANGES || !is_change(c + 1);
		uint64_t flip = is_last && r->each ? 1ul << row_bit : 0;
		uint64_t value = ((vmread(c->field) & ~c->clear) | c->set) ^ flip;

		attempt_change(c->field, value);
		if (is_access_rights(c->field) && vmread(c->field) != value)
			return false;
		if (is_last)
			break;
	}
	if (r->qualification)
		attempt.must.qualification = r->qualification;
	attempt_of(r->name, r->each ? 1u << row_bit % 32 : 0);
	return true;
}

static bool next_of_table(struct l2 *v)
{
	(void)v;
	for (; row < last_row; row++, row_bit = 0) {
		if (!row_applies(row))
			continue;
		for (; row_bit < (row->each ? 64 : 1); row_bit++) {
			if (row->each && !(row->each >> row_bit & 1))
				continue;
			if (make_wrong(row)) {
				row_bit++;
				return true;
			}
			put_back(of_attempt, &of_attempt_used);
		}
	}
	return false;
}

static void try_rows(struct refusal must, void (*base)(struct l2 *v), const struct row *rows,
		     unsigned count)
{
	struct attempts attempts = {.must = must, .base = base, .next = next_of_table};

	row = rows;
	last_row = rows + count;
	row_bit = 0;
	try_attempts(&attempts);
}

#define CHANGE(field, set, clear)        \
	{                                \
		VMCS_##field, set, clear \
	}
#define SAME(field) CHANGE(field, 0, 0)
#define ROW(name, ...)                      \
	{                                   \
#name, {__VA_ARGS__ }, 0, 0 \
	}
#define EACH(name, bits, ...)                  \
	{                                      \
#name, {__VA_ARGS__ }, bits, 0 \
	}

#define LOW(bits) ((uint64_t)(bits))
#define HIGH(bits) ((uint64_t)(bits) << 32)
#define BIT(n) (1ul << (n))

#define REFUSED(name, rule, bugs, must, base, ...)                          \
	CASE_NEEDS("apic=1", name, CPL0, rule, bugs)                        \
	{                                                                   \
		static const struct row rows[] = {__VA_ARGS__};             \
                                                                            \
		try_rows(must, base, rows, sizeof(rows) / sizeof(rows[0])); \
	}

/* Of a CR4, the bits that this CPU does not have, each set. */
#define MSR_VMX_CR4_FIXED1 0x489

static inline void try_reserved_cr4(struct refusal must, enum vmcs_field field)
{
	uint64_t reserved = ~rdmsr(MSR_VMX_CR4_FIXED1);
	const struct row rows[] = {
		{"cr4_low", {{field, 0, 0}}, LOW((uint32_t)reserved), 0},
		{"cr4_high", {{field, 0, 0}}, reserved & HIGH(0xffffffff), 0},
	};

	try_rows(must, NULL, rows, sizeof(rows) / sizeof(rows[0]));
}

#endif
