/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMAP and SMEP while an event is delivered.
 *
 * The rule. With CR4.SMAP the supervisor may not touch pages of the user: by an instruction unless RFLAGS.AC is set, by the
 * CPU's own accesses never. The CPU's own are those to GDT, IDT and TSS, which are the supervisor's at any CPL: the
 * #PF that they give has U clear also at CPL 3. With CR4.SMEP the supervisor may not fetch from such pages. So an event
 * whose gate, segment, stack pointer or stack lies there is a #PF of the instruction that raised it; one whose
 * handler lies there is delivered first, and the #PF's return address is the handler's. A handler in ring 3 is the user: its
 * frame may only go to pages of the user. Rings 1 and 2 are the supervisor.
 *
 * Why a hypervisor must care. Shadow paging has to play SMEP and SMAP itself where CR0.WP is clear, an emulator that
 * loads a segment or delivers an event makes accesses that are the CPU's and not the program's. QEMU took the
 * program's CPL for both: with SMAP each event to a handler in ring 3 was a double fault until 9.2 (gitlab #249).
 *
 * What a buggy hypervisor shows here: `#BP@after` where the #PF is due, U in the error code, #DF.
 *
 * Each snippet runs twice, the first time with CR4's bit clear: then nothing stops it. All memory is the supervisor's
 * but for the window (cpu/paging.h). What is on trial is laid across two pages of it, so that #PF finds its own part.
 */
#include "trapline.h"

#define RULE_IMPLICIT \
	"SDM 3A, Determination of Access Mode and Access Rights: accesses to GDT, IDT and TSS are implicit supervisor-mode accesses at any CPL; with SMAP they may not touch user-mode pages, whatever AC is"
#define RULE_PUSH \
	"SDM 3A, Access Rights: with SMAP and AC clear a supervisor-mode write to a user-mode page is a #PF, so also that of a frame"
#define RULE_EXPLICIT \
	"SDM 3A, Access Rights: with SMAP an explicit supervisor-mode access (CPL 0 to 2) to a user-mode page is a #PF unless AC is set"
#define RULE_FETCH \
	"SDM 3A, Access Rights: with SMEP a supervisor-mode fetch (CPL 0 to 2) from a user-mode page is a #PF"
#define RULE_USER "SDM 3A, Determination of Access Mode: a handler in ring 3 pushes as the user"

#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CPUID_7_B_SMEP (1u << 7)
#define CPUID_7_B_SMAP (1u << 20)

extern uint64_t boot_pd[4 * 512];

/* Pages of the window. */
enum { USER_PART, KERNEL_PART, USER_CODE, USER_STACK, PAGES };

#define PAGE(n) (WINDOW + (n)*PAGE_BYTES)
#define BOUNDARY PAGE(KERNEL_PART)

static uint8_t pages[PAGES][PAGE_BYTES] __attribute__((aligned(4096)));

static uint32_t bits; /* of CR4, in this run */

/* -- All memory but the window is closed to the user, while a snippet runs. ----------------------- */

static void close_memory(void)
{
	for (unsigned i = 0; i < 4 * 512; i++)
		if (&boot_pd[i] != window_pde())
			boot_pd[i] &= ~PTE_USER;
	write_cr3(read_cr3());
	write_cr4(read_cr4() | bits);
}

static void open_memory(void)
{
	write_cr4(read_cr4() & ~(uint64_t)(CR4_SMAP | CR4_SMEP));
	for (unsigned i = 0; i < 4 * 512; i++)
		boot_pd[i] |= PTE_USER;
	write_cr3(read_cr3());
}

/* The way out of the snippet, and what the harness reads, may be on trial. */
static enum action end_of_trial(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != VECTOR_PF)
		return BY_RULE;
	write_cr4(read_cr4() & ~(uint64_t)(CR4_SMAP | CR4_SMEP));
	return LEAVE;
}

#define GOOD_IST 2

static void prepare(const struct snippet *snippet, uint32_t feature)
{
	const struct code *code = snippet_code(snippet);

	need_of_machine(cpuid(0, 0).a >= 7 && cpuid(7, 0).b & feature, "%s",
			feature == CPUID_7_B_SMAP ? "SMAP" : "SMEP");
	for (unsigned i = 0; i < PAGES; i++)
		window_map(i, (uint64_t)pages[i] |
				      (i == KERNEL_PART ? PTE_PAGE & ~PTE_USER : PTE_PAGE));
	if (environment_is_user()) {
		memcpy(pages[USER_CODE], code->start, code->end - code->start);
		setup.address = (void *)PAGE(USER_CODE);
		setup.placed = true;
		setup.stack_top = PAGE(USER_STACK) + PAGE_BYTES;
	}
	this_cpu()->descriptors.tss.ist[GOOD_IST] = stack_top(0, STACK_EVENTS);
	gate_set_ist(VECTOR_PF, GOOD_IST);
	setup.hook = end_of_trial;
}

static void run_twice(const struct snippet *snippet, uint32_t cr4)
{
	snippet_around(close_memory, open_memory);
	bits = 0;
	run_snippet(snippet);
	bits = cr4;
	run_snippet(snippet);
	snippet_around(NULL, NULL);
}

/* -- The CPU's own accesses. ------------------------------------------------------------------------ */

SNIPPET(int3, "mark insn; int3; mark after; nop");
SNIPPET(load_fs, "mark insn; mov %esi, %fs; mark after; nop");

/* Vectors 0 to 7 in the user's part. */
static void idt_across(void)
{
	uint64_t base = BOUNDARY - 8 * sizeof(struct gate);

	memcpy((void *)base, idt, sizeof(idt) / 2);
	load_idt((void *)base, sizeof(idt) / 2 - 1);
	notation_name("part", base + VECTOR_BP * sizeof(struct gate), sizeof(struct gate));
}

/* RSP0 and IST 1 in the user's part, IST 2 in the other. */
static void tss_across(bool by_ist)
{
	struct descriptors *d = &this_cpu()->descriptors;
	uint64_t base = BOUNDARY - offsetof(struct tss, ist[GOOD_IST]);

	if (by_ist) {
		d->tss.ist[1] = stack_top(0, STACK_EVENTS) - 1024;
		gate_set_ist(VECTOR_BP, 1);
	}
	memcpy((void *)base, &d->tss, sizeof(d->tss));
	load_tss(d, (const struct tss *)base);
	notation_name("part",
		      base + (by_ist ? offsetof(struct tss, ist[1]) : offsetof(struct tss, rsp)),
		      8);
}

/* KERNEL_CS and USER_DS in the user's part; #PF has a segment of its own in the other. */
static void gdt_across(uint16_t selector)
{
	struct descriptors *d = &this_cpu()->descriptors;
	uint64_t base = BOUNDARY - REAL_CS;

	d->gdt[REAL_CS / 8] = d->gdt[KERNEL_CS / 8];
	gate_set_selector(VECTOR_PF, REAL_CS);
	memcpy((void *)base, d->gdt, sizeof(d->gdt));
	load_gdt((void *)base);
	setup.enter_without_gdt = true;
	notation_name("part", base + (selector & ~7), 8);
}

#define IMPLICIT(name, environments, snippet, first, lay) \
	CASE(name, environments, RULE_IMPLICIT, "")       \
	{                                                 \
		prepare(&snippet, CPUID_7_B_SMAP);        \
		setup.regs.rsi = stack_selector();        \
		lay;                                      \
		expect(first "; #PF(0x1,cr2=part)@insn"); \
		run_twice(&snippet, CR4_SMAP);            \
	}                                                 \
	CASE(name##_ac, environments, RULE_IMPLICIT, "")  \
	{                                                 \
		prepare(&snippet, CPUID_7_B_SMAP);        \
		setup.regs.rsi = stack_selector();        \
		setup.rflags = X86_EFLAGS_AC;             \
		lay;                                      \
		expect(first "; #PF(0x1,cr2=part)@insn"); \
		run_twice(&snippet, CR4_SMAP);            \
	}

IMPLICIT(idt_of_user, CPL0 | CPL3 | RINGS, int3, "#BP@after", idt_across())
IMPLICIT(tss_of_user, CPL3 | RINGS, int3, "#BP@after", tss_across(false))
IMPLICIT(tss_ist_of_user, CPL0 | CPL3 | RINGS, int3, "#BP@after", tss_across(true))
IMPLICIT(gdt_of_user, CPL0 | CPL3, int3, "#BP@after", gdt_across(KERNEL_CS))
IMPLICIT(gdt_of_user_at_load, CPL0 | CPL3, load_fs, "(none)", gdt_across(stack_selector()))

/* -- The frame. -------------------------------------------------------------------------------------- */

static void stack_of_user(bool by_ist)
{
	uint64_t top = PAGE(USER_PART) + PAGE_BYTES;

	if (by_ist)
		use_ist(VECTOR_BP, top);
	else
		this_cpu()->descriptors.tss.rsp[0] = top;
	notation_name("stack", PAGE(USER_PART), PAGE_BYTES);
}

/* The first run's handler is ours, and uses this stack. */
#define PUSHED(name, environments, by_ist)                          \
	CASE(name, environments, RULE_PUSH, "")                     \
	{                                                           \
		prepare(&int3, CPUID_7_B_SMAP);                     \
		stack_of_user(by_ist);                              \
		expect("#BP@after; #PF(0x3,cr2=stack+0xff8)@insn"); \
		run_twice(&int3, CR4_SMAP);                         \
	}

PUSHED(stack_of_user_rsp0, CPL3 | RINGS, false)
PUSHED(stack_of_user_ist, CPL0 | CPL3 | RINGS, true)

/* -- By instructions. --------------------------------------------------------------------------------- */

SNIPPET(load, "mark insn; mov (%ebx), %eax; mark after; nop");
SNIPPET(store, "mark insn; mov %eax, (%ebx); mark after; nop");

#define EXPLICIT(name, snippet, error)                           \
	CASE(name##_of_user, CPL0 | RINGS, RULE_EXPLICIT, "")    \
	{                                                        \
		prepare(&snippet, CPUID_7_B_SMAP);               \
		notation_name("part", WINDOW, PAGE_BYTES);       \
		setup.regs.rbx = WINDOW;                         \
		expect("(none); #PF(" error ",cr2=part)@insn");  \
		run_twice(&snippet, CR4_SMAP);                   \
	}                                                        \
	CASE(name##_of_user_ac, CPL0 | RINGS, RULE_EXPLICIT, "") \
	{                                                        \
		prepare(&snippet, CPUID_7_B_SMAP);               \
		setup.regs.rbx = WINDOW;                         \
		setup.rflags = X86_EFLAGS_AC;                    \
		expect("(none) x2");                             \
		run_twice(&snippet, CR4_SMAP);                   \
	}                                                        \
	CASE(name##_as_user, CPL3, RULE_EXPLICIT, "")            \
	{                                                        \
		prepare(&snippet, CPUID_7_B_SMAP);               \
		setup.regs.rbx = WINDOW;                         \
		expect("(none) x2");                             \
		run_twice(&snippet, CR4_SMAP);                   \
	}

EXPLICIT(load, load, "0x1")
EXPLICIT(store, store, "0x3")

/* -- SMEP. -------------------------------------------------------------------------------------------- */

SNIPPET_BOTH(jump_there, "mark insn; jmp *%rbx; mark after; nop", "nop");

/* UD2 is what lies there. */
static void code_of_user(void)
{
	pages[USER_PART][0] = 0x0f;
	pages[USER_PART][1] = 0x0b;
	notation_name("part", WINDOW, 2);
}

CASE(fetch_of_user, CPL0 | RINGS, RULE_FETCH, "")
{
	prepare(&jump_there, CPUID_7_B_SMEP);
	code_of_user();
	setup.regs.rbx = WINDOW;
	expect("#UD@part; #PF(0x11,cr2=part)@part");
	run_twice(&jump_there, CR4_SMEP);
}

CASE(fetch_as_user, CPL3, RULE_FETCH, "")
{
	prepare(&jump_there, CPUID_7_B_SMEP);
	code_of_user();
	setup.regs.rbx = WINDOW;
	expect("#UD@part x2");
	run_twice(&jump_there, CR4_SMEP);
}

CASE(handler_of_user, CPL0 | CPL3 | RINGS, RULE_FETCH, "")
{
	prepare(&int3, CPUID_7_B_SMEP);
	code_of_user();
	gate_set_handler(VECTOR_BP, (const void *)WINDOW);
	expect("#UD@part; #PF(0x11,cr2=part)@part");
	run_twice(&int3, CR4_SMEP);
}

/* -- A handler in ring 3. ----------------------------------------------------------------------------- */

#define CODE64_RING3 0x00affb000000ffff

CASE(handler_in_ring3, CPL3, RULE_USER, CATCHES("tcg-dpl-stack-smap"))
{
	prepare(&int3, CPUID_7_B_SMAP);
	code_of_user();
	this_cpu()->descriptors.gdt[REAL_CS / 8] = CODE64_RING3;
	gate_set_selector(VECTOR_BP, REAL_CS);
	gate_set_handler(VECTOR_BP, (const void *)WINDOW);
	expect("#UD@part x2");
	run_twice(&int3, CR4_SMAP | CR4_SMEP);
}
