/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each intercept by itself: it catches what it is for, and nothing else does.
 *
 * The rule (APM 2, "Instruction Intercepts", "MOV from CRn/MOV to CRn Intercepts", "Selective Write CR0 Intercept",
 * "SVM Intercept Codes"). Each row of the table is an instruction, the one bit that intercepts it and the code of the
 * exit. Run with that bit alone it is an exit; run with every other bit of the five words set it is executed.
 *
 * The bugs that taught it. QEMU asks the intercept of INT n for INT3 and that of RDTSC for RDTSCP; KVM has injected
 * CR0_SEL_WRITE where WRITE_CR0 was right, and nothing for LMSW (to 6.18). A shift or a base that is off by one is
 * seen here and nowhere else.
 *
 * Which events exceptions' bits catch is svm_intercept.c's. A buggy hypervisor shows no exit, one with another code, or
 * one too many.
 */
#define GUEST_LAYERS SVM_LAYERS
#include "trapline.h"

#include "x86/nested/svm/svm.h"

#define RULE_EACH \
	"APM 2, SVM Intercept Codes: each intercept bit catches its instruction with its code, and no other bit does"
#define RULE_LMSW \
	"APM 2, Instruction Intercepts: the selective intercept catches LMSW whatever it writes, unless WRITE_CR0 catches it first"
#define RULE_SELECTIVE \
	"APM 2, Selective Write CR0 Intercept: for what changes more than TS and MP, unless WRITE_CR0 catches it first"

/* A bit of the VMCB's first words, counted from its beginning: CR reads, CR writes, DR reads, … */
#define CR_READ(n) (n)
#define CR_WRITE(n) (16 + (n))
#define DR_READ(n) (32 + (n))
#define DR_WRITE(n) (48 + (n))
#define INSTRUCTION(name) (96 + SVM_INTERCEPT_##name)
#define INTERCEPT_WORDS 6
#define EXCEPTION_WORD 2 /* left alone */

static unsigned bit;
static bool all_but;
static uint64_t exit_code;

static void set_intercepts(struct l2 *v)
{
	uint32_t *words = (uint32_t *)v->vmcb;

	if (v->exits > 1) {
		/* What comes now is the way out. */
		words[0] = words[1] = words[3] = 0;
		words[4] = 1 | 1u << SVM_INTERCEPT_VMMCALL % 32;
		return;
	}
	if (!all_but) {
		words[bit / 32] |= 1u << bit % 32;
		return;
	}
	for (unsigned i = 0; i < INTERCEPT_WORDS - 1; i++)
		if (i != EXCEPTION_WORD)
			words[i] = ~0u;
	words[bit / 32] &= ~(1u << bit % 32);
}

static enum l2_action note_code(struct l2 *v)
{
	exit_code = v->vmcb->exit_code;
	return L2_UNEXPECTED;
}

static void try_intercept(const struct snippet *snippet, unsigned which, bool others, uint64_t rax)
{
	bit = which;
	all_but = others;
	exit_code = ~0ul;
	setup.regs.rax = rax;
	l2_setup.on_call = set_intercepts;
	l2_setup.on_exit = note_code;
	run_snippet(snippet);
}

static void try_row(const struct snippet *snippet, unsigned which, uint64_t code,
		    bool can_be_executed, uint64_t rax)
{
	try_intercept(snippet, which, false, rax);
	check(exit_code == code, "the exit's code is %#lx, not %#lx", exit_code, code);
	if (can_be_executed)
		try_intercept(snippet, which, true, rax);
}

/* `rax` is what the instruction finds there. ALONE: it is not executed, as that would have other effects. */
#define ALONE false
#define BOTH true

#define ROW(name, text, which, code, shown, runs, rax, bugs)                                \
	SNIPPET_BOTH(name##_insn, "vmmcall; mark insn; " text "; mark after; vmmcall; nop", \
		     "nop");                                                                \
	CASE(name, CPL0, RULE_EACH, bugs)                                                   \
	{                                                                                   \
		expect(runs ? "exit " shown "@insn; (none)" : "exit " shown "@insn");       \
		try_row(&name##_insn, which, code, runs, rax);                              \
	}

#define CR_ROW(n)                                                                                \
	ROW(read_cr##n, "mov %cr" #n ", %rbx", CR_READ(n), SVM_EXIT_READ_CR0 + n, "READ_CR" #n,  \
	    BOTH, 0, CATCHES("tcg-read-cr"))                                                     \
	ROW(write_cr##n, "mov %rax, %cr" #n, CR_WRITE(n), SVM_EXIT_WRITE_CR0 + n, "WRITE_CR" #n, \
	    BOTH, read_cr##n(), "")

#define DR_ROW(n)                                                                                  \
	ROW(read_dr##n, "mov %dr" #n ", %rbx", DR_READ(n), SVM_EXIT_READ_DR0 + n, "DR_READ", BOTH, \
	    0, "")                                                                                 \
	ROW(write_dr##n, "mov %rax, %dr" #n, DR_WRITE(n), SVM_EXIT_WRITE_DR0 + n, "DR_WRITE",      \
	    BOTH, read_dr##n(), "")

#define INSN_ROW(name, text, which, runs, bugs) \
	ROW(name, text, INSTRUCTION(which), SVM_EXIT(which), #which, runs, 0, bugs)

CR_ROW(0)
CR_ROW(2)
CR_ROW(3)
CR_ROW(4)
CR_ROW(8)
DR_ROW(0)
DR_ROW(1)
DR_ROW(2)
DR_ROW(3)
DR_ROW(6)
DR_ROW(7)

ROW(smsw, "smsw %rbx", CR_READ(0), SVM_EXIT_READ_CR0, "READ_CR0", BOTH, 0, "")
ROW(lmsw, "lmsw %ax", CR_WRITE(0), SVM_EXIT_WRITE_CR0, "WRITE_CR0", ALONE, read_cr0(), "")
ROW(clts, "clts", CR_WRITE(0), SVM_EXIT_WRITE_CR0, "WRITE_CR0", BOTH, 0, "")

INSN_ROW(sidt, "sidt -16(%rsp)", IDTR_READ, BOTH, "")
INSN_ROW(sgdt, "sgdt -16(%rsp)", GDTR_READ, BOTH, "")
INSN_ROW(sldt, "sldt %bx", LDTR_READ, BOTH, "")
INSN_ROW(str, "str %bx", TR_READ, BOTH, "")
INSN_ROW(lidt, "lidt -16(%rsp)", IDTR_WRITE, ALONE, "")
INSN_ROW(lgdt, "lgdt -16(%rsp)", GDTR_WRITE, ALONE, "")
INSN_ROW(lldt, "lldt %ax", LDTR_WRITE, BOTH, "")
INSN_ROW(rdtsc, "rdtsc", RDTSC, BOTH, "")
INSN_ROW(rdpmc, "rdpmc", RDPMC, ALONE, "")
INSN_ROW(pushf, "pushf", PUSHF, BOTH, "")
INSN_ROW(popf, "popf", POPF, ALONE, "")
INSN_ROW(cpuid, "cpuid", CPUID, BOTH, "")
INSN_ROW(iret, "iretq", IRET, ALONE, "")
ROW(int_n, "int $0x80", INSTRUCTION(INTN), SVM_EXIT(INTN), "SWINT", ALONE, 0, "")
INSN_ROW(invd, "invd", INVD, BOTH, CATCHES("tcg-invd-exit"))
INSN_ROW(pause, "pause", PAUSE, BOTH, CATCHES("bochs-pause-filter"))
INSN_ROW(hlt, "hlt", HLT, ALONE, "")
INSN_ROW(invlpg, "invlpg (%rsp)", INVLPG, BOTH, "")
INSN_ROW(invlpga, "xor %ecx, %ecx; mark insn; invlpga %rax, %ecx", INVLPGA, ALONE, "")
INSN_ROW(out, "out %al, $0x80", IOIO, BOTH, "")
INSN_ROW(rdmsr, "mov $0x10, %ecx; mark insn; rdmsr", MSR, BOTH, "")
INSN_ROW(vmload, "vmload %rax", VMLOAD, ALONE, "")
INSN_ROW(vmsave, "vmsave %rax", VMSAVE, ALONE, "")
INSN_ROW(stgi_insn, "stgi", STGI, ALONE, "")
INSN_ROW(clgi_insn, "clgi", CLGI, ALONE, "")
INSN_ROW(rdtscp, "rdtscp", RDTSCP, BOTH, CATCHES("tcg-rdtscp-exit"))
INSN_ROW(wbinvd, "wbinvd", WBINVD, BOTH, "")

/* -- What not every CPU has, or what needs something first. ------------------------------------ */

SNIPPET(monitor_insn, "xor %ecx, %ecx; xor %edx, %edx; vmmcall; mark insn; monitor; "
		      "mark after; vmmcall; nop");
SNIPPET(mwait_insn, "xor %ecx, %ecx; vmmcall; mark insn; mwait; mark after; vmmcall; nop");
SNIPPET(xsetbv_insn, "xor %ecx, %ecx; xor %edx, %edx; vmmcall; mark insn; xsetbv; mark after; vmmcall; nop");
SNIPPET(two_calls, "vmmcall; mark insn; vmmcall; mark after; nop");

static void need_monitor(void)
{
	need_of_machine(cpuid(1, 0).c & 1u << 3, "MONITOR");
}

CASE(monitor, CPL0, RULE_EACH, CATCHES("bochs-monitor-intercept"))
{
	need_monitor();
	expect("exit MONITOR@insn; (none)");
	try_row(&monitor_insn, INSTRUCTION(MONITOR), SVM_EXIT(MONITOR), BOTH, (uint64_t)&exit_code);
}

/* Nothing is armed, so it does not wait. */
CASE(mwait, CPL0, RULE_EACH, CATCHES("bochs-monitor-intercept"))
{
	need_monitor();
	expect("exit MWAIT@insn");
	try_row(&mwait_insn, INSTRUCTION(MWAIT), SVM_EXIT(MWAIT), ALONE, 0);
}

/* XCR0 as reset leaves it. */
CASE(xsetbv, CPL0, RULE_EACH, CATCHES("tcg-xsetbv-intercept"))
{
	uint64_t cr4 = read_cr4();

	need_of_machine(cpuid(1, 0).c & 1u << 26, "XSAVE");
	expect("exit XSETBV@insn; (none)");
	write_cr4(cr4 | X86_CR4_OSXSAVE);
	try_row(&xsetbv_insn, INSTRUCTION(XSETBV), SVM_EXIT(XSETBV), BOTH, 1);
	write_cr4(cr4);
}

static void forget_calls(struct l2 *v)
{
	v->vmcb->intercept[SVM_INTERCEPT_VMMCALL / 32] &= ~(1u << SVM_INTERCEPT_VMMCALL % 32);
}

CASE(vmmcall_not_intercepted, IN_LONG_MODE, "APM 3, VMMCALL: #UD if it is not intercepted",
     CATCHES("nsvm-vmmcall-loop nsvm-vmmcall-ud"))
{
	l2_setup.on_call = forget_calls;
	expect("#UD@insn");
	run(two_calls);
}

/* -- The selective intercept of CR0. ----------------------------------------------------------- */

#define CR0_TS (1ul << 3)
#define CR0_NE (1ul << 5)

SNIPPET_BOTH(mov_cr0, "vmmcall; mark insn; mov %rax, %cr0; mark after; vmmcall; nop", "nop");

static bool with_write;

static void set_selective(struct l2 *v)
{
	set_intercepts(v);
	if (v->exits == 1 && with_write)
		v->vmcb->intercept_cr_write |= 1;
}

static void try_selective_of(const struct snippet *snippet, uint64_t rax, bool write_too)
{
	with_write = write_too;
	bit = INSTRUCTION(CR0_SELECTIVE);
	all_but = false;
	setup.regs.rax = rax;
	l2_setup.on_call = set_selective;
	l2_setup.on_exit = note_code;
	run_snippet(snippet);
}

static void try_selective(uint64_t cr0, bool write_too)
{
	try_selective_of(&mov_cr0, cr0, write_too);
}

#define BUGS_SELECTIVE CATCHES("nsvm-cr0-sel-write")
#define BUGS_LMSW CATCHES("nsvm-cr0-sel-write lmsw-selective")

CASE(selective_lmsw, CPL0, RULE_LMSW, BUGS_LMSW)
{
	expect("exit CR0_SEL_WRITE@insn; exit WRITE_CR0@insn");
	try_selective_of(&lmsw_insn, read_cr0(), false);
	try_selective_of(&lmsw_insn, read_cr0(), true);
}

CASE(selective_clts, CPL0, RULE_SELECTIVE, BUGS_SELECTIVE)
{
	expect("(none); exit WRITE_CR0@insn");
	try_selective_of(&clts_insn, 0, false);
	try_selective_of(&clts_insn, 0, true);
}

CASE(selective_cr0_same, CPL0, RULE_SELECTIVE, BUGS_SELECTIVE)
{
	expect("(none); exit WRITE_CR0@insn");
	try_selective(read_cr0(), false);
	try_selective(read_cr0(), true);
}

CASE(selective_cr0, CPL0, RULE_SELECTIVE, BUGS_SELECTIVE)
{
	uint64_t cr0 = read_cr0();

	expect("exit CR0_SEL_WRITE@insn; exit WRITE_CR0@insn");
	try_selective(cr0 ^ CR0_NE, false);
	try_selective(cr0 ^ CR0_NE, true);
}

CASE(selective_cr0_ts, CPL0, RULE_SELECTIVE, BUGS_SELECTIVE)
{
	uint64_t cr0 = read_cr0();

	expect("(none); exit WRITE_CR0@insn");
	try_selective(cr0 ^ CR0_TS, false);
	write_cr0(cr0);
	try_selective(cr0 ^ CR0_TS, true);
}
