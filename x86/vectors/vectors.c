/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INT n, for each of the 256 vectors.
 *
 * The rule. INT n saves the address of the next instruction, pushes no error code whatever n is, and
 * goes through the gate that IDT[n] holds, if the gate's DPL lets the caller through. It is no
 * exception, also where n is the number of one: INT 14 leaves CR2 alone, INT 1 leaves DR6, INT 2 blocks
 * no NMI, INT 8 and INT 13 push nothing. It is no interrupt either: IF, the TPR, an interrupt shadow
 * or the same vector in service do not hold it back, and the local APIC never hears of it. A gate that
 * refuses gives #GP or #NP with the error code n*8+2: IDT set, EXT clear, since it was the program
 * that asked.
 *
 * The bugs that taught it. Xen's PV `int $13` pushed an error code. XSA-106 (CVE-2014-7156): its
 * emulator delivered `int n` without a look at the gate's DPL; the instruction had to reach the emulator,
 * so the prefixed forms below matter. QEMU before 8.0 computed n*16+2 in 64-bit mode (issue #1382).
 * XSA-196 (CVE-2016-9377, -9378): 32-bit code under a 64-bit kernel went through the IDT with the wrong
 * stride. KVM announced VMX's test mode for #VE in 2024 with the remark that vectors 16 to 31 may be
 * raised by INT n and the local APIC, and neither is an exception: hypervisors tend to forget it.
 *
 * A buggy hypervisor shows `int v(0x…)@after`, an exception's name in the place of `int v`,
 * `int v@after` where the gate refuses, or `#GP(0x302)` for INT 0x30.
 *
 * https://xenbits.xen.org/xsa/advisory-106.html, https://xenbits.xen.org/xsa/advisory-196.html,
 * https://gitlab.com/qemu-project/qemu/-/issues/1382
 */
#include "trapline.h"

#define RULE_INT \
	"SDM 2A, INT n/INTO/INT3/INT1: INT n saves the RIP of the next instruction, pushes no error code, whatever n"
#define RULE_IF "SDM 3A, Maskable Hardware Interrupts: IF does not affect INT n"
#define RULE_TPR \
	"SDM 3A, Task and Processor Priorities: the TPR holds back interrupts of the local APIC, not INT n"
#define RULE_SHADOW "SDM 2B, STI: the shadow holds back external interrupts, not INT n"
#define RULE_DPL \
	"SDM 3A, Protection of Exception- and Interrupt-Handler Procedures: INT n through a gate with DPL < CPL is #GP(n*8+IDT)"
#define RULE_NP \
	"SDM 3A, Error Code: INT n through a gate that is not present is #NP(n*8+IDT), EXT clear"
#define RULE_LIMIT "SDM 3A, Error Code: INT n beyond the IDT limit is #GP(n*8+IDT), EXT clear"
#define RULE_CR2 "SDM 2A, INT n/INTO/INT3/INT1: INT 14 is no page fault and does not write CR2"
#define RULE_DR6 "SDM 2A, INT n/INTO/INT3/INT1: INT 1 is no debug exception and does not write DR6"

#define BUGS_INT CATCHES("xen-pv-intn-errcode model-int-n-error-code model-int-n-as-exception")
#define BUGS_DPL CATCHES("xsa-106 model-int-n-no-dpl-check")
#define BUGS_ERROR CATCHES("tcg-idt-errcode-64 model-int-n-ext")

SNIPPET(int_n, "mark insn; int $0x80; mark after; nop");
SNIPPET(int_n_prefixed, "mark insn; .byte 0x3e, 0xcd, 0x80; mark after; nop");
SNIPPET(sti_int_n, "sti; mark insn; int $0x80; mark after; nop");
SNIPPET(mov_ss_int_n, "mov %ss, %eax; mov %eax, %ss; mark insn; int $0x80; mark after; nop");

/* `at`: where the vector stands behind the mark `insn`. */
static void try_vector(const struct snippet *snippet, unsigned at, unsigned v)
{
	snippet_patch(snippet, "insn", at, v);
	subject_begin(v);
	run_snippet(snippet);
	subject_end();
}

static void try_all(const struct snippet *snippet, unsigned at)
{
	for_each_vector(v, 0, 255)
		try_vector(snippet, at, v);
}

CASE_NEEDS("apic=1", int_n, EVERYWHERE | RINGS, RULE_INT, BUGS_INT)
{
	setup.rflags = X86_EFLAGS_IF;
	setup.shown_flags = X86_EFLAGS_IF | X86_EFLAGS_TF;
	setup.watch_low_vectors = true;
	expect("[0x0-0xff] int v@after{IF}");
	try_all(&int_n, 1);
}

CASE(int_n_prefixed, EVERYWHERE, RULE_INT, BUGS_INT)
{
	expect("[0x0-0xff] int v@after");
	try_all(&int_n_prefixed, 2);
}

/* -- What holds back interrupts does not hold back INT n. -------------------------------------- */

CASE_NEEDS("apic=1", int_n_interrupts_off, EVERYWHERE, RULE_IF, CATCHES("model-int-n-masked"))
{
	setup.shown_flags = X86_EFLAGS_IF;
	expect("[0x0-0xff] int v@after");
	try_all(&int_n, 1);
}

CASE_NEEDS("apic=1", int_n_tpr, EVERYWHERE, RULE_TPR, CATCHES("model-int-n-masked"))
{
	apic_write(APIC_TPR, 0xff);
	witness(apic_read(APIC_PPR) == 0xff, "PPR is %#x", apic_read(APIC_PPR));
	setup.rflags = X86_EFLAGS_IF;
	expect("[0x0-0xff] int v@after");
	try_all(&int_n, 1);
	apic_write(APIC_TPR, 0);
}

CASE(int_n_after_sti, EVERYWHERE, RULE_SHADOW, CATCHES("model-int-n-masked"))
{
	setup.rflags = X86_EFLAGS_IOPL;
	setup.shown_flags = X86_EFLAGS_IF;
	expect("[0x0-0xff] int v@after{IF}");
	try_all(&sti_int_n, 1);
}

CASE(int_n_after_mov_ss, EVERYWHERE, RULE_SHADOW, CATCHES("model-int-n-masked"))
{
	expect("[0x0-0xff] int v@after");
	try_all(&mov_ss_int_n, 1);
}

/* -- The gate refuses. ------------------------------------------------------------------------- */

static void close_gate(unsigned v, unsigned dpl, bool present)
{
	gate_set_dpl(v, dpl);
	gate_set_present(v, present);
}

static void try_closed(const struct snippet *snippet, unsigned at, unsigned dpl, bool present)
{
	for_each_vector(v, 0, 255) {
		/* Where the gate of the exception itself is absent it ends in #DF. */
		if (!present && v == (dpl < 3 ? VECTOR_GP : VECTOR_NP))
			continue;
		close_gate(v, dpl, present);
		try_vector(snippet, at, v);
		close_gate(v, 3, true);
	}
}

static void try_dpl0(const struct snippet *snippet, unsigned at)
{
	expect(environment_ring() ? "[0x0-0xff] #GP(v*8+2)@insn" : "[0x0-0xff] int v@after");
	try_closed(snippet, at, 0, true);
}

CASE(gate_dpl0, ALL_NATIVE | RINGS, RULE_DPL, BUGS_DPL)
{
	try_dpl0(&int_n, 1);
}

CASE(gate_dpl0_prefixed, ALL_NATIVE, RULE_DPL, BUGS_DPL)
{
	try_dpl0(&int_n_prefixed, 2);
}

/* Of CPL 2 and less the gate is open. */
CASE(gate_dpl2, USER | RINGS, RULE_DPL, BUGS_DPL)
{
	expect(environment_is_user() ? "[0x0-0xff] #GP(v*8+2)@insn" : "[0x0-0xff] int v@after");
	try_closed(&int_n, 1, 2, true);
}

CASE(gate_not_present, ALL_NATIVE, RULE_NP, BUGS_ERROR)
{
	expect("[0x0-0xa,0xc-0xff] #NP(v*8+2)@insn");
	try_closed(&int_n, 1, 3, false);
}

CASE(gate_not_present_prefixed, ALL_NATIVE, RULE_NP, BUGS_ERROR)
{
	expect("[0x0-0xa,0xc-0xff] #NP(v*8+2)@insn");
	try_closed(&int_n_prefixed, 2, 3, false);
}

/* Privilege is checked before presence: SDM 2A, INT n, pseudocode. */
CASE(gate_dpl0_not_present, USER, RULE_DPL, BUGS_DPL)
{
	expect("[0x0-0xc,0xe-0xff] #GP(v*8+2)@insn");
	try_closed(&int_n, 1, 0, false);
}

/* The limit ends `missing` bytes before the end of the vector's gate. #GP's own gate must be there. */
static void try_limit(unsigned missing)
{
	for_each_vector(v, VECTOR_GP + 1, 255) {
		load_idt(idt, (v + 1) * sizeof(struct gate) - 1 - missing);
		try_vector(&int_n, 1, v);
	}
}

CASE(within_limit, EVERYWHERE, RULE_LIMIT,
     CATCHES("model-idt-limit model-legacy-gate-bytes model-real-gate-bytes"))
{
	expect("[0xe-0xff] int v@after");
	try_limit(0);
}

CASE(beyond_limit, ALL_NATIVE, RULE_LIMIT, BUGS_ERROR)
{
	expect("[0xe-0xff] #GP(v*8+2)@insn");
	try_limit(sizeof(struct gate));
}

/* 64-bit gates have 16 bytes, in compatibility mode as well: XSA-196 took them for 8. */
CASE(last_byte_beyond_limit, ALL_NATIVE, RULE_LIMIT, CATCHES("tcg-idt-errcode-64 xsa-196"))
{
	expect("[0xe-0xff] #GP(v*8+2)@insn");
	try_limit(1);
}

/* -- The number of an exception does not make one. --------------------------------------------- */

#define ANY_CR2 0x123456789abcdef0ul

CASE(int_14_leaves_cr2, EVERYWHERE, RULE_CR2, CATCHES("xen-intn-side-effects"))
{
	write_cr2(ANY_CR2);
	witness(read_cr2() == ANY_CR2, "CR2 does not hold what is written");
	expect("[0xe] int v@after");
	try_vector(&int_n, 1, VECTOR_PF);
	check(read_cr2() == ANY_CR2, "CR2 is %#lx, was %#lx", read_cr2(), ANY_CR2);
}

static uint64_t dr6_in_handler;

static enum action read_dr6_first(const struct event *event, struct trap_frame *frame)
{
	(void)frame;
	dr6_in_handler = event->dr6;
	return BY_RULE;
}

/* The recorder reads DR6 for vector 1 before it clears it. */
static void try_int_1(uint64_t dr6)
{
	write_dr6(dr6);
	witness(read_dr6() == dr6, "DR6 does not hold %#lx", dr6);
	setup.hook = read_dr6_first;
	expect("[0x1] int v@after");
	try_vector(&int_n, 1, VECTOR_DB);
	check(dr6_in_handler == dr6, "DR6 is %#lx, was %#lx", dr6_in_handler, dr6);
}

CASE(int_1_sets_nothing_in_dr6, EVERYWHERE, RULE_DR6, CATCHES("xen-intn-side-effects"))
{
	try_int_1(DR6_CLEAR);
}

CASE(int_1_clears_nothing_in_dr6, EVERYWHERE, RULE_DR6, CATCHES("xen-intn-side-effects"))
{
	try_int_1(DR6_CLEAR | DR6_BD | DR6_BS | 0xf);
}
