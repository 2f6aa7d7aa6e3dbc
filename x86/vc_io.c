/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What SEV-ES turns into #VC, and what the guest makes of it: ports, string I/O, device registers.
 *
 * The rule is that of vc.c. What is special here: the guest's handler decodes the operands, moves the data
 * of INS and OUTS through the GHCB's shared buffer, 2032 bytes at a time, and must keep to DF, the
 * segment, the operand size and what IN leaves of RAX; a device register is read and written as whole
 * as the instruction does it.
 *
 * A buggy handler moves the wrong way with DF set, clears the upper half of RAX after IN AL, or executes an
 * OR on a device register as two stores. A buggy hypervisor moves one element too few.
 */
#include "vc.h"

#define RULE_IN \
	"APM 3, IN: AL, AX or EAX; IN of 8 or 16 bits keeps the rest of RAX; GHCB 4.1, IOIO_PROT"
#define RULE_OUT "APM 3, OUT; GHCB 4.1, IOIO_PROT"
#define RULE_INS "APM 3, INS: rCX elements, rDI as DF says; GHCB 4.1, IOIO_PROT"
#define RULE_OUTS "APM 3, OUTS: rCX elements from the segment's rSI; GHCB 4.1, IOIO_PROT"
#define RULE_MMIO \
	"APM 3, the instruction's page: a device register is an operand like any other; GHCB 4.1, MMIO access"
#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it"

/* -- Ports. The host bridge's configuration space is on every machine of ours. ---------------------- */

SNIPPET(in8, "mark insn; in %dx, %al; mark after; nop");
SNIPPET(in16, "mark insn; in %dx, %ax; mark after; nop");
SNIPPET(in32, "mark insn; in %dx, %eax; mark after; nop");
SNIPPET(in8_prefixed, "mark insn; .byte 0x2e, 0xf3, 0xec; mark after; nop");
SNIPPET(in16_prefixed, "mark insn; .byte 0x67, 0x66, 0xed; mark after; nop");
SNIPPET(in8_imm, "mark insn; in $0x80, %al; mark after; nop");
SNIPPET(out8, "mark insn; out %al, %dx; mark after; nop");
SNIPPET(out16, "mark insn; out %ax, %dx; mark after; nop");
SNIPPET(out32, "mark insn; out %eax, %dx; mark after; nop");
SNIPPET(out8_imm, "mark insn; out %al, $0x80; mark after; nop");

static void try_in(const struct snippet *snippet, unsigned bytes)
{
	uint64_t id = identification(), mask = bytes == 4 ? ~0ul : (1ul << 8 * bytes) - 1, wanted;

	need(id != 0xffffffff, "no host bridge");
	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	setup.regs.rdx = (ANY & ~0xfffful) | DATA;
	run_snippet(snippet);
	wanted = bytes == 4 ? id : (setup.regs.rax & ~mask) | (id & mask);
	if (setup.environment == COMPAT)
		check((uint32_t)setup.result.rax == (uint32_t)wanted, "EAX is %#lx, not %#lx",
		      setup.result.rax, wanted);
	else
		check(setup.result.rax == wanted, "RAX is %#lx, not %#lx", setup.result.rax,
		      wanted);
	check_others(RAX);
}

CASE(in_8, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	try_in(&in8, 1);
}

CASE(in_16, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	try_in(&in16, 2);
}

CASE(in_32, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	try_in(&in32, 4);
}

CASE(in_8_prefixed, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	try_in(&in8_prefixed, 1);
}

CASE(in_16_prefixed, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	try_in(&in16_prefixed, 2);
}

CASE(in_8_imm, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	run(in8_imm);
	check(setup.result.rax >> 8 == ANY >> 8, "RAX is %#lx: more than AL changed",
	      setup.result.rax);
	check_others(RAX);
}

/* At CPL 3 by IOPL: the permission is checked before the intercept. */
CASE(in_32_iopl, USER, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	setup.rflags = X86_EFLAGS_IOPL;
	try_in(&in32, 4);
}

CASE(in_32_no_iopl, USER, "APM 3, IN: #GP(0) without permission; the intercept comes after it",
     CATCHES("model-vc-before-gp"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	setup.regs.rdx = DATA;
	expect("#GP(0x0)@insn");
	run(in32);
}

CASE(out_32, CPL0, RULE_OUT, CATCHES("model-ghcb-out-narrow"))
{
	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	setup.regs.rdx = (ANY & ~0xfffful) | ADDRESS;
	setup.regs.rax = ANY << 32 | ENABLE | 0x58;
	run(out32);
	check(inl(ADDRESS) == (ENABLE | 0x58), "the port has %#x", inl(ADDRESS));
	check_others(0);
}

static void try_out_narrow(const struct snippet *snippet)
{
	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	/* Post codes: nobody listens. */
	setup.regs.rdx = (ANY & ~0xfffful) | 0x80;
	run_snippet(snippet);
	check_others(0);
}

CASE(out_8, CPL0, RULE_OUT, CATCHES("model-ghcb-plain-gp"))
{
	try_out_narrow(&out8);
}

CASE(out_16, CPL0, RULE_OUT, CATCHES("model-ghcb-plain-gp"))
{
	try_out_narrow(&out16);
}

CASE(out_8_imm, CPL0, RULE_OUT, CATCHES("model-ghcb-plain-gp"))
{
	try_out_narrow(&out8_imm);
}

/* -- String I/O. --------------------------------------------------------------------------------------------- */

SNIPPET(rep_insb, "mark insn; rep insb; mark after; nop");
SNIPPET(rep_insl, "mark insn; rep insl; mark after; nop");
SNIPPET(std_rep_insb, "std; mark insn; rep insb; mark after; cld");
SNIPPET(insw_once, "mark insn; insw; mark after; nop");
SNIPPET(rep_outsl, "mark insn; rep outsl; mark after; nop");
SNIPPET(std_rep_outsl, "std; mark insn; rep outsl; mark after; cld");

#define MOST 5000
#define MARGIN 8
static uint8_t area[MARGIN + MOST + MARGIN] __attribute__((aligned(16)));

/* As many calls as the shared buffer needs: 2032 bytes for each. */
static void try_ins(const struct snippet *snippet, unsigned bytes, unsigned count, bool down)
{
	uint32_t id = identification();
	uint8_t *first = area + MARGIN;
	unsigned calls = (count * bytes + 2031) / 2032, good = 0;
	int64_t moved = (int64_t)count * bytes * (down ? -1 : 1);

	need_native(GUEST_NEEDS_NATIVE);
	need(id != 0xffffffff, "no host bridge");
	setup.show_vc = true;
	if (!sev_is_es())
		expect("(none)");
	else
		expect(calls == 1   ? "#VC(0x7b)@insn"
		       : calls == 2 ? "#VC(0x7b)@insn, #VC(0x7b)@insn"
				    : "#VC(0x7b)@insn, #VC(0x7b)@insn, #VC(0x7b)@insn");
	memset(area, 0x5a, sizeof(area));
	poison();
	setup.regs.rdx = DATA;
	setup.regs.rcx = count;
	setup.regs.rdi = (uint64_t)first + (down ? count - 1 : 0) * bytes;
	run_snippet(snippet);
	for (unsigned i = 0; i < count * bytes; i++)
		good += first[i] == (uint8_t)(id >> 8 * (i % bytes));
	check(good == count * bytes, "%u of %u bytes are right", good, count * bytes);
	check(first[-1] == 0x5a && first[count * bytes] == 0x5a, "a byte beside them was written");
	check(setup.result.rcx == (snippet == &insw_once ? count : 0), "RCX is %#lx",
	      setup.result.rcx);
	check(setup.result.rdi == setup.regs.rdi + moved, "RDI moved by %ld, not %ld",
	      (long)(setup.result.rdi - setup.regs.rdi), (long)moved);
	check_others(RCX | RDI);
}

#define BUGS_INS CATCHES("model-ghcb-string-short")

CASE(rep_insb, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&rep_insb, 1, 100, false);
}

CASE(rep_insl, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&rep_insl, 4, 100, false);
}

CASE(rep_insb_down, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&std_rep_insb, 1, 100, true);
}

CASE(insw, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&insw_once, 2, 1, false);
}

CASE(rep_insb_long, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&rep_insb, 1, 5000, false);
}

/* The port keeps the last one. */
static void try_outs(const struct snippet *snippet, bool down)
{
	static const uint32_t values[] = {ENABLE | 0x40, ENABLE | 0x44, ENABLE | 0x48};
	uint32_t last = values[down ? 0 : 2];

	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	setup.regs.rdx = ADDRESS;
	setup.regs.rcx = 3;
	setup.regs.rsi = (uint64_t)&values[down ? 2 : 0];
	run_snippet(snippet);
	check(inl(ADDRESS) == last, "the port has %#x, not %#x", inl(ADDRESS), last);
	check(setup.result.rcx == 0, "RCX is %#lx", setup.result.rcx);
	check(setup.result.rsi == setup.regs.rsi + (down ? -12 : 12), "RSI moved by %ld",
	      (long)(setup.result.rsi - setup.regs.rsi));
	check_others(RCX | RSI);
}

CASE(rep_outsl, CPL0, RULE_OUTS, BUGS_INS)
{
	try_outs(&rep_outsl, false);
}

CASE(rep_outsl_down, CPL0, RULE_OUTS, BUGS_INS)
{
	try_outs(&std_rep_outsl, true);
}

/* INS to a page that is not there: #PF before anything is read from the port. */
CASE(ins_page_fault, CPL0, "APM 3, INS: the destination is checked before the port is read",
     CATCHES("model-ins-reads"))
{
	need_native(GUEST_NEEDS_NATIVE);
	window_map(0, 0);
	poison();
	setup.regs.rdx = DATA;
	setup.regs.rcx = 1;
	setup.regs.rdi = WINDOW;
	notation_name("hole", WINDOW, PAGE_BYTES);
	expect("#PF(0x2,cr2=hole)@insn");
	run(rep_insb);
	check_others(0);
}

/* -- MMIO: the task priority register. ------------------------------------------------------------------- */

#define TPR_ADDRESS (0xfee00000 + APIC_TPR)

SNIPPET(load, "mark insn; mov (%ebx), %ecx; mark after; nop");
SNIPPET(store, "mark insn; mov %ecx, (%ebx); mark after; nop");
SNIPPET(store_imm, "mark insn; movl $0x57, (%ebx); mark after; nop");
SNIPPET(or_imm, "mark insn; orl $0x0f, (%ebx); mark after; nop");
SNIPPET(and_reg, "mark insn; and %ecx, (%ebx); mark after; nop");
SNIPPET(xchg_insn, "mark insn; xchg %ecx, (%ebx); mark after; nop");
SNIPPET(cmp_insn, "mark insn; cmpl $0x50, (%ebx); setz %cl; mark after; nop");
SNIPPET(stos_insn, "mark insn; stosl; mark after; nop");
SNIPPET(movs_insn, "mark insn; movsl; mark after; nop");

/* Reads and writes of one instruction are one #VC. */
static void try_mmio(const struct snippet *snippet, uint32_t before, uint32_t ecx, uint32_t after,
		     uint32_t ecx_after)
{
	uint32_t value;

	expect_vc(SVM_EXIT_NPF, "");
	apic_write(APIC_TPR, before);
	poison();
	setup.regs.rbx = TPR_ADDRESS;
	setup.regs.rcx = ecx;
	run_snippet(snippet);
	value = apic_read(APIC_TPR);
	apic_write(APIC_TPR, 0);
	check(value == after, "TPR is %#x, not %#x", value, after);
	check((uint32_t)setup.result.rcx == ecx_after, "ECX is %#lx, not %#x", setup.result.rcx,
	      ecx_after);
	check_others(RCX);
}

#define BUGS_MMIO CATCHES("model-ghcb-mmio-short")
#define BUGS_TPR CATCHES("model-tpr-reads-0")
#define MMIO_CASE(name, snippet, bugs, ...)                     \
	CASE_NEEDS("apic=1", name, ALL_NATIVE, RULE_MMIO, bugs) \
	{                                                       \
		try_mmio(&snippet, __VA_ARGS__);                \
	}

MMIO_CASE(mmio_load, load, BUGS_TPR, 0x52, 0xffffffff, 0x52, 0x52)
MMIO_CASE(mmio_store, store, BUGS_TPR, 0x52, 0x34, 0x34, 0x34)
MMIO_CASE(mmio_store_immediate, store_imm, BUGS_TPR, 0x52, 1, 0x57, 1)
MMIO_CASE(mmio_or, or_imm, BUGS_TPR, 0x50, 1, 0x5f, 1)
MMIO_CASE(mmio_and, and_reg, BUGS_TPR, 0x5a, 0xf0, 0x50, 0xf0)
MMIO_CASE(mmio_xchg, xchg_insn, BUGS_TPR, 0x5a, 0x33, 0x33, 0x5a)
MMIO_CASE(mmio_cmp, cmp_insn, BUGS_TPR, 0x50, 0x300, 0x50, 0x301)

/* A register whose highest byte is not 0. */
CASE_NEEDS("apic=1", mmio_load_high, ALL_NATIVE, RULE_MMIO, BUGS_MMIO)
{
	expect_vc(SVM_EXIT_NPF, "");
	apic_write(APIC_LDR, 0x5a000000);
	poison();
	setup.regs.rbx = 0xfee00000 + APIC_LDR;
	run(load);
	apic_write(APIC_LDR, 0x01000000);
	check((uint32_t)setup.result.rcx == 0x5a000000, "ECX is %#lx", setup.result.rcx);
	check_others(RCX);
}

CASE_NEEDS("apic=1", mmio_stos, CPL0, RULE_MMIO, BUGS_TPR)
{
	expect_vc(SVM_EXIT_NPF, "");
	poison();
	setup.regs.rdi = TPR_ADDRESS;
	setup.regs.rax = 0x61;
	run(stos_insn);
	check(apic_read(APIC_TPR) == 0x61, "TPR is %#x", apic_read(APIC_TPR));
	check(setup.result.rdi == TPR_ADDRESS + 4, "RDI is %#lx", setup.result.rdi);
	check_others(RDI);
	apic_write(APIC_TPR, 0);
}

CASE_NEEDS("apic=1", mmio_movs, CPL0, RULE_MMIO, BUGS_TPR)
{
	static uint32_t to;

	expect_vc(SVM_EXIT_NPF, "");
	apic_write(APIC_TPR, 0x62);
	poison();
	setup.regs.rsi = TPR_ADDRESS;
	setup.regs.rdi = (uint64_t)&to;
	to = 0;
	run(movs_insn);
	apic_write(APIC_TPR, 0);
	check(to == 0x62, "%#x was moved", to);
	check_others(RSI | RDI);
}

/* -- The single-step trap behind what was emulated. ------------------------------------------------------ */

CASE(tf_mmio, ALL_NATIVE, RULE_TF, CATCHES("openvmm-tf-mmio"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.rflags = X86_EFLAGS_TF;
	setup.regs.rbx = TPR_ADDRESS;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(load);
}

/* Each iteration is followed by a trap; RIP stays until the last. */
CASE(tf_rep_insb, CPL0, RULE_TF, CATCHES("kvm-tf-skipped"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.rflags = X86_EFLAGS_TF;
	setup.regs.rdx = DATA;
	setup.regs.rcx = 2;
	setup.regs.rdi = (uint64_t)area;
	expect("#DB[BS]@insn, #DB[BS]@after, #DB[BS]@end");
	run(rep_insb);
}
