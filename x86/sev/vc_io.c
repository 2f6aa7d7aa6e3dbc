/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What SEV-ES turns into #VC, and what the guest makes of it: ports and string I/O.
 *
 * The rule is that of vc.c. What is special here: the guest's handler decodes the operands, moves the data
 * of INS and OUTS through the GHCB's shared buffer, 2032 bytes at a time, and must keep to DF, the
 * segment, the sizes of operand and address, and what IN leaves of RAX.
 *
 * A buggy handler moves the wrong way with DF set, clears the upper half of RAX after IN AL, or takes DS where
 * a prefix says FS. A buggy hypervisor moves one element too few.
 */
#include "vc.h"

#define RULE_IN \
	"APM 3, IN: AL, AX or EAX; IN of 8 or 16 bits keeps the rest of RAX; GHCB 4.1, IOIO_PROT"
#define RULE_OUT "APM 3, OUT; GHCB 4.1, IOIO_PROT"
#define RULE_INS "APM 3, INS: rCX elements, rDI as DF says; GHCB 4.1, IOIO_PROT"
#define RULE_OUTS "APM 3, OUTS: rCX elements from the segment's rSI; GHCB 4.1, IOIO_PROT"
#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it"

/* -- Ports. The host bridge's configuration space is on every machine of ours. ----------------- */

SNIPPET(in8, "mark insn; in %dx, %al; mark after; nop");
SNIPPET(in16, "mark insn; in %dx, %ax; mark after; nop");
SNIPPET(in32, "mark insn; in %dx, %eax; mark after; nop");
SNIPPET(in8_prefixed, "mark insn; .byte 0x2e, 0xf3, 0xec; mark after; nop");
SNIPPET(in16_prefixed, "mark insn; .byte 0x67, 0x66, 0xed; mark after; nop");
SNIPPET(in8_imm, "mark insn; in $0x80, %al; mark after; nop");
SNIPPET(in16_imm, "mark insn; in $0x80, %ax; mark after; nop");
SNIPPET(in32_imm, "mark insn; in $0x80, %eax; mark after; nop");
SNIPPET(out8, "mark insn; out %al, %dx; mark after; nop");
SNIPPET(out16, "mark insn; out %ax, %dx; mark after; nop");
SNIPPET(out32, "mark insn; out %eax, %dx; mark after; nop");
SNIPPET(out8_imm, "mark insn; out %al, $0x80; mark after; nop");
SNIPPET(out16_imm, "mark insn; out %ax, $0x80; mark after; nop");
SNIPPET(out32_imm, "mark insn; out %eax, $0x80; mark after; nop");

static void try_in(const struct snippet *snippet, unsigned bytes)
{
	uint64_t id = identification(), mask = bytes == 4 ? ~0ul : (1ul << 8 * bytes) - 1, wanted;

	need_of_machine(id != 0xffffffff, "PCI host bridge");
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

#define IN_CASE(name, try, snippet, bytes)                                \
	CASE(name, CPL0, RULE_IN, CATCHES("model-ghcb-output-not-valid")) \
	{                                                                 \
		try(&snippet, bytes);                                     \
	}

IN_CASE(in_8, try_in, in8, 1)
IN_CASE(in_16, try_in, in16, 2)
IN_CASE(in_32, try_in, in32, 4)
IN_CASE(in_8_prefixed, try_in, in8_prefixed, 1)
IN_CASE(in_16_prefixed, try_in, in16_prefixed, 2)

/* Nobody drives this port; what the instruction leaves of RAX is the same. */
static void try_in_immediate(const struct snippet *snippet, unsigned bytes)
{
	uint64_t kept = bytes == 4 ? 0 : ANY >> 8 * bytes;

	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	run_snippet(snippet);
	check(setup.result.rax >> 8 * bytes == kept, "RAX is %#lx: above %u bytes it is not %#lx",
	      setup.result.rax, bytes, kept);
	check_others(RAX);
}

IN_CASE(in_8_imm, try_in_immediate, in8_imm, 1)
IN_CASE(in_16_imm, try_in_immediate, in16_imm, 2)
IN_CASE(in_32_imm, try_in_immediate, in32_imm, 4)

/* At CPL 3 by IOPL: the permission is checked before the intercept. */
CASE(in_32_iopl, CPL3 | COMPAT, RULE_IN, CATCHES("model-ghcb-output-not-valid"))
{
	setup.rflags = X86_EFLAGS_IOPL;
	try_in(&in32, 4);
}

CASE(in_32_no_iopl, CPL3 | COMPAT,
     "APM 3, IN: #GP(0) without permission; the intercept comes after it",
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

static void try_out_to_nobody(const struct snippet *snippet)
{
	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	/* Post codes: nobody listens. */
	setup.regs.rdx = (ANY & ~0xfffful) | 0x80;
	run_snippet(snippet);
	check_others(0);
}

#define OUT_CASE(name, snippet)                                    \
	CASE(name, CPL0, RULE_OUT, CATCHES("model-ghcb-plain-gp")) \
	{                                                          \
		try_out_to_nobody(&snippet);                       \
	}

OUT_CASE(out_8, out8)
OUT_CASE(out_16, out16)
OUT_CASE(out_8_imm, out8_imm)
OUT_CASE(out_16_imm, out16_imm)
OUT_CASE(out_32_imm, out32_imm)

/* -- String I/O. ------------------------------------------------------------------------------- */

SNIPPET(rep_insb, "mark insn; rep insb; mark after; nop");
SNIPPET(rep_insl, "mark insn; rep insl; mark after; nop");
SNIPPET(std_rep_insb, "std; mark insn; rep insb; mark after; cld");
SNIPPET(insw_once, "mark insn; insw; mark after; nop");
SNIPPET(rep_outsl, "mark insn; rep outsl; mark after; nop");
SNIPPET(std_rep_outsl, "std; mark insn; rep outsl; mark after; cld");
SNIPPET(rep_outsl_fs, "mark insn; .byte 0xf3, 0x64, 0x6f; mark after; nop");
SNIPPET(rep_outsb, "mark insn; rep outsb; mark after; nop");
SNIPPET(outsl_once, "mark insn; outsl; mark after; nop");
SNIPPET(repne_insb, "mark insn; .byte 0xf2, 0x6c; mark after; nop");
SNIPPET(addr32_rep_insb, "mark insn; .byte 0x67, 0xf3, 0x6c; mark after; nop");

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
	need_of_machine(id != 0xffffffff, "PCI host bridge");
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

#define BUGS_INS CATCHES("model-ghcb-string-short kvm-sev-nobuf-ud")

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

/* F2 repeats INS as F3 does. */
CASE(repne_insb, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&repne_insb, 1, 100, false);
}

CASE(rep_insl_iopl, CPL3 | COMPAT, RULE_INS, BUGS_INS)
{
	setup.rflags = X86_EFLAGS_IOPL;
	try_ins(&rep_insl, 4, 100, false);
}

/* EDI and ECX, which are zero-extended afterwards as any register of 32 bits. */
CASE(addr32_rep_insb, CPL0, RULE_INS, BUGS_INS)
{
	uint32_t id = identification();
	uint8_t *first = area + MARGIN;
	unsigned good = 0;

	need_of_machine(id != 0xffffffff, "PCI host bridge");
	expect_vc(SVM_EXIT_IOIO, "");
	memset(area, 0x5a, sizeof(area));
	poison();
	setup.regs.rdx = DATA;
	setup.regs.rcx = ANY << 32 | 10;
	setup.regs.rdi = ANY << 32 | (uint64_t)first;
	run(addr32_rep_insb);
	for (unsigned i = 0; i < 10; i++)
		good += first[i] == (uint8_t)id;
	check(good == 10 && first[10] == 0x5a, "%u of 10 bytes are right", good);
	check(setup.result.rdi == (uint64_t)first + 10, "RDI is %#lx", setup.result.rdi);
	check(setup.result.rcx == 0, "RCX is %#lx", setup.result.rcx);
	check_others(RCX | RDI);
}

/* Whether nothing to do is an exit is the CPU's business, so it is not in the trace. */
CASE(rep_insb_none, CPL0, "APM 3, REP: with rCX of 0 nothing is done", "")
{
	need_native(GUEST_NEEDS_NATIVE);
	window_map(0, 0);
	poison();
	setup.regs.rdx = DATA;
	setup.regs.rcx = 0;
	setup.regs.rdi = WINDOW;
	expect("(none)");
	run(rep_insb);
	check_others(0);
}

CASE(insw, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&insw_once, 2, 1, false);
}

CASE(rep_insb_long, CPL0, RULE_INS, BUGS_INS)
{
	try_ins(&rep_insb, 1, 5000, false);
}

/* The port keeps the last one. Base: of the segment that RSI is an offset in. */
static void try_outs(const struct snippet *snippet, bool down, uint64_t base)
{
	static const uint32_t values[] = {ENABLE | 0x40, ENABLE | 0x44, ENABLE | 0x48};
	bool once = snippet == &outsl_once;
	uint32_t last = values[down || once ? 0 : 2];
	int64_t moved = once ? 4 : down ? -12 : 12;

	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	setup.regs.rdx = ADDRESS;
	setup.regs.rcx = 3;
	setup.regs.rsi = (uint64_t)&values[down ? 2 : 0] - base;
	run_snippet(snippet);
	check(inl(ADDRESS) == last, "the port has %#x, not %#x", inl(ADDRESS), last);
	check(setup.result.rcx == (once ? 3 : 0), "RCX is %#lx", setup.result.rcx);
	check(setup.result.rsi == setup.regs.rsi + moved, "RSI moved by %ld, not %ld",
	      (long)(setup.result.rsi - setup.regs.rsi), (long)moved);
	check_others(RCX | RSI);
}

CASE(rep_outsl, CPL0, RULE_OUTS, BUGS_INS)
{
	try_outs(&rep_outsl, false, 0);
}

CASE(rep_outsl_down, CPL0, RULE_OUTS, BUGS_INS)
{
	try_outs(&std_rep_outsl, true, 0);
}

CASE(rep_outsl_iopl, CPL3 | COMPAT, RULE_OUTS, BUGS_INS)
{
	setup.rflags = X86_EFLAGS_IOPL;
	try_outs(&rep_outsl, false, 0);
}

CASE(rep_outsl_fs, CPL0, RULE_OUTS, BUGS_INS)
{
	wrmsr(MSR_FS_BASE, 0x1000);
	try_outs(&rep_outsl_fs, false, 0x1000);
	wrmsr(MSR_FS_BASE, 0);
}

CASE(outsl, CPL0, RULE_OUTS, BUGS_INS)
{
	try_outs(&outsl_once, false, 0);
}

/* The first serial port's scratch register. */
#define SCRATCH 0x3ff

CASE(rep_outsb, CPL0, RULE_OUTS, BUGS_INS)
{
	static const uint8_t values[] = {0x12, 0x34, 0x56};

	expect_vc(SVM_EXIT_IOIO, "");
	poison();
	setup.regs.rdx = SCRATCH;
	setup.regs.rcx = sizeof(values);
	setup.regs.rsi = (uint64_t)values;
	run(rep_outsb);
	check(inb(SCRATCH) == values[2], "the port has %#x, not %#x", inb(SCRATCH), values[2]);
	check(setup.result.rcx == 0, "RCX is %#lx", setup.result.rcx);
	check(setup.result.rsi == (uint64_t)values + sizeof(values), "RSI is %#lx",
	      setup.result.rsi);
	check_others(RCX | RSI);
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

/* -- The single-step trap behind what was emulated. -------------------------------------------- */

/* Each iteration is followed by a trap; RIP stays until the last. */
CASE(tf_rep_insb, CPL0, RULE_TF, CATCHES("kvm-tf-skipped tcg-rep-extra-step"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.rflags = X86_EFLAGS_TF;
	setup.regs.rdx = DATA;
	setup.regs.rcx = 2;
	setup.regs.rdi = (uint64_t)area;
	expect("#DB[BS]@insn, #DB[BS]@after, #DB[BS]@end");
	run(rep_insb);
}
