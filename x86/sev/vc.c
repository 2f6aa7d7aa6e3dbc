/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What SEV-ES turns into #VC, and what the guest makes of it: instructions whose operands are registers.
 * Ports and device registers are in vc_io.c, other events in vc_events.c.
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
 * -25744). The handler under test is our own (lib/x86/sev/vc/handler.c); the hypervisor's answers are judged
 * by it and, directly, in ghcb.c.
 *
 * https://www.amd.com/content/dam/amd/en/documents/epyc-technical-docs/specifications/56421.pdf,
 * https://ahoi-attacks.github.io/wesee/
 */
#include "vc.h"

#include "ask_model.h"
#include "x86/sev/ghcb_msr.h"

#define RULE_CPUID "APM 3, CPUID: EAX, EBX, ECX and EDX, zero-extended; GHCB 4.1, CPUID"
#define RULE_XCR0 \
	"APM 3, CPUID Fn0000_000D: EBX is the size of what XCR0 enables; GHCB 4.1, CPUID: XCR0 is an input"
#define RULE_RDMSR "APM 3, RDMSR: EDX:EAX; GHCB 4.1, MSR_PROT"
#define RULE_WRMSR "APM 3, WRMSR: the MSR has the value of EDX:EAX; GHCB 4.1, MSR_PROT"
#define RULE_GP "GHCB 4.1, SW_EXITINFO1 of 1: the exception is raised at the instruction"
#define RULE_VMMCALL "GHCB 4.1, VMMCALL: RAX is the result; all else is kept"
#define RULE_CACHE "APM 3, WBINVD and INVD: no register changes"
#define RULE_TSC "APM 3, RDTSC and RDTSCP: EDX:EAX, and ECX = TSC_AUX; GHCB 4.1, RDTSC and RDTSCP"
#define RULE_DR7 "GHCB 4.5, DR7: the guest keeps the value that it wrote"
#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it"

SNIPPET(cpuid_insn, "mark insn; cpuid; mark after; nop");
SNIPPET(rdmsr_insn, "mark insn; rdmsr; mark after; nop");
SNIPPET(wrmsr_insn, "mark insn; wrmsr; mark after; nop");
SNIPPET(vmmcall_insn, "mark insn; vmmcall; mark after; nop");

/* -- CPUID. ------------------------------------------------------------------------------------ */

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

CASE(cpuid_0, IN_LONG_MODE, RULE_CPUID, CATCHES("model-cpuid-unsteady model-vc-wrong-code"))
{
	try_cpuid(0);
}

CASE(cpuid_extended, IN_LONG_MODE, RULE_CPUID,
     CATCHES("model-ghcb-output-not-valid model-vc-wrong-code"))
{
	try_cpuid(0x80000000);
}

CASE(cpuid_subleaf, CPL0, RULE_CPUID, CATCHES("model-ghcb-cpuid-subleaf"))
{
	struct regs first, second;

	need_of_machine(cpuid(0, 0).a >= 0xd && cpuid(0xd, 0).a, "CPUID leaf 0xd");
	need_native(GUEST_NEEDS_NATIVE);
	first = run_cpuid(0xd, 0);
	second = run_cpuid(0xd, 2);
	check(first.rax != second.rax || first.rbx != second.rbx,
	      "sub-leaves 0 and 2 of leaf 0xd are the same");
	expect("(none) x2");
}

#define CR4_OSXSAVE (1u << 18)
#define XCR0_AVX 7
#define XSAVE_LEGACY_BYTES 0x240

static void set_xcr0(uint64_t value)
{
	asm volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0));
}

/* Nobody knows this CPU's XCR0 unless the guest tells. */
CASE(cpuid_xcr0, CPL0, RULE_XCR0, CATCHES("model-ghcb-xcr0-ignored"))
{
	uint64_t cr4 = read_cr4();
	struct cpuid avx;
	uint64_t without, with;

	need_of_machine(cpuid(0, 0).a >= 0xd && cpuid(1, 0).c >> 26 & 1 && cpuid(0xd, 0).a >> 2 & 1,
			"AVX");
	need_native(GUEST_NEEDS_NATIVE);
	avx = cpuid(0xd, 2);
	write_cr4(cr4 | CR4_OSXSAVE);
	set_xcr0(1);
	without = run_cpuid(0xd, 0).rbx;
	set_xcr0(XCR0_AVX);
	with = run_cpuid(0xd, 0).rbx;
	set_xcr0(1);
	write_cr4(cr4);
	check(without == XSAVE_LEGACY_BYTES, "EBX is %#lx for x87 alone", without);
	check(with == avx.b + avx.a, "EBX is %#lx with AVX, which ends at %#x", with,
	      avx.b + avx.a);
	expect("(none) x2");
}

/* -- MSRs. ------------------------------------------------------------------------------------- */

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

/* A hypervisor may leave this one to the guest, as KVM does, since it is part of the VMSA. */
CASE(wrmsr, CPL0, RULE_WRMSR, CATCHES("model-ghcb-msr-halves"))
{
	if (sev_is_es()) {
		need_native(GUEST_NEEDS_NATIVE);
		setup.show_vc = true;
		allow("the hypervisor intercepts it", "#VC(%#x)@insn", SVM_EXIT_MSR);
		allow("the MSR is the guest's own", "(none)");
	} else {
		expect_vc(SVM_EXIT_MSR, "");
	}
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
static void try_msr_gp(const struct snippet *snippet)
{
	need_es();
	expect_vc(SVM_EXIT_MSR, "#GP(0x0)@insn");
	poison();
	setup.regs.rcx = MSR_NOBODY_HAS;
	run_snippet(snippet);
	check_others(0);
}

CASE(rdmsr_gp, CPL0, RULE_GP, CATCHES("model-ghcb-gp-lost model-ghcb-wrong-result"))
{
	try_msr_gp(&rdmsr_insn);
}

CASE(wrmsr_gp, CPL0, RULE_GP, CATCHES("model-ghcb-gp-lost model-ghcb-wrong-result"))
{
	try_msr_gp(&wrmsr_insn);
}

/* Of instructions that never raise it by themselves; the hypervisor's word alone says so. */
CASE(asked_exception, IN_LONG_MODE, RULE_GP, "")
{
	/* #UD, #GP without an error code, which is 0 then, and #GP with one. */
	static const uint64_t words[] = {0x80000306, 0x8000030d, 0x123480000b0d};

	need_model(ask_model(MODEL_CALL_BEHAVE, 0, 0, 0));
	setup.show_vc = true;
	expect("#VC(0x81)@insn, #UD@insn; #VC(0x81)@insn, #GP(0x0)@insn; "
	       "#VC(0x81)@insn, #GP(0x1234)@insn");
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		poison();
		ask_model(MODEL_CALL_SPOIL, MODEL_SPOIL_INJECT, 1, words[i]);
		run(vmmcall_insn);
		check_others(0);
	}
}

CASE(rdmsr_user, CPL3 | COMPAT, "APM 3, RDMSR: #GP(0) at CPL 3; the intercept comes after it",
     CATCHES("model-vc-before-gp"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.show_vc = true;
	expect("#GP(0x0)@insn");
	run(rdmsr_insn);
}

/* -- The rest. --------------------------------------------------------------------------------- */

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
CASE(vmmcall, IN_LONG_MODE, RULE_VMMCALL, CATCHES("model-ghcb-output-not-valid"))
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
	need_of_machine(cpuid(1, 0).c >> 3 & 1, "MONITOR");
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

/* What a guest under SEV-ES is offered nothing of, by no event: the handler's answer is the CPU's own. */
SNIPPET(vmrun_insn, "mark insn; .byte 0x0f, 0x01, 0xd8; nop");
SNIPPET(vmload_insn, "mark insn; .byte 0x0f, 0x01, 0xda; nop");
SNIPPET(vmsave_insn, "mark insn; .byte 0x0f, 0x01, 0xdb; nop");
SNIPPET(clgi_insn, "mark insn; .byte 0x0f, 0x01, 0xdd; nop");
SNIPPET(invlpga_insn, "mark insn; .byte 0x0f, 0x01, 0xdf; nop");

static void try_svm(const struct snippet *snippet, unsigned code)
{
	expect_vc(code, "#UD@insn");
	poison();
	/* An address that they would take: no #GP comes first. */
	setup.regs.rax = 0;
	run_snippet(snippet);
	check_others(0);
}

#define RULE_SVM "APM 3, VMRUN, VMLOAD, VMSAVE, CLGI, INVLPGA: #UD where EFER.SVME is 0"
#define SVM_CASE(name, code, bugs)                \
	CASE(name, CPL0, RULE_SVM, CATCHES(bugs)) \
	{                                         \
		try_svm(&name##_insn, code);      \
	}

SVM_CASE(vmrun, SVM_EXIT_VMRUN, "model-svm-not-hidden")
SVM_CASE(vmload, SVM_EXIT_VMLOAD, "model-svm-not-hidden")
SVM_CASE(vmsave, SVM_EXIT_VMSAVE, "model-svm-not-hidden")
SVM_CASE(clgi, SVM_EXIT_CLGI, "model-svm-not-hidden kvm-svm-vgif-clgi")
SVM_CASE(invlpga, SVM_EXIT_INVLPGA, "model-svm-not-hidden kvm-svm-invlpga")

static void try_tsc(const struct snippet *snippet, unsigned code, unsigned intercept, uint32_t more)
{
	uint64_t before, between, after;

	need_model(ask_model(MODEL_CALL_INTERCEPT, intercept, 0, 0));
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

CASE(rdtsc, IN_LONG_MODE, RULE_TSC, CATCHES("model-ghcb-output-not-valid"))
{
	try_tsc(&rdtsc_insn, SVM_EXIT_RDTSC, MODEL_INTERCEPT_RDTSC, 0);
}

CASE(rdtscp, IN_LONG_MODE, RULE_TSC, CATCHES("model-ghcb-output-not-valid"))
{
	try_tsc(&rdtscp_insn, SVM_EXIT_RDTSCP, MODEL_INTERCEPT_RDTSCP, RCX);
}

CASE(dr7, CPL0, RULE_DR7, CATCHES("model-ghcb-plain-gp"))
{
	need_of_machine(!(sev_status & SEV_STATUS_DEBUG_SWAP), "intercept of DR7 (DebugSwap)");
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

/* -- The single-step trap behind what was emulated. -------------------------------------------- */

CASE(tf_cpuid, IN_LONG_MODE, RULE_TF, CATCHES("kvm-tf-skipped"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.rflags = X86_EFLAGS_TF;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(cpuid_insn);
}
