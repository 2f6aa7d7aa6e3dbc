/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor trap flag, and everything that it can meet.
 *
 * The rule (SDM 3C, "Monitor Trap Flag", "Injection of Pending MTF VM Exits", "Saving Non-Register State"). An exit of
 * its own behind the first thing that happens in L2: behind the first instruction, or its first iteration; at the first
 * instruction of the handler, where that instruction faults or traps, or where an event is injected or pending. It
 * comes in the shadow of STI and MOV SS as well, and before a single step of L2's own, which waits in the pending debug
 * exceptions. Where another exit comes first there is none. L1 can inject one without setting the flag (type 7).
 *
 * The bugs that taught it. Bochs to 3.0 takes type 7 where it should not; KVM to 6.0 has an MTF exit before a #DB of a
 * task switch, and has forgotten or doubled the exit where it emulates an instruction.
 *
 * Each case resumes L2 behind the exit, so that what the exit has held back shows. A buggy hypervisor shows `exit MTF` in
 * another place, not at all, or twice.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_INSTRUCTION \
	"SDM 3C, Monitor Trap Flag: pending behind the first instruction, or its first iteration"
#define RULE_EVENT \
	"SDM 3C, Monitor Trap Flag: where an event is delivered instead, pending behind that delivery"
#define RULE_EXIT "SDM 3C, Monitor Trap Flag: none where another VM exit comes first"
#define RULE_TF \
	"SDM 3C, Monitor Trap Flag, Saving Non-Register State: before debug-trap exceptions, which stay pending"
#define RULE_SHADOW \
	"SDM 3C, Monitor Trap Flag: not inhibited by STI or MOV SS, whose shadow is saved"
#define RULE_OTHER \
	"SDM 3C, Injection of Pending MTF VM Exits: before the first instruction, whatever the flag says"

#define CALL "vmcall"
#include "vmx_state.h"

static uint64_t interruptibility_at_exit, pending_at_exit, activity_at_exit, rcx_at_exit;

/* The first time it is cleared: what comes behind is L2's own. */
static enum l2_action note_mtf(struct l2 *v)
{
	if (vmx_reason(v) != VMX_MTF)
		return L2_UNEXPECTED;
	interruptibility_at_exit = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	pending_at_exit = vmread(VMCS_GUEST_PENDING_DEBUG);
	activity_at_exit = vmread(VMCS_GUEST_ACTIVITY);
	rcx_at_exit = v->regs.rcx;
	check(!(vmread(VMCS_VECTORING_EVENT) & L2_EVENT_VALID),
	      "the IDT-vectoring information is valid at an MTF exit");
	vmclear_bits(VMCS_CPU_CONTROLS, CPU_MTF);
	vmwrite(VMCS_GUEST_ACTIVITY, 0);
	return L2_RESUME;
}

static void begin(void)
{
	need_of_machine(vmx_limits(VMCS_CPU_CONTROLS) >> 32 & CPU_MTF, "monitor trap flag");
	nothing_in();
	in.cpu = CPU_MTF;
	interruptibility_at_exit = pending_at_exit = activity_at_exit = rcx_at_exit = ~0ul;
	l2_setup.show_exits = true;
	l2_setup.on_exit = note_mtf;
}

static void check_state(uint64_t interruptibility, uint64_t pending, uint64_t activity)
{
	check(interruptibility_at_exit == interruptibility && pending_at_exit == pending &&
		      activity_at_exit == activity,
	      "at the exit interruptibility is %#lx, pending debug exceptions %#lx, activity %#lx",
	      interruptibility_at_exit, pending_at_exit, activity_at_exit);
}

/* -- Instructions. ----------------------------------------------------------------------------- */

SNIPPET(nops, "mark call; vmcall; mark target; nop; mark after; nop; mark third; nop");
SNIPPET(sti_insn, "mark call; vmcall; mark target; sti; mark after; nop; mark third; cli");
SNIPPET(movss_insn, "mov %ss, %eax; mark call; vmcall; mark target; mov %eax, %ss; mark after; nop; mark third; nop");
SNIPPET(ud_insn, "mark call; vmcall; mark target; ud2; mark after; nop");
SNIPPET(int3_insn, "mark call; vmcall; mark target; int3; mark after; nop");
SNIPPET(int_n_insn, "mark call; vmcall; mark target; int $0x80; mark after; nop");
SNIPPET(int1_insn, "mark call; vmcall; mark target; .byte 0xf1; mark after; nop");
SNIPPET(rep_insn, "mov $3, %ecx; mark call; vmcall; mark target; rep lodsb; mark after; nop");
SNIPPET(cpuid_insn, "mark call; vmcall; mark target; cpuid; mark after; nop; mark third; nop");
SNIPPET(popf_insn, "pushf; mark call; vmcall; mark target; popf; mark after; nop");

#define INSTRUCTION(name, environments, rule, bugs, trace) \
	CASE(name, environments, rule, bugs)               \
	{                                                  \
		begin();                                   \
		expect(trace);                             \
		run(name##_insn);                          \
	}

CASE(nop, CPL0, RULE_INSTRUCTION, CATCHES("bochs-no-mtf"))
{
	begin();
	expect("exit MTF@after");
	run(nops);
	check_state(0, 0, 0);
}

CASE(sti, CPL0, RULE_SHADOW, CATCHES("bochs-no-mtf"))
{
	begin();
	expect("exit MTF@after");
	run(sti_insn);
	check_state(BLOCKED_BY_STI, 0, 0);
}

CASE(movss, CPL0, RULE_SHADOW, CATCHES("bochs-no-mtf"))
{
	begin();
	expect("exit MTF@after");
	run(movss_insn);
	check_state(BLOCKED_BY_MOV_SS, 0, 0);
}

CASE(rep, CPL0, RULE_INSTRUCTION, CATCHES("bochs-no-mtf"))
{
	begin();
	setup.regs.rsi = (uint64_t)&nops;
	expect("exit MTF@target");
	run(rep_insn);
	check(rcx_at_exit == 2, "RCX is %lu at the exit, not 2", rcx_at_exit);
}

INSTRUCTION(popf, CPL0, RULE_INSTRUCTION, CATCHES("bochs-no-mtf"), "exit MTF@after")
INSTRUCTION(ud, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"), "exit MTF@handler[0x6], #UD@target")
INSTRUCTION(int3, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"), "exit MTF@handler[0x3], #BP@after")
INSTRUCTION(int_n, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"),
	    "exit MTF@handler[0x80], int 0x80@after")
INSTRUCTION(int1, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"), "exit MTF@handler[0x1], #DB[]@after")

/* The exit of CPUID is the layer's, which carries it out. */
CASE(cpuid, CPL0, RULE_EXIT, CATCHES("bochs-no-mtf"))
{
	begin();
	expect("exit CPUID@target, exit MTF@third");
	run(cpuid_insn);
}

CASE(tf, CPL0, RULE_TF, CATCHES("bochs-no-mtf"))
{
	begin();
	in.rflags = X86_EFLAGS_TF;
	expect("exit MTF@after, #DB[BS]@after, #DB[BS]@third, #DB[BS]@end");
	run(nops);
	check_state(0, DR6_BS, 0);
}

CASE(breakpoint_behind, CPL0, RULE_TF, CATCHES("bochs-no-mtf"))
{
	begin();
	breakpoint_set(0, mark_address(&nops, "after"), BREAK_CODE, 1);
	expect("exit MTF@after, #DB[B0]@after");
	run(nops);
}

/* -- Events. ----------------------------------------------------------------------------------- */

CASE(injected, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"))
{
	static const uint32_t events[] = {L2_INTR | 0x50, L2_NMI | VECTOR_NMI,
					  L2_EXCEPTION | VECTOR_UD, L2_EXCEPTION | VECTOR_DB};

	expect("exit MTF@handler[0x50], extint 0x50@target; exit MTF@handler[0x2], nmi@target; "
	       "exit MTF@handler[0x6], #UD@target; exit MTF@handler[0x1], #DB[]@target");
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		begin();
		in.rflags = X86_EFLAGS_IF;
		in.event = events[i];
		setup.leave_after = 1;
		run(nops);
	}
}

CASE_NEEDS("apic=1", pending_interrupt, CPL0, RULE_EVENT,
	   CATCHES("bochs-no-mtf bochs-mtf-interrupt"))
{
	begin();
	apic_enable(0);
	in.rflags = X86_EFLAGS_IF;
	in.pend = true;
	expect("exit MTF@handler[0x31], intr 0x31@target");
	run(nops);
}

CASE(pending_debug, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"))
{
	begin();
	in.pending_debug = DR6_BS;
	expect("exit MTF@handler[0x1], #DB[BS]@target");
	run(nops);
}

CASE(breakpoint_before, CPL0, RULE_EVENT, CATCHES("bochs-no-mtf"))
{
	begin();
	breakpoint_set(0, mark_address(&nops, "target"), BREAK_CODE, 1);
	expect("exit MTF@handler[0x1], #DB[B0]@target");
	run(nops);
}

CASE(interrupt_window, CPL0, RULE_EXIT, "")
{
	begin();
	in.rflags = X86_EFLAGS_IF;
	in.cpu |= CPU_INTERRUPT_WINDOW;
	expect("exit INTR_WINDOW@target");
	run(nops);
}

/* -- Injected by itself. ----------------------------------------------------------------------- */

#define OTHER_EVENT (7u << 8)

CASE(injected_mtf, CPL0, RULE_OTHER, CATCHES("bochs-mtf-type7"))
{
	begin();
	in.cpu = 0;
	in.event = OTHER_EVENT;
	expect("exit MTF@target");
	run(nops);
	check_state(0, 0, 0);
}

/* It is before what else is due there, and nothing of that is lost. */
CASE_NEEDS("apic=1", injected_mtf_and_interrupt, CPL0, RULE_OTHER, CATCHES("bochs-mtf-type7"))
{
	begin();
	apic_enable(0);
	in.cpu = 0;
	in.event = OTHER_EVENT;
	in.rflags = X86_EFLAGS_IF;
	in.pend = true;
	expect("exit MTF@target, intr 0x31@target");
	run(nops);
}
