/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System management mode: what an SMI must leave as it was, and what waits for RSM.
 *
 * The rule. An SMI saves the CPU's state at SMBASE and runs a handler in 16-bit code with interrupts, NMIs, traps and
 * breakpoints off; RSM loads all of it again, and the code that was interrupted sees nothing of it. What comes
 * meanwhile waits: one SMI, one NMI, interrupts. An IRET within SMM lets NMIs in, there and then. RSM anywhere else is
 * #UD. SMIs go before debug exceptions, NMIs and interrupts.
 *
 * The bugs that taught it. A hypervisor carries an SMI out in its own code, and much of what a CPU knows is no
 * register: KVM kept the shadow of STI for the SMI's handler, where an entry then failed, or lost it (before 6.2), and
 * cut RIP to 32 bits at RSM. Firmware and its drivers find out.
 *
 * The CPU sends the SMI to itself by its APIC; the default SMBASE is memory like any other as long as no firmware has
 * locked it. What the handler is and writes down: lib/x86/modes/smm.h. A machine without SMIs lacks these cases.
 */
#include "smm_cases.h"

#define RULE_TRANSPARENT \
	"SDM 3C, Exiting From SMM: RSM restores the context, and the program goes on where it was"
#define RULE_ENTRY \
	"SDM 3C, Entering SMM: the state of the CPU is saved, and set to what SMM begins with"
#define RULE_RSM "SDM 2B, RSM: #UD if it is executed outside of SMM"
#define RULE_LATCHED \
	"SDM 3C, Entering SMM: one SMI that arrives in SMM is latched and taken when RSM has left it"
#define RULE_NMI \
	"SDM 3C, NMI Handling While in SMM: NMIs are blocked in SMM, and one that came is taken behind RSM"
#define RULE_NMI_KEPT \
	"SDM 3C, NMI Handling While in SMM: if NMIs were blocked before the SMI, they are blocked behind RSM"
#define RULE_NMI_IRET \
	"SDM 3C, NMI Handling While in SMM: IRET within SMM enables NMIs, which are served there"
#define RULE_INSIDE \
	"SDM 3C, Exceptions and Interrupts Within SMM: through the table that the handler loads, as in real mode"
#define RULE_PRIORITY \
	"SDM 3C, Entering SMM: an SMI is handled before debug exceptions and interrupts, which are not lost"
#define RULE_WRITABLE \
	"SDM 3C, SMRAM State Save Map: what the handler writes into the saved state is what RSM loads"

#define IN_MOST ALL_NATIVE | BIG_REAL

SNIPPET(send, "mark insn\n" SEND WAIT_FOR_SMI);

/* -- Nothing is seen of it. -------------------------------------------------------------------- */

static void check_saved(void)
{
	uint64_t flags = X86_EFLAGS_FIXED | setup.rflags;

	check((smm_saved(0, SMM_RFLAGS) & ~0x8d5ul) == flags, "saved RFLAGS: %#lx, must be %#lx",
	      smm_saved(0, SMM_RFLAGS), flags);
	check((uint32_t)smm_saved(0, SMM_RSI) == (uint32_t)setup.regs.rsi,
	      "saved RSI: %#lx, must be %#lx", smm_saved(0, SMM_RSI), setup.regs.rsi);
	check(!(smm_saved(0, SMM_AUTO_HALT) & 1), "auto-HALT restart is set, and there was no HLT");
	check(!smm_saved(0, SMM_IO_RESTART), "I/O restart is set");
	if (in_other_mode()) {
		check(!(smm_saved(0, SMM_EFER) & EFER_LMA), "saved EFER has LMA: %#lx",
		      smm_saved(0, SMM_EFER));
		return;
	}
	check(smm_saved(0, SMM_CR0) == read_cr0(), "saved CR0: %#lx", smm_saved(0, SMM_CR0));
	check(smm_saved(0, SMM_CR3) == read_cr3(), "saved CR3: %#lx", smm_saved(0, SMM_CR3));
	check(smm_saved(0, SMM_EFER) == rdmsr(MSR_EFER), "saved EFER: %#lx",
	      smm_saved(0, SMM_EFER));
	check(smm_saved(0, SMM_DR7) == read_dr7(), "saved DR7: %#lx", smm_saved(0, SMM_DR7));
	if (smm_offset(SMM_CR4))
		check(smm_saved(0, SMM_CR4) == read_cr4(), "saved CR4: %#lx",
		      smm_saved(0, SMM_CR4));
}

CASE(transparent, IN_MOST, RULE_TRANSPARENT, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	expect("smi@sent");
	run_with_smis(&send, 1);
}

#define CR0_CLEARED (X86_CR0_PE | 1u << 2 | 1u << 3 | X86_CR0_PG) /* EM and TS are 2 and 3 */

/* SDM 3C, "Processor Register Initialization in SMM"; APM 2, "SMM Execution Environment". */
static void check_entry(void)
{
	const volatile struct smm_seen *seen = &smm_seen[0];

	check(!(seen->cr0 & CR0_CLEARED), "CR0 is %#x in SMM: PE, EM, TS or PG is set", seen->cr0);
	check(!seen->cr4, "CR4 is %#x in SMM, must be 0", seen->cr4);
	check(seen->dr7 == DR7_CLEAR, "DR7 is %#x in SMM, must be 0x400", seen->dr7);
	check(!(seen->efer & ~EFER_SVME), "EFER is %#x in SMM", seen->efer);
	check(seen->eflags == X86_EFLAGS_FIXED, "EFLAGS is %#x in SMM, must be 0x2", seen->eflags);
	check(seen->cs == SMM_SELECTOR, "CS is %#x in SMM, must be 0x3000", seen->cs);
	check(smm_saved(0, SMM_BASE) == SMBASE, "the saved SMBASE is %#lx, must be 0x30000",
	      smm_saved(0, SMM_BASE));
}

CASE(entry, IN_MOST, RULE_ENTRY, CATCHES("tcg-cr4-intercept"))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	expect("smi@sent");
	run_with_smis(&send, 1);
	check_entry();
}

CASE(saved, IN_MOST, RULE_ENTRY, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	grant_iopl();
	setup.rflags |= X86_EFLAGS_DF;
	expect("smi@sent");
	run_with_smis(&send, 1);
	check_saved();
}

#define FS_BASE_BEFORE 0x123456789000ul

CASE(fs_base, CPL0, RULE_TRANSPARENT, CATCHES(""))
{
	uint64_t base = rdmsr(MSR_FS_BASE);

	need_native("the SMI is about L1");
	prepare_smi(1);
	wrmsr(MSR_FS_BASE, FS_BASE_BEFORE);
	expect("smi@sent");
	run_with_smis(&send, 1);
	check(rdmsr(MSR_FS_BASE) == FS_BASE_BEFORE, "FS.base is %#lx behind RSM, was %#lx",
	      rdmsr(MSR_FS_BASE), FS_BASE_BEFORE);
	wrmsr(MSR_FS_BASE, base);
}

/* The same memory, above the addresses that 32-bit code has. */
#define HIGH_ENTRY 256
#define HIGH_BASE 0xffff800000000000ul

CASE(high_rip, CPL0, RULE_TRANSPARENT, CATCHES("kvm-rsm-rip32"))
{
	uint64_t *top = (uint64_t *)(read_cr3() & PTE_ADDRESS);

	need_native("the SMI is about L1");
	prepare_smi(1);
	top[HIGH_ENTRY] = top[0];
	setup.address = (void *)(HIGH_BASE + (uint64_t)snippet_code(&send)->start);
	setup.placed = true;
	notation_name("below_4g", (uint64_t)snippet_code(&send)->start, 1ul << 12);
	expect("smi@sent");
	run_with_smis(&send, 1);
	top[HIGH_ENTRY] = 0;
	write_cr3(read_cr3());
}

SNIPPET(send_and_trap, "mark insn\n" SEND WAIT_FOR_SMI "\nmark broken; nop; nop");

CASE(breakpoints, CPL0, RULE_TRANSPARENT, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	write_dr0(mark_address(&send_and_trap, "broken"));
	write_dr1(SMBASE + SMM_ENTRY);
	write_dr7(DR7_CLEAR | 1 | 4);
	expect("smi@sent, #DB[B0]@broken");
	run_with_smis(&send_and_trap, 1);
	check(read_dr1() == SMBASE + SMM_ENTRY, "DR1 is %#lx behind RSM", read_dr1());
	check(read_dr7() == (DR7_CLEAR | 1 | 4), "DR7 is %#lx behind RSM", read_dr7());
	write_dr7(DR7_CLEAR);
}

/* -- What it coincides with. ------------------------------------------------------------------- */

static enum action end_steps(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	frame->iret.rflags &= ~(uint64_t)X86_EFLAGS_TF;
	return RESUME;
}

CASE(stepped, ALL_NATIVE, RULE_PRIORITY, CATCHES("bochs-smm-db"))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	setup.rflags = X86_EFLAGS_TF;
	setup.hook = end_steps;
	expect("#DB[BS]@sent");
	run(send);
	took_smis(1);
	check(!smm->events, "the #DB was delivered within SMM");
}

SNIPPET(send_then_sti, "mark insn\n" SEND WAIT_FOR_SMI "\nsti; mark shadow; nop; mark behind; nop; cli");

CASE(pending_interrupt, IN_MOST, RULE_PRIORITY, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	interrupt_pending(PENDING);
	apic_write(APIC_ICR_HIGH, apic_id() << 24);
	grant_iopl();
	expect("smi@sent, intr 0x31@behind");
	run_with_smis(&send_then_sti, 1);
}

CASE(interrupt_sent_inside, IN_MOST, RULE_PRIORITY, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	smm->icr = ICR_FIXED | ICR_ASSERT | PENDING;
	smm->actions[0] = SMM_SEND;
	setup.rflags = X86_EFLAGS_IF;
	expect("smi@sent, intr 0x31@sent");
	run_with_smis(&send, 1);
}

CASE(interrupt_sent_inside_if0, IN_MOST, RULE_PRIORITY, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	smm->icr = ICR_FIXED | ICR_ASSERT | PENDING;
	smm->actions[0] = SMM_SEND;
	grant_iopl();
	expect("smi@sent, intr 0x31@behind");
	run_with_smis(&send_then_sti, 1);
}

CASE(smi_sent_inside, IN_MOST, RULE_LATCHED, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(2);
	smm->icr = ICR_SMI | ICR_ASSERT;
	smm->actions[0] = SMM_SEND;
	expect("smi@sent, smi@sent");
	run_with_smis(&send, 2);
}

CASE(two_smis_sent_inside, IN_MOST, RULE_LATCHED, CATCHES(""))
{
	need_native("the SMI is about L1");
	prepare_smi(2);
	smm->icr = ICR_SMI | ICR_ASSERT;
	smm->actions[0] = SMM_SEND | SMM_SEND_AGAIN;
	expect("smi@sent, smi@sent");
	run_with_smis(&send, 2);
}

/* -- NMIs. ------------------------------------------------------------------------------------- */

static void nmis_inside(uint32_t actions)
{
	need_native("the SMI is about L1");
	prepare_smi(1);
	smm->icr = ICR_NMI | ICR_ASSERT;
	smm->actions[0] = actions;
}

CASE(nmi_sent_inside, IN_MOST, RULE_NMI, CATCHES(""))
{
	nmis_inside(SMM_SEND);
	expect("smi@sent, nmi@sent");
	run_with_smis(&send, 1);
	check(!smm->events, "%u events were delivered within SMM", smm->events);
}

CASE(two_nmis_sent_inside, IN_MOST, RULE_NMI, CATCHES(""))
{
	nmis_inside(SMM_SEND | SMM_SEND_AGAIN);
	expect("smi@sent, nmi@sent");
	run_with_smis(&send, 1);
}

CASE(iret_inside_lets_nmi_in, IN_MOST, RULE_NMI_IRET, CATCHES(""))
{
	nmis_inside(SMM_SEND | SMM_IRET);
	expect("smi@sent");
	run_with_smis(&send, 1);
	check(smm->events == 1 && smm->event_list[0].vector == VECTOR_NMI,
	      "%u events within SMM, the first of vector %#x; must be one NMI", smm->events,
	      smm->event_list[0].vector);
}

/* Within the handler of an NMI: an SMI, and behind it another NMI, which must wait for this handler's IRET. */
static struct {
	unsigned depth, deepest;
	bool smi_came, waited;
} nest;

static enum action smi_in_handler(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	struct trace *trace = this_recording()->trace;

	if (event->vector != VECTOR_NMI)
		return BY_RULE;
	if (nest.depth++)
		trace->events[trace->events_used - 1].rip = IMAGE_BASE; /* wherever C was */
	if (nest.depth > nest.deepest)
		nest.deepest = nest.depth;
	if (!smm->count) {
		apic_icr(apic_id(), ICR_SMI | ICR_ASSERT);
		nest.smi_came = wait_until(smm->count);
		nmi_to_self();
		give_it_time();
		nest.waited = nest.deepest == 1;
	}
	nest.depth--;
	return RESUME;
}

static void nmi_handler_with_smi(uint32_t actions)
{
	prepare_smi(0);
	notation_name("handler", IMAGE_BASE, 1);
	smm->actions[0] = actions;
	memset(&nest, 0, sizeof(nest));
	setup.regs.rax = ICR_NMI | ICR_ASSERT;
	setup.hook = smi_in_handler;
}

SNIPPET(send_nmi, "mark insn\n" SEND "area sent; 1: dec %ecx; jnz 1b; mark after; nop");

CASE(nmi_blocking_kept, ALL_NATIVE, RULE_NMI_KEPT, CATCHES("bochs-rsm-nmi"))
{
	need_native("the SMI is about L1");
	nmi_handler_with_smi(0);
	setup.regs.rcx = 100000;
	expect("nmi@sent, nmi@sent");
	run(send_nmi);
	took_smis(1);
	witness(nest.smi_came, "no SMI in the NMI's handler");
	check(nest.waited, "an NMI was delivered in the handler of another, behind an SMI");
}

/* -- Within SMM, and behind what the handler has written. -------------------------------------- */

static void check_inside(unsigned vector)
{
	check(smm->events == 1 && smm->event_list[0].vector == vector &&
		      smm->event_list[0].cs == SMM_SELECTOR,
	      "within SMM: %u events, the first of vector %#x with CS %#x", smm->events,
	      smm->event_list[0].vector, smm->event_list[0].cs);
}

#define INSIDE(name, action, vector)                             \
	CASE(name, CPL0 | LEGACY_CPL0, RULE_INSIDE, CATCHES("")) \
	{                                                        \
		need_native("the SMI is about L1");              \
		prepare_smi(1);                                  \
		smm->actions[0] = action;                        \
		expect("smi@sent");                              \
		run_with_smis(&send, 1);                         \
		check_inside(vector);                            \
	}

INSIDE(int3_inside, SMM_INT3, VECTOR_BP)
INSIDE(int_n_inside, SMM_INT_N, 0x20)
INSIDE(ud2_inside, SMM_UD2, VECTOR_UD)
INSIDE(divide_inside, SMM_DIVIDE, VECTOR_DE)

SNIPPET(rsm, "mark insn; rsm; mark after; nop");

CASE(rsm_outside, EVERYWHERE, RULE_RSM, CATCHES(""))
{
	expect("#UD@insn");
	run(rsm);
}

/* Where a field is; an SMI tells which map it is. */
static unsigned offset_of(enum smm_field field)
{
	need_smi();
	apic_icr(apic_id(), ICR_SMI | ICR_ASSERT);
	witness(wait_until(smm->count), "no SMI was taken");
	return smm_offset(field);
}

SNIPPET(send_two_ways, "mark insn\n" SEND WAIT_FOR_SMI "\nmark elsewhere; nop");

CASE(rip_written, CPL0 | CPL3 | COMPAT | LEGACY_CPL0 | LEGACY_CPL3, RULE_WRITABLE, CATCHES(""))
{
	unsigned offset;

	need_native("the SMI is about L1");
	offset = offset_of(SMM_RIP);
	prepare_smi(2); /* for ever: it is the handler that ends the wait */
	smm->poke_at = offset;
	smm->poke = mark_address(&send_two_ways, "elsewhere");
	smm->actions[0] = SMM_POKE;
	expect("smi@sent");
	run_with_smis(&send_two_ways, 1);
	check((uint32_t)setup.result.rcx > 0,
	      "the handler wrote another RIP, and RSM did not go there");
}

#define WRITTEN 0x12345678

CASE(rax_written, IN_MOST, RULE_WRITABLE, CATCHES(""))
{
	unsigned offset;

	need_native("the SMI is about L1");
	offset = offset_of(SMM_RAX);
	prepare_smi(1);
	smm->poke_at = offset;
	smm->poke = WRITTEN;
	smm->actions[0] = SMM_POKE;
	expect("smi@sent");
	run_with_smis(&send, 1);
	check((uint32_t)setup.result.rax == WRITTEN, "EAX is %#lx behind RSM, must be %#x",
	      setup.result.rax, WRITTEN);
}
