/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What VM entries and exits carry between L1 and L2, and what they must not.
 *
 * The rule (SDM 3C, "Checks on Guest Non-Register State", "Loading Guest Non-Register State", "Delivery of
 * Pending Debug Exceptions after VM Entry", "Saving Non-Register State"). The shadow of STI or MOV SS and
 * the blocking of NMIs are in the interruptibility state, #DBs that are due in the pending debug
 * exceptions; both are saved at an exit and in force again at an entry. State that cannot be fails the
 * entry: both shadows, the one of STI with IF clear, and, in a shadow or in HLT, a pending single step that
 * does not say what TF says. L2's TF traps after its first instruction, its RF spares that one a
 * breakpoint. An exit gives L1 a DR7 with nothing enabled, L2's is in the VMCS. With virtual NMIs the
 * blocking bit is L2's own. A triple fault of L2 is an exit.
 *
 * The bugs that taught it. KVM's guest died of a failed VM entry where L2 had TF set in an STI shadow: L0
 * had set the shadow without BS ("Set vmcs.PENDING_DBG.BS on #DB in STI/MOVSS blocking shadow", 5.17).
 * XSA-308 is the same in Xen. KVM (2021) and Bochs (2.8) ended the machine on an L2's triple fault. Bochs
 * before 2.8 lost NMI blocking at entry and exit.
 *
 * TF, RF and the shadow are in carried.h, for SVM as well. A buggy hypervisor shows an exit INVALID_... too
 * many or too few, or a #DB, an NMI or an interrupt one instruction early, late or never.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/vmx/vmx.h"

#define RULE_GUEST_TF \
	"SDM 3C, Saving RIP, RSP, RFLAGS, and SSP: the guest's TF is in its own RFLAGS, and does not step L1"
#define RULE_TF_LOADED \
	"SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: TF that an entry loads traps after the first instruction, not before it"
#define RULE_GUEST_RF \
	"SDM 3C, Loading Guest RIP, RSP, RFLAGS, and SSP: RF that an entry loads spares the first instruction a breakpoint"
#define RULE_SHADOW \
	"SDM 3C, Guest Non-Register State: blocking by STI and by MOV SS is saved at an exit and in force again at an entry"
#define RULE_BS \
	"SDM 3C, Checks on Guest Non-Register State: in a shadow or in HLT, pending BS must say what RFLAGS.TF says"
#define RULE_PENDING \
	"SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: before the first instruction, or behind it in the shadow of MOV SS"
#define RULE_PENDING_OUT \
	"SDM 3C, Saving Non-Register State: pending debug exceptions are those that MOV SS holds back, and clear at most other exits"
#define RULE_NONSENSE \
	"SDM 3C, Checks on the Guest State Area: state that cannot be fails the entry, exit reason 33"
#define RULE_CONTROLS "SDM 3C, Checks on VMX Controls: VMfail with error 7"
#define RULE_HOST \
	"SDM 3C, Checks on Host Control Registers, MSRs, and SSP, and on Host Segments: VMfail with error 8"
#define RULE_ACTIVITY \
	"SDM 3C, Activity State, and Delivery of Events after VM Entry: an L2 in HLT is woken by what it can take"
#define RULE_NMI_BLOCKING \
	"SDM 3C, Guest Non-Register State: blocking by NMI is saved at an exit and in force again at an entry, until IRET"
#define RULE_VIRTUAL_NMIS \
	"SDM 3C, Pin-Based VM-Execution Controls: with virtual NMIs, blocking by NMI is about injected ones alone"
#define RULE_DR7 "SDM 3C, Loading Host Control Registers, Debug Registers, MSRs: DR7 is set to 400H"

#define BUGS_GUEST_TF CATCHES("bochs-exit-pending-bs")
#define BUGS_NO_SHADOW ""

#define CALL "vmcall"

static void name_places(void)
{
	notation_name("snippet_enter", (uint64_t)snippet_enter, 64);
}

#include "carried.h"

#define PENDING_VECTOR 0x31
#define APIC_ICR_ADDRESS 0xfee00300ul
#define SEND "mov %eax, (%edi);"

SNIPPET(call_twice, "mark call; vmcall; mark target; nop; mark after; nop; mark again; vmcall; "
		    "mark last; nop");
SNIPPET(send, "mark call; vmcall; mark target; " SEND "area sent; nop; nop; nop; nop; mark insn; int3; "
	      "mark after; nop");
SNIPPET(send_and_call, "mark call; vmcall; mark target; " SEND "area sent; nop; nop; nop; nop; mark again; "
		       "vmcall; mark last; nop");

/* L2 sends itself something by its APIC: the snippet's `send`. */
static void sends(uint32_t what)
{
	apic_enable(0);
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	setup.regs.rdi = APIC_ICR_ADDRESS;
	setup.regs.rax = what | ICR_ASSERT;
}

/* -- What L1 puts into the VMCS at the first call. ----------------------------------------------------------------- */

static struct {
	uint32_t interruptibility, activity, pending_debug, pin, event;
	uint64_t rflags;
	bool pend;
} in;

static struct {
	uint64_t interruptibility, pending_debug;
} out;

static void put_in(struct l2 *v)
{
	out.interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	out.pending_debug = vmread(VMCS_GUEST_PENDING_DEBUG);
	if (v->exits > 1)
		return;
	vmset(VMCS_GUEST_INTERRUPTIBILITY, in.interruptibility);
	vmset(VMCS_GUEST_ACTIVITY, in.activity);
	vmset(VMCS_GUEST_PENDING_DEBUG, in.pending_debug);
	vmset(VMCS_GUEST_RFLAGS, in.rflags);
	vmset(VMCS_PIN_CONTROLS, in.pin);
	if (in.event)
		l2_inject(v, in.event, 0, 0);
	if (in.pend)
		interrupt_pending(PENDING_VECTOR);
}

static void nothing_in(void)
{
	memset(&in, 0, sizeof(in));
	memset(&out, 0xff, sizeof(out));
	l2_setup.on_call = put_in;
}

/* -- The shadow, at an entry. -------------------------------------------------------------------------------------------- */

static void try_shadow_kind(const struct snippet *snippet, uint64_t kind)
{
	nothing_in();
	setup.rflags = environment_is_user() ? X86_EFLAGS_IOPL : 0;
	run_snippet(snippet);
	check((out.interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) == kind,
	      "the interruptibility state is %#lx at the exit", out.interruptibility);
}

CASE(shadow_kinds, ALL_NATIVE, RULE_SHADOW, "")
{
	try_shadow_kind(&sti_call, BLOCKED_BY_STI);
	try_shadow_kind(&movss_call, BLOCKED_BY_MOV_SS);
	try_shadow_kind(&call, 0);
}

static void try_shadow_in(uint32_t kind)
{
	nothing_in();
	apic_enable(0);
	setup.rflags = X86_EFLAGS_IF;
	in.interruptibility = kind;
	in.pend = true;
	run(call_twice);
}

CASE_NEEDS("apic=1", shadow_in, ALL_NATIVE, RULE_SHADOW, "")
{
	expect("intr 0x31@target; intr 0x31@after x2");
	try_shadow_in(0);
	try_shadow_in(BLOCKED_BY_STI);
	try_shadow_in(BLOCKED_BY_MOV_SS);
}

static void try_state(uint32_t interruptibility, uint32_t activity, uint64_t rflags)
{
	nothing_in();
	in.interruptibility = interruptibility;
	in.activity = activity;
	in.rflags = rflags;
	run(call);
}

CASE(shadow_nonsense, ALL_NATIVE, RULE_NONSENSE, "")
{
	expect("exit INVALID_GUEST x2");
	try_state(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS, 0, X86_EFLAGS_IF);
	try_state(BLOCKED_BY_STI, 0, 0);
}

CASE(interruptibility_reserved, CPL0, RULE_NONSENSE, "")
{
	expect("exit INVALID_GUEST x28");
	/* Bit 2 is for SMM, where we are not; bit 4 is that of an enclave. */
	try_state(1u << 2, 0, 0);
	for (unsigned bit = 5; bit < 32; bit++)
		try_state(1u << bit, 0, 0);
}

/* -- Pending debug exceptions, and TF in a shadow. -------------------------------------------------------------------- */

static void try_pending(uint32_t pending, uint32_t interruptibility, uint64_t rflags)
{
	nothing_in();
	in.pending_debug = pending;
	in.interruptibility = interruptibility;
	in.rflags = rflags;
	run(call);
}

#define TF X86_EFLAGS_TF
#define IF X86_EFLAGS_IF

CASE(tf_in_sti_shadow_without_bs, ALL_NATIVE, RULE_BS,
     CATCHES("kvm-vmx-pending-dbg bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_pending(0, BLOCKED_BY_STI, TF | IF);
}

CASE(tf_in_sti_shadow_with_bs, ALL_NATIVE, RULE_BS, CATCHES("kvm-vmx-pending-dbg"))
{
	expect("#DB[BS]@target, #DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	try_pending(DR6_BS, BLOCKED_BY_STI, TF | IF);
}

CASE(tf_in_movss_shadow_without_bs, ALL_NATIVE, RULE_BS,
     CATCHES("kvm-vmx-pending-dbg xsa-308 bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_pending(0, BLOCKED_BY_MOV_SS, TF);
}

CASE(tf_in_movss_shadow_with_bs, ALL_NATIVE, RULE_PENDING, CATCHES("kvm-vmx-pending-dbg"))
{
	expect("#DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	try_pending(DR6_BS, BLOCKED_BY_MOV_SS, TF);
}

CASE(bs_in_shadow_without_tf, ALL_NATIVE, RULE_BS, CATCHES("bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST x2");
	try_pending(DR6_BS, BLOCKED_BY_STI, IF);
	try_pending(DR6_BS, BLOCKED_BY_MOV_SS, 0);
}

CASE(pending_bs, ALL_NATIVE, RULE_PENDING, "")
{
	expect("#DB[BS]@target");
	try_pending(DR6_BS, 0, 0);
}

CASE(pending_breakpoint, ALL_NATIVE, RULE_PENDING, "")
{
	expect("#DB[B0]@target; #DB[B1,B3,BS]@target");
	try_pending(1 | PENDING_DEBUG_ENABLED, 0, 0);
	try_pending(0xa | PENDING_DEBUG_ENABLED | DR6_BS, 0, 0);
}

/* A match that is not enabled is no reason for a #DB. */
CASE(pending_not_enabled, ALL_NATIVE, RULE_PENDING, "")
{
	expect("(none)");
	try_pending(1, 0, 0);
}

CASE(pending_behind_movss, ALL_NATIVE, RULE_PENDING, "")
{
	expect("#DB[B0]@after");
	try_pending(1 | PENDING_DEBUG_ENABLED, BLOCKED_BY_MOV_SS, 0);
}

CASE(pending_and_injected, ALL_NATIVE,
     "SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: there are none if an external interrupt is injected",
     "")
{
	nothing_in();
	in.pending_debug = DR6_BS;
	in.rflags = IF;
	in.event = L2_INTR | 0x50;
	expect("extint 0x50@target");
	run(call);
}

CASE(pending_reserved, CPL0, RULE_NONSENSE, "")
{
	static const uint8_t bits[] = {4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 31};

	expect("exit INVALID_GUEST x12");
	for (unsigned i = 0; i < sizeof(bits); i++)
		try_pending(1u << bits[i], 0, 0);
}

SNIPPET(step_call, "mark call; vmcall; mark target; nop; mark after; vmcall; mark last; nop");
SNIPPET(movss_read_call, "mark call; mov (%edi), %ss; vmcall; mark target; nop; mark after; nop");

CASE(nothing_pending_out, ALL_NATIVE, RULE_PENDING_OUT, CATCHES("bochs-exit-pending-bs"))
{
	nothing_in();
	in.rflags = TF;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(step_call);
	check(!out.pending_debug, "pending debug exceptions are %#lx at the exit",
	      out.pending_debug);
}

static uint16_t selector;

CASE(breakpoint_pending_out, ALL_NATIVE, RULE_PENDING_OUT, "")
{
	nothing_in();
	selector = stack_selector();
	setup.regs.rdi = (uint64_t)&selector;
	breakpoint_set(0, (uint64_t)&selector, BREAK_ACCESS, 2);
	expect("#DB[B0]@after");
	run(movss_read_call);
	check(out.pending_debug == (1 | PENDING_DEBUG_ENABLED),
	      "pending debug exceptions are %#lx at the exit", out.pending_debug);
	check(out.interruptibility & BLOCKED_BY_MOV_SS, "L2 is not in the shadow of MOV SS");
}

/* -- L1's MOV SS. ------------------------------------------------------------------------------------------------------------ */

static void behind_mov_ss(struct l2 *v)
{
	(void)v;
	vmx_enter_behind_mov_ss = true;
}

CASE(entry_behind_movss, CPL0,
     "SDM 3C, Basic VM-Entry Checks: an entry in the shadow of MOV SS is VMfail with error 26",
     CATCHES("xen-nested-movss"))
{
	l2_setup.on_call = behind_mov_ss;
	expect("exit BLOCKED_BY_MOV_SS");
	run(call);
}

/* -- Activity states. --------------------------------------------------------------------------------------------------------- */

#define ACTIVITY_HLT 1
#define ACTIVITY_SHUTDOWN 2
#define ACTIVITY_SIPI 3

CASE_NEEDS("apic=1", hlt_woken, CPL0, RULE_ACTIVITY, CATCHES("kvm-nvmx-pending"))
{
	nothing_in();
	apic_enable(0);
	in.activity = ACTIVITY_HLT;
	in.rflags = IF;
	in.pend = true;
	expect("intr 0x31@target");
	run(call);
}

CASE(hlt_injected, CPL0, RULE_ACTIVITY, "")
{
	static const uint32_t wakes[] = {L2_INTR | 0x50, L2_NMI | 2, L2_EXCEPTION | 1,
					 L2_EXCEPTION | 18};

	expect("extint 0x50@target; nmi@target; #DB[]@target; #MC@target");
	for (unsigned i = 0; i < sizeof(wakes) / sizeof(wakes[0]); i++) {
		nothing_in();
		in.activity = ACTIVITY_HLT;
		in.rflags = IF;
		in.event = wakes[i];
		setup.leave_after = 1;
		run(call);
	}
}

CASE(hlt_injected_nonsense, CPL0, RULE_NONSENSE, CATCHES("bochs-hlt-injection-unchecked"))
{
	nothing_in();
	in.activity = ACTIVITY_HLT;
	in.event = L2_EXCEPTION | 6;
	expect("exit INVALID_GUEST");
	run(call);
}

/* Whoever goes to sleep where he must not is woken by an exit, and shows it. */
#define WATCHDOG 0x22
#define SLEEP_TICKS 20000

static enum l2_action wake(struct l2 *v)
{
	if (vmx_reason(v) != VMX_EXTERNAL_INTERRUPT)
		return L2_UNEXPECTED;
	l2_show_exit(v);
	l2_window(true);
	return L2_END;
}

static void try_sleep(uint64_t rflags, uint32_t pending)
{
	nothing_in();
	in.activity = ACTIVITY_HLT;
	in.rflags = rflags | IF;
	in.pending_debug = pending;
	in.pin = PIN_EXTERNAL_INTERRUPT;
	l2_setup.on_exit = wake;
	timer_start(WATCHDOG, SLEEP_TICKS);
	run(call);
	timer_stop();
}

CASE_NEEDS("apic=1", hlt_sleeps, CPL0, RULE_ACTIVITY, "")
{
	expect("exit INTR@target, L1 intr 0x22");
	try_sleep(0, 0);
}

CASE_NEEDS("apic=1", hlt_pending_debug, CPL0,
	   "SDM 3C, Delivery of Pending Debug Exceptions after VM Entry: they wake an L2 in HLT",
	   CATCHES("bochs-hlt-pending-debug"))
{
	expect("#DB[BS]@target, #DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	try_sleep(TF, DR6_BS);
}

CASE_NEEDS("apic=1", hlt_tf_without_bs, CPL0, RULE_BS, CATCHES("bochs-pending-bs-unchecked"))
{
	expect("exit INVALID_GUEST");
	try_sleep(TF, 0);
}

CASE(activity_nonsense, CPL0, RULE_NONSENSE, "")
{
	expect("exit INVALID_GUEST x3");
	try_state(0, 4, 0);
	try_state(0, ~0u, 0);
	try_state(BLOCKED_BY_STI, ACTIVITY_HLT, IF);
}

CASE(hlt_of_user, USER, RULE_NONSENSE, "")
{
	expect("exit INVALID_GUEST");
	try_state(0, ACTIVITY_HLT, IF);
}

/* -- NMI blocking. -------------------------------------------------------------------------------------------------------------- */

static unsigned nmi_depth, nmi_deepest, nmis;
static uint64_t blocking_in_handler, blocking_behind;

static void note_blocking(struct l2 *v)
{
	uint64_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKED_BY_NMI;

	if (v->exits == 1) {
		vmset(VMCS_GUEST_INTERRUPTIBILITY, in.interruptibility);
		vmset(VMCS_PIN_CONTROLS, in.pin);
		if (in.event)
			l2_inject(v, in.event, 0, 0);
	} else if (nmi_depth) {
		blocking_in_handler = blocking;
	} else {
		blocking_behind = blocking;
	}
}

static enum action exit_in_handler(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->vector != 2)
		return BY_RULE;
	nmi_depth++;
	nmi_deepest = nmi_depth > nmi_deepest ? nmi_depth : nmi_deepest;
	if (nmis++ == 0) {
		asm volatile("vmcall" : : : "memory");
		if (!(in.pin & PIN_NMI)) {
			nmi_to_self();
			for (volatile int i = 0; i < 1000; i++)
				;
		}
	}
	nmi_depth--;
	return RESUME;
}

static void watch_blocking(void)
{
	memset(&in, 0, sizeof(in));
	nmi_depth = nmi_deepest = nmis = 0;
	blocking_in_handler = blocking_behind = ~0ul;
	setup.hook = exit_in_handler;
	l2_setup.on_call = note_blocking;
}

CASE_NEEDS("apic=1", nmi_blocked_across_exit, ALL_NATIVE, RULE_NMI_BLOCKING,
	   CATCHES("bochs-nmi-blocking-at-entry"))
{
	watch_blocking();
	sends(ICR_NMI);
	expect("nmi@sent, nmi@sent");
	run(send_and_call);
	check(nmi_deepest == 1, "NMIs were nested %u deep", nmi_deepest);
	check(blocking_in_handler == BLOCKED_BY_NMI, "blocking by NMI is clear in the handler");
	check(blocking_behind == 0, "blocking by NMI is set behind the handler's IRET");
}

CASE_NEEDS("apic=1", nmi_blocked_at_entry, ALL_NATIVE, RULE_NMI_BLOCKING,
	   CATCHES("bochs-nmi-blocking-at-entry"))
{
	nothing_in();
	sends(ICR_NMI);
	in.interruptibility = BLOCKED_BY_NMI;
	expect("#BP@after, nmi@after");
	run(send);
}

CASE(virtual_nmi, ALL_NATIVE, RULE_VIRTUAL_NMIS, "")
{
	watch_blocking();
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.event = L2_NMI | 2;
	expect("nmi@target");
	run(call_twice);
	check(blocking_in_handler == BLOCKED_BY_NMI, "blocking by NMI is clear in the handler");
	check(blocking_behind == 0, "blocking by NMI is set behind the handler's IRET");
}

CASE_NEEDS("apic=1", virtual_blocking_is_virtual, ALL_NATIVE, RULE_VIRTUAL_NMIS, "")
{
	nothing_in();
	sends(ICR_NMI);
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.interruptibility = BLOCKED_BY_NMI;
	expect("exit nmi@sent");
	run(send);
}

CASE(virtual_nmi_injected_twice, ALL_NATIVE, RULE_NONSENSE, CATCHES("bochs-virtual-nmi-unchecked"))
{
	nothing_in();
	in.pin = PIN_NMI | PIN_VIRTUAL_NMIS;
	in.interruptibility = BLOCKED_BY_NMI;
	in.event = L2_NMI | 2;
	expect("exit INVALID_GUEST");
	run(call);
}

/* -- Debug registers, and the end of L2. ------------------------------------------------------------------------------------- */

static uint64_t dr7_of_host, dr7_of_guest;

static void note_dr7(struct l2 *v)
{
	dr7_of_guest = l2_get(v, L2_DR7);
	dr7_of_host = read_dr7();
}

CASE(dr7_after_exit, ALL_NATIVE, RULE_DR7, "")
{
	breakpoint_set(0, mark_address(&call, "call"), BREAK_WRITE, 1);
	dr7_of_host = ~0ul;
	l2_setup.on_call = note_dr7;
	run(call);
	check(dr7_of_host == DR7_CLEAR, "L1's DR7 is %#lx after the exit", dr7_of_host);
	check((dr7_of_guest & 0xff) == 2, "L2's DR7 is %#lx in the VMCS", dr7_of_guest);
}

SNIPPET(call_int3, "mark call; vmcall; mark insn; int3; mark after; nop");

static void take_idt_away(struct l2 *v)
{
	(void)v;
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
}

CASE(triple_fault, ALL_NATIVE,
     "SDM 3C, Other Causes of VM Exits: a triple fault is an exit, not the end",
     CATCHES("l2-triple-fault"))
{
	l2_setup.on_call = take_idt_away;
	expect("exit TRIPLE_FAULT@insn");
	run(call_int3);
}

CASE_NEEDS("apic=1", init, CPL0, "SDM 3C, Other Causes of VM Exits: INIT is an exit in L2",
	   CATCHES("bochs-init-intercept"))
{
	nothing_in();
	sends(ICR_INIT);
	expect("exit INIT@sent");
	run(send);
}

/* -- State that cannot be. -------------------------------------------------------------------------------------------------- */

struct wrong {
	enum vmcs_field field;
	uint64_t set, clear;
};

static const struct wrong *wrong;

static void make_wrong(struct l2 *v)
{
	(void)v;
	vmset(wrong->field, wrong->set);
	vmclear_bits(wrong->field, wrong->clear);
}

static void try_wrong(const struct wrong *w, unsigned count)
{
	l2_setup.on_call = make_wrong;
	for (wrong = w; wrong < w + count; wrong++)
		run(call);
}

#define WRONG(name, rule, exit, bugs, ...)                                      \
	CASE(name, CPL0, rule, bugs)                                            \
	{                                                                       \
		static const struct wrong table[] = {__VA_ARGS__};              \
                                                                                \
		expect("exit " exit " x%zu", sizeof(table) / sizeof(table[0])); \
		try_wrong(table, sizeof(table) / sizeof(table[0]));             \
	}

WRONG(wrong_guest, RULE_NONSENSE, "INVALID_GUEST", "", {VMCS_GUEST_RFLAGS, 0, X86_EFLAGS_FIXED},
      {VMCS_GUEST_RFLAGS, 1ul << 63, 0}, {VMCS_GUEST_RFLAGS, 1ul << 17, 0},
      {VMCS_GUEST_CR0, 0, X86_CR0_NE}, {VMCS_GUEST_CR0, 1ul << 32, 0},
      {VMCS_GUEST_CR4, 0, X86_CR4_PAE}, {VMCS_GUEST_DR7, 1ul << 32, 0},
      {VMCS_GUEST_IDTR_LIMIT, 1u << 16, 0}, {VMCS_GUEST_ACCESS + 2 * VMCS_TR, 0, 2},
      {VMCS_GUEST_ACCESS + 2 * VMCS_CS, 1u << 14, 0}, {VMCS_LINK_POINTER, 0, 1ul << 63})

/* Bits 63:48 must be alike, on a CPU with 48 bits of linear addresses. */
WRONG(wrong_rip, RULE_NONSENSE, "INVALID_GUEST", CATCHES("bochs-vmentry-rip"),
      {VMCS_GUEST_RIP, 1ul << 62, ~(1ul << 62)}, {VMCS_GUEST_RIP, 3ul << 61, ~(3ul << 61)})

WRONG(wrong_host, RULE_HOST, "INVALID_HOST", "", {VMCS_HOST_CS, 3, 0}, {VMCS_HOST_CS, 0, 0xffff},
      {VMCS_HOST_TR, 4, 0}, {VMCS_HOST_CR0, 0, X86_CR0_NE}, {VMCS_HOST_CR4, 0, X86_CR4_PAE},
      {VMCS_HOST_IDTR_BASE, 1ul << 62, 0}, {VMCS_HOST_RIP, 1ul << 62, 0},
      {VMCS_EXIT_CONTROLS, 0, EXIT_HOST_64_BIT})

WRONG(wrong_controls, RULE_CONTROLS, "INVALID_CONTROLS", "",
      {VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS, 0}, {VMCS_CPU_CONTROLS, CPU_NMI_WINDOW, 0},
      {VMCS_CR3_TARGET_COUNT, 5, 0}, {VMCS_MSR_BITMAP, 1, 0}, {VMCS_PIN_CONTROLS, 1u << 31, 0})
