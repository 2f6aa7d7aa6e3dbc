/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What SEV-ES turns into #VC, and what the guest makes of it.
 *
 * The rule. Under SEV-ES an instruction that the hypervisor intercepts is no exit: it raises #VC, vector
 * 29, a fault with the SVM exit code as its error code. The guest's handler decodes the instruction,
 * asks the hypervisor by the GHCB, writes the results and steps over it. Done right, the program sees
 * what it would see on a plain CPU: the registers that the instruction names, and no others; memory;
 * flags; RIP behind it; the single-step trap; #GP and #UD at the instruction; an event that came
 * meanwhile behind it.
 *
 * So each case runs everywhere. On a plain machine the CPU executes the instruction, and the same
 * checks hold for it. Under SEV-ES the trace must also show the #VC: `#VC(0x72)@insn`.
 *
 * The bugs that taught it. OpenBSD's handlers of 2025 (user-space #VC, string I/O), Linux's missing
 * single-step trap and INS and OUTS that ignored DF and the segment, and "WeSee": a hypervisor that
 * injects vector 29 with a false exit code, and a handler that believes it (CVE-2024-25742, -25743,
 * -25744). The handler under test is our own (lib/x86/sev/vc.c); the hypervisor's answers are judged
 * by it and, directly, in ghcb.c.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf,
 * https://ahoi-attacks.github.io/wesee/
 */
#include "trapline.h"

#include "ask_model.h"
#include "x86/sev/ghcb_msr.h"

#define GUEST_NEEDS_NATIVE "the hypervisor of L2 is our own, and offers no SEV"

#define RULE_CPUID "APM 3, CPUID: EAX, EBX, ECX and EDX, zero-extended; GHCB 4.1, CPUID"
#define RULE_RDMSR "APM 3, RDMSR: EDX:EAX; GHCB 4.1, MSR_PROT"
#define RULE_WRMSR "APM 3, WRMSR: the MSR has the value of EDX:EAX; GHCB 4.1, MSR_PROT"
#define RULE_GP "GHCB 4.1, SW_EXITINFO1 of 1: the exception is raised at the instruction"
#define RULE_IN \
	"APM 3, IN: AL, AX or EAX; IN of 8 or 16 bits keeps the rest of RAX; GHCB 4.1, IOIO_PROT"
#define RULE_OUT "APM 3, OUT; GHCB 4.1, IOIO_PROT"
#define RULE_INS "APM 3, INS: rCX elements, rDI as DF says; GHCB 4.1, IOIO_PROT"
#define RULE_OUTS "APM 3, OUTS: rCX elements from the segment's rSI; GHCB 4.1, IOIO_PROT"
#define RULE_MMIO \
	"APM 3, the instruction's page: a device register is an operand like any other; GHCB 4.1, MMIO access"
#define RULE_VMMCALL "GHCB 4.1, VMMCALL: RAX is the result; all else is kept"
#define RULE_CACHE "APM 3, WBINVD and INVD: no register changes"
#define RULE_TSC "APM 3, RDTSC and RDTSCP: EDX:EAX, and ECX = TSC_AUX; GHCB 4.1, RDTSC and RDTSCP"
#define RULE_DR7 "GHCB 4.5, DR7: the guest keeps the value that it wrote"
#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it"
#define RULE_FIT \
	"GHCB 3, #VC: an exit code that does not belong to the instruction at RIP is the hypervisor's own"
#define RULE_VMGEXIT "APM 3, VMGEXIT: VMMCALL with F2 or F3 is an exit, and no #VC"
#define RULE_NEST "APM 2, #VC Exception: as any fault, also within a handler"

SNIPPET(cpuid_insn, "mark insn; cpuid; mark after; nop");
SNIPPET(rdmsr_insn, "mark insn; rdmsr; mark after; nop");
SNIPPET(wrmsr_insn, "mark insn; wrmsr; mark after; nop");

#define ANY 0x1122334455667788ul

/* Registers that no instruction here is about. */
static void poison(void)
{
	setup.regs = (struct regs){ANY,	     ANY + 1,  ANY + 2,	 ANY + 3,  ANY + 4,
				   ANY + 5,  ANY + 6,  ANY + 7,	 ANY + 8,  ANY + 9,
				   ANY + 10, ANY + 11, ANY + 12, ANY + 13, ANY + 14};
}

#define RAX (1u << 0)
#define RBX (1u << 1)
#define RCX (1u << 2)
#define RDX (1u << 3)
#define RSI (1u << 4)
#define RDI (1u << 5)

/* In compatibility mode bits 63:32 of all registers, and R8 to R15, are nobody's. */
static void check_others(uint32_t written)
{
	static const char *const names[] = {"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R8",
					    "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
	const uint64_t *before = (const uint64_t *)&setup.regs;
	const uint64_t *now = (const uint64_t *)&setup.result;
	bool narrow = setup.environment == COMPAT;

	for (unsigned i = 0; i < (narrow ? 7 : 15); i++)
		if (!(written >> i & 1))
			check(narrow ? (uint32_t)now[i] == (uint32_t)before[i]
				     : now[i] == before[i],
			      "%s became %#lx, was %#lx", names[i], now[i], before[i]);
}

/* What stands in the trace before what the instruction does anywhere. */
static void expect_vc(unsigned code, const char *then)
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	if (!sev_is_es())
		expect("%s", *then ? then : "(none)");
	else
		expect("#VC(%#x)@insn%s%s", code, *then ? ", " : "", then);
}

/* -- CPUID. ------------------------------------------------------------------------------------------ */

static struct regs run_cpuid(uint32_t leaf, uint32_t subleaf)
{
	poison();
	setup.regs.rax = leaf;
	setup.regs.rcx = subleaf;
	run(cpuid_insn);
	check_others(RAX | RBX | RCX | RDX);
	return setup.result;
}

/* The MSR protocol is the other way to ask the same; without SEV-ES the instruction itself, outside the trace. */
static uint32_t other_way(uint32_t leaf, unsigned reg)
{
	struct ghcb_msr ask = {.code = GHCB_MSR_CPUID_REQUEST, .function = leaf, .reg = reg}, m;
	struct cpuid r = cpuid(leaf, 0);
	uint64_t request = ghcb_msr_encode(&ask);

	if (!sev_is_es())
		return reg == 0 ? r.a : reg == 1 ? r.b : reg == 2 ? r.c : r.d;
	check(ghcb_msr_check(request, sev_msr_call(request), &m) == GHCB_MSR_OK,
	      "no response to CPUID leaf %#x by the MSR", leaf);
	return m.value;
}

static void try_cpuid(uint32_t leaf)
{
	struct regs r;

	expect_vc(SVM_EXIT_CPUID, "");
	r = run_cpuid(leaf, 0);
	check(r.rax == other_way(leaf, 0), "EAX is %#lx, %#x", r.rax, other_way(leaf, 0));
	check(r.rbx == other_way(leaf, 1), "EBX is %#lx, %#x", r.rbx, other_way(leaf, 1));
	check(r.rcx == other_way(leaf, 2), "ECX is %#lx, %#x", r.rcx, other_way(leaf, 2));
	check(r.rdx == other_way(leaf, 3), "EDX is %#lx, %#x", r.rdx, other_way(leaf, 3));
}

CASE(cpuid_0, ALL_NATIVE, RULE_CPUID, "")
{
	try_cpuid(0);
}

CASE(cpuid_extended, ALL_NATIVE, RULE_CPUID, CATCHES("model-ghcb-output-not-valid"))
{
	try_cpuid(0x80000000);
}

CASE(cpuid_subleaf, CPL0, RULE_CPUID, CATCHES("model-ghcb-cpuid-subleaf"))
{
	struct regs first, second;

	need(cpuid(0, 0).a >= 0xd && cpuid(0xd, 0).a, "no leaf 0xd, which has sub-leaves");
	need_native(GUEST_NEEDS_NATIVE);
	first = run_cpuid(0xd, 0);
	second = run_cpuid(0xd, 2);
	check(first.rax != second.rax || first.rbx != second.rbx,
	      "sub-leaves 0 and 2 of leaf 0xd are the same");
	expect("(none) x2");
}

/* -- MSRs. ---------------------------------------------------------------------------------------------- */

#define MSR_SYSENTER_ESP 0x175
#define MSR_NOBODY_HAS 0xc0011fff

CASE(rdmsr, CPL0, RULE_RDMSR, CATCHES("model-ghcb-msr-halves"))
{
	expect_vc(SVM_EXIT_MSR, "");
	poison();
	setup.regs.rcx = MSR_APIC_BASE;
	run(rdmsr_insn);
	check(setup.result.rdx == 0, "EDX is %#lx", setup.result.rdx);
	check((setup.result.rax & ~0xffful) == 0xfee00000,
	      "EAX is %#lx: no APIC at its usual address", setup.result.rax);
	check_others(RAX | RDX);
}

CASE(wrmsr, CPL0, RULE_WRMSR, CATCHES("model-ghcb-msr-halves"))
{
	expect_vc(SVM_EXIT_MSR, "");
	poison();
	setup.regs.rcx = MSR_SYSENTER_ESP;
	setup.regs.rax = ANY << 32 | 0x89abcde0;
	setup.regs.rdx = ANY << 32 | 0x00001234;
	run(wrmsr_insn);
	check(rdmsr(MSR_SYSENTER_ESP) == 0x0000123489abcde0ul, "the MSR is %#lx",
	      rdmsr(MSR_SYSENTER_ESP));
	check_others(0);
	wrmsr(MSR_SYSENTER_ESP, 0);
}

/* Elsewhere an emulator may let an MSR pass that it does not know. */
CASE(rdmsr_gp, CPL0, RULE_GP, CATCHES("model-ghcb-gp-lost model-ghcb-wrong-result"))
{
	need_es();
	expect_vc(SVM_EXIT_MSR, "#GP(0x0)@insn");
	poison();
	setup.regs.rcx = MSR_NOBODY_HAS;
	run(rdmsr_insn);
	check_others(0);
}

CASE(wrmsr_gp, CPL0, RULE_GP, CATCHES("model-ghcb-gp-lost model-ghcb-wrong-result"))
{
	need_es();
	expect_vc(SVM_EXIT_MSR, "#GP(0x0)@insn");
	poison();
	setup.regs.rcx = MSR_NOBODY_HAS;
	run(wrmsr_insn);
	check_others(0);
}

CASE(rdmsr_user, USER, "APM 3, RDMSR: #GP(0) at CPL 3; the intercept comes after it",
     CATCHES("model-vc-before-gp"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	expect("#GP(0x0)@insn");
	run(rdmsr_insn);
}

/* -- Ports. The host bridge's configuration space is on every machine of ours. ---------------------- */

#define ADDRESS 0xcf8
#define DATA 0xcfc
#define ENABLE 0x80000000u

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

/* The bridge's identification, 32 bits that are all different and never change. */
static uint32_t identification(void)
{
	outl(ADDRESS, ENABLE);
	return inl(DATA);
}

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
CASE(ins_page_fault, CPL0, "APM 3, INS: the destination is checked before the port is read", "")
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
#define MMIO_CASE(name, snippet, bugs, ...)                     \
	CASE_NEEDS("apic=1", name, ALL_NATIVE, RULE_MMIO, bugs) \
	{                                                       \
		try_mmio(&snippet, __VA_ARGS__);                \
	}

MMIO_CASE(mmio_load, load, "", 0x52, 0xffffffff, 0x52, 0x52)
MMIO_CASE(mmio_store, store, "", 0x52, 0x34, 0x34, 0x34)
MMIO_CASE(mmio_store_immediate, store_imm, "", 0x52, 1, 0x57, 1)
MMIO_CASE(mmio_or, or_imm, "", 0x50, 1, 0x5f, 1)
MMIO_CASE(mmio_and, and_reg, "", 0x5a, 0xf0, 0x50, 0xf0)
MMIO_CASE(mmio_xchg, xchg_insn, "", 0x5a, 0x33, 0x33, 0x5a)
MMIO_CASE(mmio_cmp, cmp_insn, "", 0x50, 0x300, 0x50, 0x301)

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

CASE_NEEDS("apic=1", mmio_stos, CPL0, RULE_MMIO, "")
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

CASE_NEEDS("apic=1", mmio_movs, CPL0, RULE_MMIO, "")
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

/* -- The rest. ---------------------------------------------------------------------------------------------- */

SNIPPET(vmmcall_insn, "mark insn; vmmcall; mark after; nop");
SNIPPET(wbinvd_insn, "mark insn; wbinvd; mark after; nop");
SNIPPET(invd_insn, "mark insn; invd; mark after; nop");
SNIPPET(rdtsc_insn, "mark insn; rdtsc; mark after; nop");
SNIPPET(rdtscp_insn, "mark insn; rdtscp; mark after; nop");
SNIPPET(rdpmc_insn, "mark insn; rdpmc; mark after; nop");
SNIPPET(monitor_insn, "mark insn; monitor; mark after; nop");
SNIPPET(mwait_insn, "mark insn; mwait; mark after; nop");
SNIPPET_BOTH(dr7_write, "mark insn; mov %rax, %dr7; mark after; nop",
	     "mark insn; mov %eax, %dr7; mark after; nop");
SNIPPET_BOTH(dr7_read, "mark insn; mov %dr7, %rax; mark after; nop",
	     "mark insn; mov %dr7, %eax; mark after; nop");

/* KVM's answer to a hypercall that it does not have; others may have their own. */
CASE(vmmcall, ALL_NATIVE, RULE_VMMCALL, CATCHES("model-ghcb-output-not-valid"))
{
	need_es();
	expect_vc(SVM_EXIT_VMMCALL, "");
	poison();
	run(vmmcall_insn);
	check(setup.result.rax != setup.regs.rax, "RAX is what it was");
	check_others(RAX);
}

CASE(wbinvd, CPL0, RULE_CACHE, CATCHES("model-ghcb-plain-gp"))
{
	expect_vc(SVM_EXIT_WBINVD, "");
	poison();
	run(wbinvd_insn);
	check_others(0);
}

/* Nowhere else: real hardware would lose what is in its caches. */
CASE(invd, CPL0, RULE_CACHE, CATCHES("model-ghcb-plain-gp"))
{
	need_es();
	expect_vc(SVM_EXIT_INVD, "");
	poison();
	run(invd_insn);
	check_others(0);
}

/* A machine may count, or refuse. */
CASE(rdpmc, CPL0, "APM 3, RDPMC: EDX:EAX, or #GP for a counter that does not exist",
     CATCHES("model-ghcb-wrong-result"))
{
	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	allow("no such counter", "#VC(0x6f)@insn, #GP(0x0)@insn");
	allow("a counter", "#VC(0x6f)@insn");
	poison();
	setup.regs.rcx = 0x3ffffff;
	run(rdpmc_insn);
	check_others(RAX | RDX);
}

CASE(monitor_mwait, CPL0, "GHCB 4.1, MONITOR and MWAIT: no output", CATCHES("model-ghcb-plain-gp"))
{
	static uint64_t line;

	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	need(cpuid(1, 0).c >> 3 & 1, "no MONITOR");
	setup.show_vc = true;
	expect("#VC(0x8a)@insn; #VC(0x8b)@insn");
	poison();
	setup.regs.rax = (uint64_t)&line;
	setup.regs.rcx = setup.regs.rdx = 0;
	run(monitor_insn);
	check_others(0);
	run(mwait_insn);
	check_others(0);
}

static void try_tsc(const struct snippet *snippet, unsigned code, unsigned intercept, uint32_t more)
{
	uint64_t before, between, after;

	need(ask_model(MODEL_CALL_INTERCEPT, intercept, 0, 0),
	     "needs a hypervisor that intercepts it on demand: our model");
	expect_vc(code, "");
	poison();
	before = rdtsc();
	run_snippet(snippet);
	after = rdtsc();
	ask_model(MODEL_CALL_INTERCEPT, 0, 0, 0);
	between = setup.result.rdx << 32 | setup.result.rax;
	check(setup.result.rax >> 32 == 0 && setup.result.rdx >> 32 == 0,
	      "RAX is %#lx, RDX %#lx: not zero-extended", setup.result.rax, setup.result.rdx);
	check(before < between && between < after, "%#lx does not lie between %#lx and %#lx",
	      between, before, after);
	check_others(RAX | RDX | more);
}

CASE(rdtsc, ALL_NATIVE, RULE_TSC, CATCHES("model-ghcb-output-not-valid"))
{
	try_tsc(&rdtsc_insn, SVM_EXIT_RDTSC, MODEL_INTERCEPT_RDTSC, 0);
}

CASE(rdtscp, ALL_NATIVE, RULE_TSC, CATCHES("model-ghcb-output-not-valid"))
{
	try_tsc(&rdtscp_insn, SVM_EXIT_RDTSCP, MODEL_INTERCEPT_RDTSCP, RCX);
}

CASE(dr7, CPL0, RULE_DR7, CATCHES("model-ghcb-plain-gp"))
{
	need(!(sev_status & SEV_STATUS_DEBUG_SWAP), "DebugSwap gives DR7 to the guest");
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	if (sev_is_es())
		expect("#VC(0x37)@insn; #VC(0x27)@insn");
	else
		expect("(none) x2");
	poison();
	setup.regs.rax = DR7_CLEAR | 0x100;
	run(dr7_write);
	check_others(0);
	run(dr7_read);
	check(setup.result.rax == (DR7_CLEAR | 0x100), "DR7 is %#lx", setup.result.rax);
	write_dr7(DR7_CLEAR);
	if (!sev_is_es())
		expect("(none); (none)");
}

/* -- The single-step trap behind what was emulated. ------------------------------------------------------ */

CASE(tf_cpuid, ALL_NATIVE, RULE_TF, CATCHES("kvm-tf-skipped"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.rflags = X86_EFLAGS_TF;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(cpuid_insn);
}

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

/* -- Nesting. ----------------------------------------------------------------------------------------------------- */

SNIPPET(int3_insn, "mark insn; int3; mark after; nop");

static struct cpuid in_handler;

static enum action cpuid_in_handler(const struct event *event, struct trap_frame *frame)
{
	(void)event;
	(void)frame;
	in_handler = cpuid(0x80000000, 0);
	return BY_RULE;
}

CASE(inside_handler, ALL_NATIVE, RULE_NEST, CATCHES("model-ghcb-output-not-valid"))
{
	struct cpuid r = cpuid(0x80000000, 0);

	need_native(GUEST_NEEDS_NATIVE);
	in_handler.a = 0;
	setup.hook = cpuid_in_handler;
	expect("#BP@after");
	run(int3_insn);
	check(in_handler.a == r.a && in_handler.b == r.b, "EAX is %#x, not %#x", in_handler.a, r.a);
}

/* EBX: the command; EBP: the ICR. */
SNIPPET(nmi_by_mmio, "mark insn; mov %ebx, (%ebp); area wait; " WAIT);

/* The NMI comes while the store is served; its handler uses the GHCB itself. */
CASE_NEEDS("apic=1", nmi_inside, ALL_NATIVE, RULE_NEST,
	   CATCHES("model-nmi-lost model-ghcb-nmi-complete-ignored"))
{
	struct cpuid r = cpuid(0x80000000, 0);

	need_native(GUEST_NEEDS_NATIVE);
	setup.hook = cpuid_in_handler;
	expect("nmi@wait x3");
	for (unsigned i = 0; i < 3; i++) {
		in_handler.a = 0;
		apic_write(APIC_ICR_HIGH, apic_id() << 24);
		setup.regs.rbp = 0xfee00000 + APIC_ICR;
		setup.regs.rbx = ICR_NMI | ICR_ASSERT;
		run_until(nmi_by_mmio, 1);
		check(in_handler.a == r.a, "EAX is %#x, not %#x", in_handler.a, r.a);
	}
}

/* -- Two CPUs. ------------------------------------------------------------------------------------------------- */

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
	for (; i < LEAST_ROUNDS || (rounds == begun && rdtsc() < end); i++)
		mine += !msr_is_own(i);
	witness(rounds != begun, "CPU 1 did nothing while CPU 0 asked");
	stop = true;
	check(cpu_wait(1), "CPU 1 did not come back within the deadline");
	wrmsr(MSR_SYSENTER_ESP, 0);
	check(!mine, "%u of %u values were not those of CPU 0", mine, i);
	check(!wrong, "%u of %u values were not those of CPU 1", wrong, rounds);
}

/* -- A hypervisor that lies about the exit code. ----------------------------------------------------------- */

SNIPPET(pause_nop, "pause; mark insn; nop; mark after; nop");
SNIPPET(pause_cpuid, "pause; mark insn; cpuid; mark after; nop");

static void try_forged(const struct snippet *snippet, unsigned code)
{
	need(ask_model(MODEL_CALL_FORGE, code, 1, 0),
	     "needs a hypervisor that injects #VC on demand: our model");
	poison();
	expect("#VC(%#x)@insn", code);
	run_snippet(snippet);
	ask_model(MODEL_CALL_BEHAVE, 0, 0, 0);
	check_others(0);
}

CASE(forged_vmmcall, ALL_NATIVE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_nop, SVM_EXIT_VMMCALL);
}

CASE(forged_msr, ALL_NATIVE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_cpuid, SVM_EXIT_MSR);
}

CASE(forged_mmio, ALL_NATIVE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_nop, SVM_EXIT_NPF);
}

CASE(forged_interrupt, ALL_NATIVE, RULE_FIT, CATCHES("linux-wesee"))
{
	try_forged(&pause_nop, 0x60);
}

/* -- VMGEXIT is none of it. ---------------------------------------------------------------------------------- */

SNIPPET(vmgexit_f2, "wrmsr; mark insn; .byte 0xf2, 0x0f, 0x01, 0xd9; mark after; rdmsr");
SNIPPET(vmgexit_f3, "wrmsr; mark insn; .byte 0xf3, 0x0f, 0x01, 0xd9; mark after; rdmsr");

static void try_vmgexit(const struct snippet *snippet)
{
	uint64_t before;

	need_es();
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	expect("(none)");
	setup.regs = (struct regs){.rcx = MSR_GHCB, .rax = GHCB_MSR_SEV_INFO_REQUEST};
	before = rdmsr(MSR_GHCB);
	run_snippet(snippet);
	wrmsr(MSR_GHCB, before);
	check((setup.result.rax & 0xfff) == GHCB_MSR_SEV_INFO, "EAX is %#lx, no SEV information",
	      setup.result.rax);
}

CASE(vmgexit_f3, CPL0, RULE_VMGEXIT, CATCHES("model-ghcb-info-once"))
{
	try_vmgexit(&vmgexit_f3);
}

CASE(vmgexit_f2, CPL0, RULE_VMGEXIT, CATCHES("model-vmgexit-as-vmmcall"))
{
	try_vmgexit(&vmgexit_f2);
}
