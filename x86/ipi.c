/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed IPIs: every vector from 16 to 255, every way to name a destination, every receiver.
 *
 * The rule. A fixed IPI with a vector of 16 or more sets the vector's IRR bit in each CPU that its
 * destination names and in no other, and clears its TMR bit. It is delivered when IF is set and the
 * vector's class (its upper four bits) is above that of the TPR and of everything in service; then its
 * ISR bit is set and nothing is pushed but a frame, whatever exception has the same number. The highest
 * pending vector goes first. EOI ends the highest vector in service. While a vector is in service, its
 * IRR bit holds one more of the same.
 *
 * Vectors 16 to 31 are no exception to this. Intel reserves them for exceptions, but the local APIC
 * sends and takes them (SDM 3A, "Valid Interrupt Vectors"): class 1 is held back by a TPR of 0x10 and
 * not by one of 0x0f, and an interrupt on 17 (#AC), 21 (#CP), 29 (#VC) or 30 (#SX) pushes no error code.
 * A CPU that takes such an interrupt, runs `INT v` and raises the exception v has three different
 * events to tell apart.
 *
 * The bugs that taught it. Handlers of hypervisors and of their test suites pop an error code by vector
 * number, so no suite sends one IPI below 32. QEMU 7.2 and Bochs 2.7 do not know the logical
 * destination "these CPUs of every cluster" (0xFn). KVM's AVIC lost IPIs (5aede752a839, 8de4a1c8164e).
 *
 * A buggy hypervisor shows `intr v(0x0)@wait` or an exception's name in the place of `intr v`; (none)
 * where a CPU was left out; a `cpu2:` that nobody named; `irr=0x0` where the interrupt should be held.
 *
 * How several CPUs take part is in round.h.
 *
 * This file is also the guest ipi_x2apic, where every case runs in x2APIC mode.
 */
#include "round.h"

#ifndef MODE_NEEDS
#define MODE_NEEDS "apic=1"
#endif

#define RULE_DELIVERY \
	"SDM 3A, Valid Interrupt Vectors: the local APIC sends and takes 16-255; an interrupt pushes no error code"
#define RULE_SELF \
	"SDM 3A, Interrupt Command Register: a fixed IPI to this CPU itself; while IF is clear it stays in IRR"
#define RULE_TPR "SDM 3A, Task and Processor Priorities: only a class above the TPR's is delivered"
#define RULE_SERVICE \
	"SDM 3A, Interrupt Acceptance for Fixed Interrupts: only a class above that in service is delivered; IRR holds one more; EOI ends the highest"
#define RULE_ORDER "SDM 3A, Interrupt Priority: the highest pending vector is delivered first"
#define RULE_EXT \
	"SDM 3A, Error Code: a gate that refuses an interrupt is #NP or #GP with the error code n*8+IDT+EXT; the vector is in service by then"
#define RULE_PHYSICAL \
	"SDM 3A, Physical Destination Mode: the CPU with that APIC id, or all of them for the id of all ones"
#define RULE_LOGICAL \
	"SDM 3A, Logical Destination Mode: every CPU whose logical id the message address matches"
#define RULE_SHORTHAND "SDM 3A, Interrupt Command Register: destination shorthands"
#define RULE_BOTH \
	"SDM 3A, Sources of Interrupts: an interrupt, INT n and an exception of the same number are three events"

#define BUGS_DELIVERY CATCHES("model-ipi-error-code model-ipi-no-isr model-ipi-ignores-if")
#define BUGS_OTHER CATCHES("kvm-avic-bad-target model-ipi-error-code")
#define BUGS_OTHERS CATCHES("kvm-avic-bad-target model-ipi-error-code model-ipi-lost")

#define ABSENCE_TICKS (1ul << 15)

static void send_self(unsigned v)
{
	send_fixed(0, ICR_SELF | v);
}

/* -- To itself. ----------------------------------------------------------------------------------- */

static void by_id(unsigned v)
{
	send_fixed(apic_id(), v);
}

static void by_logical_id(unsigned v)
{
	send_fixed(apic_logical_id(0), ICR_LOGICAL | v);
}

static void try_self(void (*send)(unsigned v))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for (unsigned v = FIRST; v <= LAST; v++) {
		begin(v);
		send(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held, 1);
		if (apic_bit(APIC_IRR, v) || apic_bit(APIC_ISR, v))
			observe("left", 1);
		subject_end();
	}
}

CASE_NEEDS(MODE_NEEDS, self_by_id, ALL_NATIVE, RULE_SELF, BUGS_DELIVERY)
{
	try_self(by_id);
}

CASE_NEEDS(MODE_NEEDS, self_by_logical_id, ALL_NATIVE, RULE_SELF, BUGS_DELIVERY)
{
	try_self(by_logical_id);
}

CASE_NEEDS(MODE_NEEDS, self_by_shorthand, ALL_NATIVE, RULE_SELF, BUGS_DELIVERY)
{
	try_self(send_self);
}

#ifdef X2APIC
static void by_self_ipi(unsigned v)
{
	apic_write(X2APIC_SELF_IPI, v);
}

CASE_NEEDS(MODE_NEEDS, self_by_self_ipi, ALL_NATIVE,
	   "SDM 3A, SELF IPI Register: a fixed, edge-triggered IPI to this CPU", BUGS_DELIVERY)
{
	try_self(by_self_ipi);
}
#endif

CASE_NEEDS(
	MODE_NEEDS, self_on_spurious_vector, CPL0,
	"SDM 3A, Spurious Interrupt: only a spurious interrupt leaves ISR alone; an IPI on that vector is in service until EOI",
	CATCHES("bochs-spurious-eoi"))
{
	unsigned v = APIC_SPURIOUS_VECTOR;

	grant_iopl();
	expect("[0xff] irr=0x1, intr v@wait, isr=0x0");
	subject_begin(v);
	send_self(v);
	observe("irr", apic_bit(APIC_IRR, v));
	run_until(held, 1);
	observe("isr", apic_bit(APIC_ISR, v));
	subject_end();
}

/* -- What holds it back, besides IF. -------------------------------------------------------------- */

static void write_tpr(unsigned value)
{
	apic_write(APIC_TPR, value);
}

/* A higher class comes through, which shows that nothing else holds the vector back. */
static void try_priority(void (*set)(unsigned value))
{
	grant_iopl();
	expect("[0x10-0xef] intr v+0x10@wait, irr=0x1, intr v@wait; [0xf0-0xff] irr=0x1, intr v@wait");
	for (unsigned v = FIRST; v <= LAST; v++) {
		begin(v);
		set(v & 0xf0);
		send_self(v);
		if (v < 0xf0) {
			send_self(v + 0x10);
			run_until(held, 1);
		} else {
			run_for(held, ABSENCE_TICKS);
		}
		observe("irr", apic_bit(APIC_IRR, v));
		set((v & 0xf0) - 1);
		run_until(held, 1);
		subject_end();
	}
	set(0);
}

CASE_NEEDS(MODE_NEEDS, held_by_tpr, ALL_NATIVE, RULE_TPR, CATCHES("model-tpr-class-1"))
{
	try_priority(write_tpr);
}

/* CR8 is the upper half of the TPR. */
static void write_cr8_class(unsigned value)
{
	asm volatile("mov %0, %%cr8" : : "r"((uint64_t)value >> 4));
}

CASE_NEEDS(MODE_NEEDS, held_by_cr8, ALL_NATIVE,
	   "SDM 3A, Interrupt Priority: CR8 is the upper four bits of the TPR",
	   CATCHES("model-tpr-class-1"))
{
	try_priority(write_cr8_class);
}

CASE_NEEDS(MODE_NEEDS, held_by_service, CPL0 | CPL3, RULE_SERVICE,
	   CATCHES("model-ipi-no-isr model-eoi-wrong-vector"))
{
	grant_iopl();
	setup.hold_eoi = true;
	expect("[0x10-0xef] intr v@wait, intr v+0x10@wait, irr=0x1, isr=0x1, irr=0x1, intr v@wait; "
	       "[0xf0-0xff] intr v@wait, irr=0x1, isr=0x1, irr=0x1, intr v@wait");
	for (unsigned v = FIRST; v <= LAST; v++) {
		begin(v);
		send_self(v);
		run_until(held, 1);
		/* Two more of the same: one of them is lost by rule. */
		send_self(v);
		send_self(v);
		if (v < 0xf0) {
			send_self(v + 0x10);
			run_until(held, 1);
			observe("irr", apic_bit(APIC_IRR, v));
			event_eoi();
		} else {
			run_for(held, ABSENCE_TICKS);
			observe("irr", apic_bit(APIC_IRR, v));
		}
		observe("isr",
			apic_bit(APIC_ISR, v) | (v < 0xf0 ? apic_bit(APIC_ISR, v + 0x10) << 1 : 0));
		observe("irr", apic_bit(APIC_IRR, v));
		event_eoi();
		run_until(held, 1);
		event_eoi();
		if (apic_bit(APIC_IRR, v) || apic_bit(APIC_ISR, v))
			observe("left", 1);
		subject_end();
	}
}

/* The class counts, not the vector: a higher one of the same class waits, and the next class does not. */
CASE_NEEDS(MODE_NEEDS, held_by_own_class, CPL0 | CPL3, RULE_SERVICE,
	   CATCHES("model-ipi-no-isr model-tpr-class-1"))
{
	grant_iopl();
	setup.hold_eoi = true;
	expect("[0x10-0x1e] intr v@wait, irr=0x1, intr v+0x1@wait");
	for (unsigned v = 0x10; v < 0x1f; v++) {
		begin(v);
		send_self(v);
		run_until(held, 1);
		send_self(v + 1);
		run_for(held, ABSENCE_TICKS);
		observe("irr", apic_bit(APIC_IRR, v + 1));
		event_eoi();
		run_until(held, 1);
		event_eoi();
		subject_end();
	}
}

/* Takes one event in each run, highest first, of all that are pending. */
CASE_NEEDS(MODE_NEEDS, order, ALL_NATIVE, RULE_ORDER, CATCHES("model-ipi-order"))
{
	grant_iopl();
	setup.leave_after = 1;
	expect("[0x10-0xff] intr v@wait");
	for (unsigned v = FIRST; v <= LAST; v++)
		send_self(v);
	for (unsigned v = LAST; v >= FIRST; v--) {
		begin(v);
		run_until(held, 1);
		subject_end();
	}
}

/* -- The gate refuses: a fault on the way to the handler of an interrupt that has been accepted. ---- */

static void observe_service(unsigned v)
{
	observe("isr", apic_bit(APIC_ISR, v));
	apic_eoi();
}

CASE_NEEDS(MODE_NEEDS, gate_not_present, ALL_NATIVE, RULE_EXT,
	   CATCHES("tcg-ext-bit model-ipi-no-isr"))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, #NP(v*8+3)@wait, isr=0x1");
	for (unsigned v = FIRST; v <= LAST; v++) {
		begin(v);
		gate_set_present(v, false);
		send_self(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held, 1);
		gate_set_present(v, true);
		observe_service(v);
		end();
	}
}

CASE_NEEDS(MODE_NEEDS, beyond_limit, ALL_NATIVE, RULE_EXT, CATCHES("tcg-ext-bit model-ipi-no-isr"))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, #GP(v*8+3)@wait, isr=0x1");
	for (unsigned v = FIRST; v <= LAST; v++) {
		begin(v);
		load_idt(idt, v * sizeof(struct gate) - 1);
		send_self(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held, 1);
		observe_service(v);
		end();
	}
	load_idt(idt, 256 * sizeof(struct gate) - 1);
}

/* DPL is for INT n alone. */
CASE_NEEDS(
	MODE_NEEDS, gate_dpl0, USER,
	"SDM 3A, Protection of Exception- and Interrupt-Handler Procedures: the gate's DPL is not checked for interrupts",
	CATCHES("model-dpl-for-interrupts"))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, intr v@wait");
	for (unsigned v = FIRST; v <= LAST; v++) {
		begin(v);
		gate_set_dpl(v, 0);
		send_self(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held, 1);
		gate_set_dpl(v, 3);
		end();
	}
}

/* -- The same number, three events. --------------------------------------------------------------- */

SNIPPET(held_and_int, "mark insn; int $0x80; mark after_int; sti; nop; " WAIT);
SNIPPET(open_and_int, "sti; nop; " WAIT "; mark insn; int $0x80; mark after_int; nop");

CASE_NEEDS(MODE_NEEDS, int_n_while_pending, ALL_NATIVE, RULE_BOTH, CATCHES("model-ipi-as-int-n"))
{
	grant_iopl();
	expect("[0x10-0xff] irr=0x1, int v@after_int, intr v@wait");
	for (unsigned v = FIRST; v <= LAST; v++) {
		snippet_patch(&held_and_int, "insn", 1, v);
		begin(v);
		send_self(v);
		observe("irr", apic_bit(APIC_IRR, v));
		run_until(held_and_int, 1);
		subject_end();
	}
}

CASE_NEEDS(MODE_NEEDS, int_n_while_in_service, ALL_NATIVE, RULE_BOTH,
	   CATCHES("model-ipi-as-int-n model-int-n-masked"))
{
	grant_iopl();
	setup.hold_eoi = true;
	expect("[0x10-0xff] intr v@wait, int v@after_int, isr=0x1");
	for (unsigned v = FIRST; v <= LAST; v++) {
		snippet_patch(&open_and_int, "insn", 1, v);
		begin(v);
		send_self(v);
		run_until(open_and_int, 1);
		observe("isr", apic_bit(APIC_ISR, v));
		event_eoi();
		subject_end();
	}
}

#define VECTOR_AC 17
#define VECTOR_CP 21

SNIPPET(unaligned,
	"mark insn; mov -7(%esp), %eax; mark int_17; int $17; mark after_int; sti; nop; " WAIT);

static enum action stop_alignment_checks(const struct event *event, struct trap_frame *frame)
{
	if (event->origin != FROM_EXCEPTION)
		return BY_RULE;
	frame->iret.rflags &= ~(uint64_t)X86_EFLAGS_AC;
	return RESUME;
}

CASE_NEEDS(
	MODE_NEEDS, alignment_check, USER,
	"SDM 3A, Interrupt 17-Alignment Check Exception (#AC): a fault with error code 0; an IPI on 17 is neither",
	CATCHES("model-ipi-error-code tcg-no-alignment-check"))
{
	setup.rflags = X86_EFLAGS_IOPL | X86_EFLAGS_AC;
	setup.hook = stop_alignment_checks;
	expect("[0x11] irr=0x1, #AC(0x0)@insn, int v@after_int, intr v@wait");
	write_cr0(read_cr0() | X86_CR0_AM);
	subject_begin(VECTOR_AC);
	send_self(VECTOR_AC);
	observe("irr", apic_bit(APIC_IRR, VECTOR_AC));
	run_until(unaligned, 1);
	subject_end();
	write_cr0(read_cr0() & ~(uint64_t)X86_CR0_AM);
}

#define CPUID_7_D_IBT (1u << 20)
#define CPUID_7_C_SHADOW_STACK (1u << 7)
#define X86_CR4_CET (1u << 23)
#define MSR_U_CET 0x6a0
#define U_CET_ENDBR_EN (1u << 2)

/* An indirect jump to something that is no ENDBR. */
SNIPPET_BOTH(no_endbr,
	     "lea 1f(%rip), %rax; jmp *%rax; mark landed; 1: nop; "
	     "mark int_21; int $21; mark after_int; sti; nop; " WAIT,
	     "call 2f; 2: pop %eax; add $(1f - 2b), %eax; jmp *%eax; mark landed; 1: nop; "
	     "mark int_21; int $21; mark after_int; sti; nop; " WAIT);

static enum action stop_branch_tracking(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	if (event->origin != FROM_EXCEPTION)
		return BY_RULE;
	wrmsr(MSR_U_CET, 0);
	return RESUME;
}

CASE_NEEDS(
	MODE_NEEDS, control_protection, USER,
	"SDM 3A, Interrupt 21-Control Protection Exception (#CP): a fault with error code 3 for ENDBRANCH; an IPI on 21 is neither",
	CATCHES("model-ipi-error-code"))
{
	need(cpuid(0, 0).a >= 7 && cpuid(7, 0).d & CPUID_7_D_IBT,
	     "no indirect branch tracking (CET)");
	grant_iopl();
	setup.hook = stop_branch_tracking;
	expect("[0x15] irr=0x1, #CP(0x3)@landed, int v@after_int, intr v@wait");
	write_cr4(read_cr4() | X86_CR4_CET);
	wrmsr(MSR_U_CET, U_CET_ENDBR_EN);
	subject_begin(VECTOR_CP);
	send_self(VECTOR_CP);
	observe("irr", apic_bit(APIC_IRR, VECTOR_CP));
	run_until(no_endbr, 1);
	subject_end();
	wrmsr(MSR_U_CET, 0);
	write_cr4(read_cr4() & ~(uint64_t)X86_CR4_CET);
}

/* -- To other CPUs. ------------------------------------------------------------------------------- */

static void try_round(uint32_t targets, uint32_t destination, uint32_t command)
{
	try_round_by(send_fixed, "intr v", targets, destination, command);
}

#define ROUND(name, rule, bugs) ROUND_IN(name, CPL0, MODE_NEEDS, rule, bugs)

ROUND_IN(other_by_id, ALL_NATIVE, MODE_NEEDS, RULE_PHYSICAL, BUGS_OTHER)
{
	try_round(1 << 1, percpu[1].apic_id, 0);
}

ROUND(last_by_id, RULE_PHYSICAL, BUGS_OTHER)
{
	try_round(1u << (cpus - 1), percpu[cpus - 1].apic_id, 0);
}

ROUND(nobody_by_id, RULE_PHYSICAL, CATCHES("model-ipi-wrong-target"))
{
	try_round(0, 0x5a, 0);
}

ROUND(all_by_id, RULE_PHYSICAL, BUGS_OTHERS)
{
	try_round(ALL_CPUS, apic_everybody(), 0);
}

ROUND(all_by_shorthand, RULE_SHORTHAND, BUGS_OTHERS)
{
	try_round(ALL_CPUS, 0, ICR_ALL);
}

ROUND(others_by_shorthand, RULE_SHORTHAND, BUGS_OTHERS)
{
	try_round(ALL_CPUS & ~1u, 0, ICR_OTHERS);
}

ROUND(self_by_shorthand_alone, RULE_SHORTHAND, CATCHES("model-ipi-wrong-target"))
{
	try_round(1, percpu[1].apic_id, ICR_SELF);
}

ROUND(other_by_logical_id, RULE_LOGICAL, BUGS_OTHER)
{
	try_round(1 << 1, apic_logical_id(1), ICR_LOGICAL);
}

ROUND(pair_by_logical_id, RULE_LOGICAL, BUGS_OTHERS)
{
	try_round(1 << 0 | 1 << 1, apic_logical_id(0) | apic_logical_id(1), ICR_LOGICAL);
}

ROUND(nobody_by_logical_id, RULE_LOGICAL, CATCHES("model-ipi-wrong-target"))
{
	try_round(0, apic_logical_id(0) << 7, ICR_LOGICAL);
}

ROUND(all_by_logical_id, RULE_LOGICAL, BUGS_OTHERS)
{
	try_round(ALL_CPUS, apic_everybody(), ICR_LOGICAL);
}

#ifndef X2APIC
/* The cluster model: even CPUs are members 0, 1, … of cluster 0, odd ones of cluster 1. */
#define CLUSTER_MODEL 0x0fffffff
#define CLUSTER(cluster, members) ((cluster) << 4 | (members))

static void join_cluster(void *argument)
{
	unsigned index = this_cpu()->index;

	(void)argument;
	apic_write(APIC_DFR, CLUSTER_MODEL);
	apic_write(APIC_LDR, CLUSTER(index % 2, 1u << index / 2) << 24);
}

static void leave_cluster(void *argument)
{
	(void)argument;
	apic_enable(this_cpu()->index);
}

static void on_all_cpus(void (*work)(void *argument))
{
	for (unsigned i = 1; i < cpus; i++) {
		cpu_start_work(i, work, NULL);
		check(cpu_wait(i), "CPU %u did not change its logical id", i);
	}
	work(NULL);
}

static void try_cluster(uint32_t targets, uint32_t destination)
{
	on_all_cpus(join_cluster);
	try_round(targets, destination, ICR_LOGICAL);
	on_all_cpus(leave_cluster);
}

ROUND(other_in_cluster, RULE_LOGICAL, BUGS_OTHER)
{
	try_cluster(1 << 1, CLUSTER(1, 1));
}

ROUND(all_in_one_cluster, RULE_LOGICAL, BUGS_OTHERS)
{
	try_cluster(1 << 1 | 1 << 3, CLUSTER(1, 0xf));
}

ROUND(nobody_in_cluster, RULE_LOGICAL, CATCHES("model-ipi-wrong-target"))
{
	try_cluster(0, CLUSTER(2, 0xf));
}

ROUND(one_in_every_cluster, RULE_LOGICAL, CATCHES("tcg-cluster-broadcast model-ipi-lost"))
{
	try_cluster(1 << 0 | 1 << 1, CLUSTER(0xf, 1));
}

ROUND(all_in_every_cluster, RULE_LOGICAL, CATCHES("tcg-cluster-broadcast model-ipi-lost"))
{
	try_cluster(ALL_CPUS, CLUSTER(0xf, 0xf));
}
#endif
