/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMRUN that is refused, from an L1 that did not expect it.
 *
 * The rule (APM 2, "Canonicalization and Consistency Checks", "Event Injection", "Global Interrupt Flag"). Each row of
 * the table below is one thing that makes VMRUN fail, by itself: exit VMEXIT_INVALID, and L2 has not run. It is an exit
 * like others: GIF is 0 behind it however L1 came, so that what is pending waits for STGI; EVENTINJ is clear, so that
 * the VMCB, repaired, runs without an event; nothing has been delivered to L2. VMRUN itself asks for no bit of L2's
 * that the table does not name: the rows of `legal` run.
 *
 * The bugs that taught it. KVM to 7.0 and Xen to 2026 leave GIF as it was where they refuse by themselves, so that an
 * NMI hits an L1 that has switched them off; KVM to 7.0 leaves EVENTINJ valid there, so that L2 has the event twice.
 * Only an L1 that executes VMRUN with GIF 1, and one that does not tidy up, can see that.
 *
 * What code the exit has in its upper half is svm_invalid.c's. A buggy hypervisor shows the combinations in which the
 * VMCB was not refused, or an event came early, twice or never.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#include "../nested/product.h"

#include <stddef.h>

#define RULE_REFUSED \
	"APM 2, Canonicalization and Consistency Checks: illegal state is VMEXIT_INVALID"
#define RULE_LEGAL \
	"APM 2, Canonicalization and Consistency Checks: what is in no row of it is legal"
#define RULE_GIF "APM 2, Global Interrupt Flag: #VMEXIT clears it, and VMEXIT_INVALID is one"
#define RULE_EVENTINJ "APM 2, Event Injection, #VMEXIT: EVENTINJ is clear behind every exit"

#define PENDING_VECTOR 0x91

SNIPPET(call, "mark call; vmmcall; mark target; nop; mark again; vmmcall; mark last; nop");

/* One change of the VMCB. */
struct change {
	const char *name;
	size_t offset;
	uint64_t set, clear; /* fields narrower than 8 bytes are changed in the low part of 8 */
};

#define FIELD(name) offsetof(struct vmcb, name)

static void change_field(struct vmcb *vmcb, const struct change *change)
{
	uint8_t *at = (uint8_t *)vmcb + change->offset;
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	value = (value & ~change->clear) | change->set;
	memcpy(at, &value, sizeof(value));
}

/* -- One run. ---------------------------------------------------------------------------------- */

enum {
	GIF = 1 << 0, /* set at VMRUN */
	BEFORE =
		1 << 1, /* an NMI and an interrupt are pending at VMRUN, not sent behind the exit */
	HOST_IF = 1 << 2,
};

static const char *const axes[] = {"gif", "pending_before", "host_if", NULL};

static unsigned now;
static const struct change *wrong;
static uint32_t injected; /* EVENTINJ of the refused VMCB */

static struct {
	struct vmcb good; /* the VMCB as L1 repairs it */
	unsigned refused; /* how often it was */
	unsigned early;	  /* events that came while GIF was 0 */
	bool eventinj;	  /* valid behind the exit */
} seen;

static bool demand(unsigned c, struct text *out)
{
	if (c & BEFORE && c & GIF)
		return false; /* L1 has both at once, and nothing is pending at VMRUN */
	text_append(out, "L1 nmi, L1 intr 0x91, refused 1, early 0");
	return true;
}

static void send(void)
{
	interrupt_pending(PENDING_VECTOR);
	nmi_to_self();
}

/* What L1 would take over from L2 at its end. */
static void put_back(struct vmcb *vmcb)
{
	vmcb->cr0 = seen.good.cr0;
	vmcb->cr3 = seen.good.cr3;
	vmcb->cr4 = seen.good.cr4;
	vmcb->efer = seen.good.efer;
	vmcb->dr6 = seen.good.dr6;
	vmcb->dr7 = seen.good.dr7;
}

static void spoil(struct l2 *v)
{
	if (v->exits > 1) {
		put_back(v->vmcb); /* it ran */
		return;
	}
	if (now & BEFORE)
		send();
	seen.good = *v->vmcb;
	if (injected)
		v->vmcb->inject.what = injected;
	change_field(v->vmcb, wrong);
	l2_setup.host_rflags = now & HOST_IF ? X86_EFLAGS_IF : 0;
	if (now & GIF)
		stgi();
}

static unsigned events_of(const struct l2 *v)
{
	return recording_of(v->cpu)->run.group->events;
}

/* Nothing may come before STGI. */
static void wait_with_gif_clear(const struct l2 *v)
{
	unsigned before = events_of(v);

	if (!(now & BEFORE))
		send();
	asm volatile("sti; nop; nop");
	give_it_time();
	asm volatile("cli");
	seen.early = events_of(v) - before;
}

static enum l2_action repair(struct l2 *v)
{
	struct svm_event left = v->vmcb->inject;

	if ((uint32_t)v->vmcb->exit_code != (uint32_t)SVM_EXIT_INVALID)
		return L2_UNEXPECTED;
	seen.refused++;
	seen.eventinj = left.what & L2_EVENT_VALID;
	wait_with_gif_clear(v);
	l2_window(true);
	l2_setup.host_rflags = 0;
	*v->vmcb = seen.good;
	v->vmcb->inject = left;
	return seen.refused < 4 ? L2_RESUME : L2_END;
}

static void prepare(unsigned combination)
{
	now = combination;
	memset(&seen, 0, sizeof(seen));
	l2_setup.keep_injection = true;
	l2_setup.on_call = spoil;
	l2_setup.on_exit = repair;
}

static void finish(unsigned combination, struct text *out)
{
	(void)combination;
	text_append(out, ", refused %u, early %u", seen.refused, seen.early);
}

static const struct product refused = {
	.axes = axes,
	.snippet = &call,
	.demand = demand,
	.prepare = prepare,
	.finish = finish,
};

static void try_refused(const struct change *row)
{
	apic_enable(0);
	injected = 0;
	wrong = row;
	product_run(&refused);
}

/* -- The table. -------------------------------------------------------------------------------- */

#define CR0_NW (1ul << 29)
#define CR0_CD (1ul << 30)
#define CS_D (1ul << 10) /* of the attributes; L is set */
#define BIT(n) (1ul << (n))

/* clang-format off */
#define ROWS(each) \
	each(svme_clear, efer, 0, EFER_SVME, "") \
	each(efer_bit_1, efer, BIT(1), 0, "") \
	each(efer_bit_9, efer, BIT(9), 0, "") \
	each(efer_bit_63, efer, BIT(63), 0, "") \
	each(nw_without_cd, cr0, CR0_NW, CR0_CD, "") \
	each(cr0_bit_32, cr0, BIT(32), 0, "") \
	each(cr0_bit_63, cr0, BIT(63), 0, "") \
	each(cr3_bit_52, cr3, BIT(52), 0, " bochs-vmrun-cr3") \
	each(cr3_bit_62, cr3, BIT(62), 0, " bochs-vmrun-cr3") \
	each(cr4_bit_15, cr4, BIT(15), 0, "") \
	each(cr4_bit_31, cr4, BIT(31), 0, "") \
	each(cr4_bit_63, cr4, BIT(63), 0, "") \
	each(dr6_bit_32, dr6, BIT(32), 0, "") \
	each(dr6_bit_63, dr6, BIT(63), 0, "") \
	each(dr7_bit_32, dr7, BIT(32), 0, "") \
	each(dr7_bit_63, dr7, BIT(63), 0, "") \
	each(long_mode_without_pae, cr4, 0, X86_CR4_PAE, "") \
	each(cs_l_and_d, cs.attributes, CS_D, 0, "") \
	each(no_vmrun_intercept, intercept[1], 0, 1, "") \
	each(no_asid, asid, 0, 0xffffffff, "") \
	each(iopm_too_high, iopm, BIT(52), 0, " nsvm-bitmap-unchecked") \
	each(msrpm_too_high, msrpm, BIT(52), 0, " nsvm-bitmap-unchecked") \
	each(eventinj_type_1, inject, 0x80000150, 0, "") \
	each(eventinj_nmi_as_exception, inject, 0x80000302, 0, "")
/* clang-format on */

/* A CPU that lets this one through may be beyond help: not in a loop with the others. */
#define FATAL_ROWS(each) each(long_mode_without_pe, cr0, 0, X86_CR0_PE, " bochs-vmrun-pe")

/* With nested paging only. */
/* clang-format off */
#define NESTED_ROWS(each) \
	each(nested_cr3_too_high, nested_cr3, BIT(52), 0, CATCHES("svm-nested-cr3-unchecked")) \
	each(g_pat_type_2, pat, 2, 0xff, CATCHES("svm-nested-cr3-unchecked")) \
	each(g_pat_bit_3, pat, BIT(3), 0, CATCHES("svm-nested-cr3-unchecked"))
/* clang-format on */

#define ROW(name, field, set, clear)            \
	{                                       \
#name, FIELD(field), set, clear \
	}
#define ROW_ENTRY(name, field, set, clear, bugs) ROW(name, field, set, clear),

#define ROW_CASE(name, field, set, clear, bugs)                                       \
	CASE_NEEDS("apic=1", name, CPL0, RULE_REFUSED, "nsvm-gif-after-invalid" bugs) \
	{                                                                             \
		static const struct change row = ROW(name, field, set, clear);        \
                                                                                      \
		try_refused(&row);                                                    \
	}

ROWS(ROW_CASE)
FATAL_ROWS(ROW_CASE)

static void need_nested_paging(void)
{
	need_of_machine(layer == &layer_svm, "nested paging in %s", layer->name);
}

#define NESTED_CASE(name, field, set, clear, bugs)                                                 \
	CASE_NEEDS("apic=1", name, CPL0,                                                           \
		   "APM 2, Nested Paging and VMRUN/#VMEXIT: MBZ bits of nCR3, and of G_PAT", bugs) \
	{                                                                                          \
		static const struct change row = ROW(name, field, set, clear);                     \
                                                                                                   \
		need_nested_paging();                                                              \
		try_refused(&row);                                                                 \
	}

NESTED_ROWS(NESTED_CASE)

/* -- An event that was to be injected. --------------------------------------------------------- */

/* L1 repairs the VMCB, and nothing else: what is left of EVENTINJ would be delivered. */
CASE_NEEDS("apic=1", eventinj_is_clear, CPL0, RULE_EVENTINJ,
	   CATCHES("nsvm-eventinj-kept bochs-vmrun-cr3"))
{
	static const struct change rows[] = {ROWS(ROW_ENTRY)};

	for (wrong = rows; wrong < rows + sizeof(rows) / sizeof(rows[0]); wrong++) {
		if (wrong->offset == FIELD(inject))
			continue;
		l2_setup = (struct l2_setup){0};
		prepare(BEFORE);
		injected = L2_EVENT_VALID | L2_INTR | 0x50;
		run(call);
		check(!seen.eventinj, "%s: EVENTINJ is valid behind the exit", wrong->name);
		injected = 0;
	}
	expect("(L1 nmi, L1 intr 0x91) x%lu", sizeof(rows) / sizeof(rows[0]) - 2);
}

/* -- What is legal. ---------------------------------------------------------------------------- */

/* clang-format off */
#define LEGAL_ROWS(each) \
	each(cd, cr0, CR0_CD, 0, ) \
	each(cd_and_nw, cr0, CR0_CD | CR0_NW, 0, ) \
	each(cr3_cache_bits, cr3, BIT(3) | BIT(4), 0, ) \
	each(dr6_all, dr6, 0xffffffff, 0, ) \
	each(dr6_none, dr6, 0, 0xffffffff, ) \
	each(dr7_none, dr7, 0, 0xffffffff, ) \
	each(asid_2, asid, 2, 0xffffffff, ) \
	each(no_tlb_control, tlb_control, 0, 0xff, ) \
	each(iopm_low_bits, iopm, 0xfff, 0, ) \
	each(msrpm_low_bits, msrpm, 0xfff, 0, ) \
	each(eventinj_not_valid, inject, 0x7fffffff, 0xffffffff, ) \
	each(v_tpr, int_control, 15, 0, ) \
	each(cs_not_accessed, cs.attributes, 0, 1, ) \
	each(cpl_3_of_conforming, cs.attributes, BIT(2), 0, )
/* clang-format on */

CASE(legal, CPL0, RULE_LEGAL, "")
{
	static const struct change rows[] = {LEGAL_ROWS(ROW_ENTRY)};

	injected = 0;
	for (wrong = rows; wrong < rows + sizeof(rows) / sizeof(rows[0]); wrong++) {
		l2_setup = (struct l2_setup){0};
		prepare(0);
		run(call);
		check(!seen.refused, "%s: is refused", wrong->name);
	}
	expect("(none) x%lu", sizeof(rows) / sizeof(rows[0]));
}
