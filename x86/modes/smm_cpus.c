/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SMI that another CPU sends: at any instruction, also behind STI and MOV SS, in the middle of a string, in HLT.
 *
 * The rule. STI and MOV SS hold interrupts back until the next instruction is done. No manual says that an SMI has to
 * wait as well; if one comes there, RSM goes back to the same place, and the instruction is still to be done first.
 * Between iterations of a string instruction RIP is on it, and RCX has what is left. In HLT the saved state says so
 * (auto-HALT restart); RSM goes back to sleep, unless the handler has cleared it: then execution goes on behind HLT.
 *
 * The bug that taught it. KVM kept no shadow over an SMI before Linux 6.2: on AMD it was lost, so that an interrupt came
 * between STI and HLT and the CPU slept over it; on Intel it was still there in the handler, whose entry then failed.
 *
 * The handler of the SMI sends the interrupt, so it is pending at RSM, whichever instruction that goes back to. The
 * saved RIP is the witness of where it was. What a buggy hypervisor shows: `smi@shadow, intr 0x31@shadow`.
 */
#include "smm_cases.h"

#define RULE_SHADOW \
	"SDM 2B, STI: interrupts wait until the next instruction is done; SDM 3C, Exiting From SMM: RSM goes back to where it was"
#define RULE_MOVSS \
	"SDM 3A, Masking Exceptions and Interrupts When Switching Stacks: until the instruction behind MOV SS is done; RSM goes back to where it was"
#define RULE_HALT \
	"SDM 3C, Auto HALT Restart: an SMI in HLT sets it; if it is set, RSM goes back to HLT, and behind it if the handler has cleared it"
#define RULE_STRING \
	"SDM 3C, Entering SMM: at an instruction boundary, or between the iterations of a string instruction"

/* Where CPUs share one of the host's, a run may take half a second. */
#define RUNS (args.waits_yield ? 16u : 128u)

static struct {
	volatile uint32_t ready; /* the snippet is about to do it */
	volatile bool here, stop;
	volatile uint32_t last; /* the interrupt behind the SMI is on its way */
	volatile bool ended;
	bool hit;
	uint64_t shadow;

} now;

static void send_to_first(uint32_t command)
{
	apic_icr(percpu[0].apic_id, command | ICR_ASSERT);
}

/* -- In a shadow. ------------------------------------------------------------------------------ */

/* One SMI for each time that the first CPU is ready. */
static void send_smis(void *argument)
{
	(void)argument;
	while (!now.stop) {
		if (!wait_until(now.ready || now.stop) || now.stop)
			return;
		now.ready = false;
		send_to_first(ICR_SMI);
	}
}

static enum action end_run(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	now.hit = smm->count && smm_saved(0, SMM_RIP) == now.shadow;
	smm_into_trace();
	smm->count = 0;
	frame->regs.rcx = 1;
	return RESUME;
}

static void prepare_shadow(const struct snippet *snippet, uint32_t command)
{
	prepare_smi(0);
	memset(&now, 0, sizeof(now));
	smm->icr = command | ICR_ASSERT;
	smm->actions[0] = SMM_SEND;
	now.shadow = mark_address(snippet, "shadow");
	if (environment_is_16())
		now.shadow -= LOW_BASE;
	setup.hook = end_run;
	setup.regs.rcx = LOOPS;
	setup.regs.rsi = stack_selector();
	setup.regs.rdi = (uint64_t)&now.ready;
	grant_iopl();
}

/* Until an SMI has come in the shadow; that run is the trace. */
static void run_shadows(const struct snippet *snippet)
{
	struct regs regs = setup.regs;
	unsigned runs = 0;

	cpu_start_work(1, send_smis, NULL);
	apic_write(APIC_ICR_HIGH, apic_id() << 24); /* the handler's */
	for (;;) {
		setup.regs = regs;
		if (!run_snippet(snippet) || now.hit || ++runs == RUNS)
			break;
		trace_forget(this_recording()->trace);
	}
	now.stop = true;
	cpu_wait(1);
	need(now.hit, "no witness: no SMI in the shadow in %u runs", runs);
}

/* An odd number of instructions: where CPUs take turns after so many, an SMI comes behind each of them. */
SNIPPET(sti_loop, "movl $1, (%edi); 1: sti; mark shadow; nop; mark after; nop; nop; cli\n"
		  "dec %ecx; jnz 1b; mark late; nop");

CASE_NEEDS("cpus=2", sti_shadow, CPL0 | CPL3 | LEGACY_CPL0, RULE_SHADOW,
	   CATCHES("kvm-smm-int-shadow tcg-smm-shadow bochs-smm-shadow"))
{
	need_native("the SMI is about L1");
	prepare_shadow(&sti_loop, ICR_FIXED | PENDING);
	expect("smi@shadow, intr 0x31@after");
	run_shadows(&sti_loop);
}

SNIPPET(movss_loop, "movl $1, (%edi); 1: mov %esi, %ss; mark shadow; nop; mark after; nop\n"
		    "dec %ecx; jnz 1b; mark late; nop");

static void movss_shadow(uint32_t command)
{
	need_native("the SMI is about L1");
	prepare_shadow(&movss_loop, command);
	setup.rflags |= X86_EFLAGS_IF;
	run_shadows(&movss_loop);
}

CASE_NEEDS("cpus=2", movss_shadow, CPL0 | CPL3 | LEGACY_CPL0, RULE_MOVSS,
	   CATCHES("kvm-smm-int-shadow tcg-smm-shadow bochs-smm-shadow"))
{
	expect("smi@shadow, intr 0x31@after");
	movss_shadow(ICR_FIXED | PENDING);
}

CASE_NEEDS("cpus=2", movss_shadow_nmi, CPL0 | CPL3 | LEGACY_CPL0, RULE_MOVSS,
	   CATCHES("kvm-smm-int-shadow tcg-smm-shadow bochs-smm-shadow"))
{
	expect("smi@shadow, nmi@after");
	movss_shadow(ICR_NMI);
}

/* -- In HLT. ----------------------------------------------------------------------------------- */

/* An SMI, and when it is over an interrupt. */
static void send_both(void *argument)
{
	(void)argument;
	if (!wait_until(now.ready))
		return;
	stays(now.ready);
	send_to_first(ICR_SMI);
	wait_until(smm->count);
	stays(!now.ended);
	now.last = 1;
	if (!now.ended)
		send_to_first(ICR_FIXED | PENDING);
}

SNIPPET(halt, "movl $1, (%edi); sti; mark halt; hlt; mark after; mov (%esi), %ebx; cli; movb $1, (%edx)");

/* `cleared`: offset of auto-HALT restart, for the handler to clear it, or 0. */
static void run_halted(unsigned cleared)
{
	need_native("the SMI is about L1");
	prepare_smi(0);
	memset(&now, 0, sizeof(now));
	if (cleared) {
		smm->poke_at = cleared;
		smm->actions[0] = SMM_POKE_BYTE;
	}
	setup.regs.rdi = (uint64_t)&now.ready;
	setup.regs.rsi = (uint64_t)&now.last;
	setup.regs.rdx = (uint64_t)&now.ended;
	cpu_start_work(1, send_both, NULL);
	run(halt);
	cpu_wait(1);
	witness(smm->count == 1, "%u SMIs", smm->count);
	/* Behind HLT there is nothing else to wait for. */
	witness(smm_saved(0, SMM_RIP) == mark_address(&halt, "after"),
		"the SMI did not come in HLT");
	check(smm_saved(0, SMM_AUTO_HALT) & 1,
	      "auto-HALT restart is not set, and the CPU was in HLT");
	smm_into_trace();
}

CASE_NEEDS("cpus=2", halt_restarted, RING0, RULE_HALT,
	   CATCHES("kvm-smm-auto-halt tcg-smm-auto-halt bochs-smm-auto-halt"))
{
	expect("smi@after, intr 0x31@after");
	run_halted(0);
	check((uint32_t)setup.result.rbx == 1, "HLT ended before the interrupt came");
}

static unsigned offset_of_auto_halt(void)
{
	need_smi();
	apic_icr(apic_id(), ICR_SMI | ICR_ASSERT);
	witness(wait_until(smm->count), "no SMI was taken");
	return smm_offset(SMM_AUTO_HALT);
}

CASE_NEEDS("cpus=2", halt_not_restarted, RING0, RULE_HALT,
	   CATCHES("kvm-smm-auto-halt tcg-smm-auto-halt bochs-smm-auto-halt"))
{
	unsigned offset = offset_of_auto_halt();

	expect("smi@after");
	run_halted(offset);
	check((uint32_t)setup.result.rbx == 0, "the CPU went back to HLT");
}

/* -- Between iterations. ----------------------------------------------------------------------- */

#define BYTES 0x200000u
#define STRINGS 8

static void send_one(void *argument)
{
	(void)argument;
	now.here = true;
	if (wait_until(now.ready))
		send_to_first(ICR_SMI);
}

SNIPPET(string, "mark first; movl $1, (%edi); mark insn; rep lodsb; mark after; nop");

static bool was_between(void)
{
	uint64_t left = smm_saved(0, SMM_RCX), rip = smm_saved(0, SMM_RIP);

	return smm->count && left && left != BYTES && rip >= mark_address(&string, "first") &&
	       rip < mark_address(&string, "after");
}

static void run_string(void)
{
	prepare_smi(0);
	memset(&now, 0, sizeof(now));
	setup.regs.rdi = (uint64_t)&now.ready;
	setup.regs.rsi = IMAGE_BASE;
	setup.regs.rcx = BYTES;
	cpu_start_work(1, send_one, NULL);
	wait_until(now.here);
	run(string);
	cpu_wait(1);
	check(!setup.result.rcx && setup.result.rsi == IMAGE_BASE + BYTES,
	      "it ended with RCX %#lx and RSI %#lx", setup.result.rcx, setup.result.rsi);
}

CASE_NEEDS("cpus=2", string, CPL0 | CPL3 | COMPAT | LEGACY_CPL0, RULE_STRING, CATCHES(""))
{
	unsigned runs = 0;
	uint64_t left;

	need_native("the SMI is about L1");
	allow_run("(none)");
	do
		run_string();
	while (!was_between() && ++runs < STRINGS);
	witness(was_between(), "in %u runs no SMI came between two iterations", runs);
	left = smm_saved(0, SMM_RCX);
	check(!was_between() || smm_saved(0, SMM_RIP) == mark_address(&string, "insn"),
	      "with iterations left, RIP is %#lx", smm_saved(0, SMM_RIP));
	check(!was_between() || smm_saved(0, SMM_RSI) == IMAGE_BASE + BYTES - left,
	      "with %#lx iterations left, RSI is %#lx", left, smm_saved(0, SMM_RSI));
}
