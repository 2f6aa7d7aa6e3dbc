/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * #VC among other events: within a handler, with an NMI in the middle, on two CPUs at once, and forged.
 *
 * The rule is that of vc.c. A #VC may come in any handler, and an NMI in that of a #VC: each has its stack, and
 * what one has in the GHCB is there again when the other is over. Each CPU has a GHCB of its own. A #VC whose
 * error code does not belong to the instruction at RIP was made by the hypervisor, and is not served ("WeSee",
 * CVE-2024-25742, -25743, -25744). What comes in the middle of a call by hand is in vc_vmgexit.c.
 *
 * https://ahoi-attacks.github.io/wesee/
 */
#include "vc_handler.h"

#include "ask_model.h"

#define RULE_FIT \
	"GHCB 3, #VC: an exit code that does not belong to the instruction at RIP is the hypervisor's own"
#define RULE_NEST "APM 2, #VC Exception: as any fault, also within a handler"

#define MSR_SYSENTER_ESP 0x175

/* -- Nesting. ---------------------------------------------------------------------------------- */

SNIPPET(int3_insn, "mark insn; int3; mark after; nop");
SNIPPET(ud_insn, "mark insn; ud2; mark after; nop");
SNIPPET(nop_insn, "mark insn; nop; mark after; nop");

static uint32_t prepare_handler(void)
{
	uint32_t id = identification();

	need_native(GUEST_NEEDS_NATIVE);
	need_of_machine(id != 0xffffffff, "PCI host bridge");
	in_handler = 0;
	setup.hook = port_in_handler;
	return id;
}

#define BUGS_NEST CATCHES("model-ghcb-output-not-valid")

CASE(inside_handler, IN_LONG_MODE, RULE_NEST, BUGS_NEST)
{
	uint32_t id = prepare_handler();

	expect("#BP@after");
	run(int3_insn);
	check(in_handler == id, "EAX is %#x, not %#x", in_handler, id);
}

CASE(inside_fault, IN_LONG_MODE, RULE_NEST, BUGS_NEST)
{
	uint32_t id = prepare_handler();

	expect("#UD@insn");
	run(ud_insn);
	check(in_handler == id, "EAX is %#x, not %#x", in_handler, id);
}

/* Under SEV-ES the #DB is itself a #VC first. */
CASE(inside_debug, IN_LONG_MODE, RULE_NEST, BUGS_NEST)
{
	uint32_t id = prepare_handler();

	setup.rflags = X86_EFLAGS_TF;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(nop_insn);
	check(in_handler == id, "EAX is %#x, not %#x", in_handler, id);
}

/* What waits counts in ECX. */
SNIPPET(cpuid_and_int_29, ".byte 0x51; mark insn; cpuid; mark int_29; int $29; mark after_int; .byte 0x59\n"
			  "sti; nop; " WAIT);

/* Only the exception pushes an error code; the library's handler tells them apart by that. */
CASE_NEEDS("apic=1", vector_29, IN_LONG_MODE,
	   "APM 2, #VC Exception: a fault with an error code; an IPI on 29 and INT 29 are neither",
	   CATCHES("model-ipi-as-int-n"))
{
	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	grant_iopl();
	expect("[0x1d] irr=0x1, #VC(0x72)@insn, int v@after_int, intr v@wait");
	subject_begin(VECTOR_VC);
	interrupt_pending(VECTOR_VC);
	observe("irr", apic_bit(APIC_IRR, VECTOR_VC));
	run_until(cpuid_and_int_29, 1);
	subject_end();
}

/* EBX: the command; EBP: the ICR. */
SNIPPET(nmi_by_mmio, "mark insn; mov %ebx, (%ebp); area wait; " WAIT);

/* The NMI comes while the store is served; its handler uses the GHCB itself. */
CASE_NEEDS("apic=1", nmi_inside, IN_LONG_MODE, RULE_NEST,
	   CATCHES("model-nmi-lost model-ghcb-nmi-complete-ignored"))
{
	uint32_t id = prepare_handler();

	expect("nmi@wait x3");
	for (unsigned i = 0; i < 3; i++) {
		in_handler = 0;
		apic_write(APIC_ICR_HIGH, apic_id() << 24);
		setup.regs.rbp = 0xfee00000 + APIC_ICR;
		setup.regs.rbx = ICR_NMI | ICR_ASSERT;
		run_until(nmi_by_mmio, 1);
		check(in_handler == id, "EAX is %#x, not %#x", in_handler, id);
	}
}

/* -- Alignment checks, which KVM intercepts. --------------------------------------------------- */

SNIPPET(unaligned, "mark insn; mov (%ebx), %ecx; mark after; nop");

CASE(alignment_check, CPL3 | COMPAT,
     "SDM 3A, Alignment Check Exception (#AC): a fault with error code 0; GHCB 3.2: #VC(0x51) before it",
     CATCHES("tcg-no-alignment-check"))
{
	static uint64_t word;

	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	setup.rflags = X86_EFLAGS_AC;
	setup.regs.rbx = (uint64_t)&word + 1;
	expect(sev_is_es() ? "#VC(0x51)@insn, #AC(0x0)@insn" : "#AC(0x0)@insn");
	write_cr0(read_cr0() | X86_CR0_AM);
	run(unaligned);
	write_cr0(read_cr0() & ~(uint64_t)X86_CR0_AM);
}

/* -- Two CPUs. --------------------------------------------------------------------------------- */

#define LEAST_ROUNDS 20

static volatile bool stop;
static volatile unsigned rounds, wrong;

/* A register that each CPU has for itself, and a new value each time. */
static bool msr_is_own(unsigned n)
{
	uint64_t value = 0xffff800000000000ul + this_cpu()->index * 0x100000 + n;

	wrmsr(MSR_SYSENTER_ESP, value);
	return rdmsr(MSR_SYSENTER_ESP) == value;
}

static void keep_asking(void *argument)
{
	(void)argument;
	while (!stop) {
		wrong += !msr_is_own(rounds);
		rounds++;
		wait_relax();
	}
	wrmsr(MSR_SYSENTER_ESP, 0);
}

CASE_NEEDS("cpus=2", two_cpus, CPL0, "GHCB 2.6: each CPU has a GHCB of its own",
	   CATCHES("model-ghcb-one-for-all"))
{
	unsigned mine = 0, begun = 0, i = 0;
	uint64_t end;

	need_native(GUEST_NEEDS_NATIVE);
	stop = false;
	rounds = wrong = 0;
	cpu_start_work(1, keep_asking, NULL);
	witness(wait_until(rounds), "CPU 1 did not begin");
	begun = rounds;
	end = rdtsc() + DEADLINE_TICKS;
	for (; i < LEAST_ROUNDS || (rounds == begun && rdtsc() < end); i++) {
		mine += !msr_is_own(i);
		wait_relax();
	}
	witness(rounds != begun, "CPU 1 did nothing while CPU 0 asked");
	stop = true;
	check(cpu_wait(1), "CPU 1 did not come back within the deadline");
	wrmsr(MSR_SYSENTER_ESP, 0);
	check(!mine, "%u of %u values were not those of CPU 0", mine, i);
	check(!wrong, "%u of %u values were not those of CPU 1", wrong, rounds);
}

/* -- A hypervisor that lies about the exit code. ----------------------------------------------- */

SNIPPET(pause_nop, "pause; mark insn; nop; mark after; nop");
SNIPPET(pause_cpuid, "pause; mark insn; cpuid; mark after; nop");

static void try_forged(const struct snippet *snippet, unsigned code)
{
	need_model(ask_model(MODEL_CALL_FORGE, code, 1, 0));
	poison();
	expect("#VC(%#x)@insn", code);
	run_snippet(snippet);
	ask_model(MODEL_CALL_BEHAVE, 0, 0, 0);
	check_others(0);
}

CASE(forged_vmmcall, IN_LONG_MODE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_nop, SVM_EXIT_VMMCALL);
}

CASE(forged_msr, IN_LONG_MODE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_cpuid, SVM_EXIT_MSR);
}

CASE(forged_mmio, IN_LONG_MODE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_nop, SVM_EXIT_NPF);
}

CASE(forged_interrupt, IN_LONG_MODE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_nop, 0x60);
}
