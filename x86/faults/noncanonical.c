/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Non-canonical addresses: which fault an access to one gives, and what it leaves alone.
 *
 * The rule. A linear address whose upper bits do not repeat its highest one cannot be translated. A reference to it
 * is #SS(0) where the stack segment is used, by the instruction (PUSH, POP, CALL, RET, ENTER, LEAVE, IRET) or by a
 * base of RSP or RBP, and #GP(0) otherwise; a branch to it is #GP(0), at the branch. None of them is a #PF, so CR2
 * stays. What only computes an address, or may ignore it (LEA, NOP, PREFETCH), does not fault. A gate that leads
 * to such an address is #GP, a stack from the TSS that is such an address is #SS, both of the instruction that
 * raised the event, with nothing pushed.
 *
 * Why a hypervisor must care. An emulator checks these by hand, in each of its ways to memory: TCG gives #GP where
 * #SS is due (QEMU, gitlab #928), and an emulator that forgets the check makes a #PF of it, with an address
 * that the guest's kernel takes for a bug of its own. MSRs that hold addresses are checked by the
 * hypervisor alone where it intercepts them; loading one with a value that it has not checked ends the VM.
 *
 * What a buggy hypervisor shows here: #GP for #SS or the other way round, #PF, a wrong error code, another RIP,
 * CR2 or the register of the address changed, no fault at all.
 *
 * The stack of #SS is one of its own (IST), since the one in use is what is broken.
 */
#include "trapline.h"

#define RULE_SS \
	"SDM 3A, Stack-Segment Exception (#SS): a non-canonical reference by the stack segment is #SS(0)"
#define RULE_GP \
	"SDM 3A, General Protection Exception (#GP): a non-canonical memory address is #GP(0)"
#define RULE_BRANCH \
	"SDM 2A, JMP and CALL, SDM 2B, RET: a target that is not canonical is #GP(0), before the branch"
#define RULE_NONE "SDM 2B, NOP and PREFETCHh, SDM 2A, LEA: the operand is not read"
#define RULE_GATE \
	"SDM 2A, INT n/INTO/INT3/INT1: an offset in the gate that is not canonical is #GP(EXT)"
#define RULE_STACK \
	"SDM 2A, INT n/INTO/INT3/INT1: a new stack pointer that is not canonical is #SS(EXT)"
#define RULE_MSR "SDM 2D, WRMSR: a non-canonical address in an MSR that holds one is #GP(0)"

#define BUGS CATCHES("tcg-noncanonical-ss model-gp-as-pf")
#define BAD 0x8000000000000000ul
/* Beside the two ends of the hole, a page away from them. */
#define HIGH 0xffff7ffffffff000ul
#define LOW 0x0000800000001000ul

/* What CR2 holds before; no fault here may change it. */
#define CR2_BEFORE 0x5a5a5000ul

static uint64_t good_stack_top(void)
{
	return stack_top(this_cpu()->index, STACK_EVENTS);
}

/* Each of the three addresses is tried; `rbx` has it. */
static void run_with(const struct snippet *snippet)
{
	static const uint64_t tried[] = {BAD, LOW, HIGH};

	uint64_t cr2;

	use_ist(VECTOR_SS, good_stack_top());
	use_ist(VECTOR_GP, good_stack_top());
	use_ist(VECTOR_PF, good_stack_top());
	for (unsigned i = 0; i < 3; i++) {
		setup.regs.rbx = tried[i];
		write_cr2(CR2_BEFORE);
		cr2 = read_cr2();
		run_snippet(snippet);
		check(read_cr2() == cr2, "CR2 is %#lx after an access to %#lx", read_cr2(),
		      tried[i]);
	}
}

#define ROW_OF(name, rule, trace, bugs, text)                      \
	SNIPPET_BOTH(bad_##name, text "\nmark after\nnop", "nop"); \
	CASE(name, CPL0 | CPL3, rule, bugs)                        \
	{                                                          \
		allow_run(trace);                                  \
		run_with(&bad_##name);                             \
	}

#define ROW(name, rule, trace, text) ROW_OF(name, rule, trace, BUGS, text)
#define NO_FAULT(name, rule, text) ROW_OF(name, rule, "(none)", "", text)

#define ON_STACK "mov %rbx, %rsp\nmark insn\n"
#define BY_RBP "mov %rbx, %rbp\nmark insn\n"
#define SS "#SS(0x0)@insn"
#define GP "#GP(0x0)@insn"

/* -- By the stack segment. ----------------------------------------------------------------------- */

ROW(push, RULE_SS, SS, ON_STACK "push %rax")
ROW(push_imm, RULE_SS, SS, ON_STACK "push $0x12")
ROW(push_memory, RULE_SS, SS, ON_STACK "pushq (%rsp)")
ROW(pushf, RULE_SS, SS, ON_STACK "pushfq")
ROW(pop, RULE_SS, SS, ON_STACK "pop %rax")
ROW(popf, RULE_SS, SS, ON_STACK "popfq")
ROW(call, RULE_SS, SS, ON_STACK "call 1f\n1:")
ROW(ret, RULE_SS, SS, ON_STACK "ret")
ROW(enter, RULE_SS, SS, ON_STACK "enter $0, $0")
ROW(leave, RULE_SS, SS, BY_RBP "leave")
ROW(iret, RULE_SS, SS, ON_STACK "iretq")
ROW(load_rsp, RULE_SS, SS, ON_STACK "mov (%rsp), %rax")
ROW(load_rbp, RULE_SS, SS, BY_RBP "mov (%rbp), %rax")
ROW(store_rbp, RULE_SS, SS, BY_RBP "mov %eax, (%rbp)")
ROW(add_rbp_index, RULE_SS, SS, BY_RBP "xor %ecx, %ecx\nmark insn\naddb $1, (%rbp,%rcx)")

/* -- By any other. ------------------------------------------------------------------------------- */

ROW(load, RULE_GP, GP, "mark insn\nmov (%rbx), %rax")
ROW(store, RULE_GP, GP, "mark insn\nmov %al, (%rbx)")
ROW(read_modify_write, RULE_GP, GP, "mark insn\nlock incq (%rbx)")
ROW(load_r12, RULE_GP, GP, "mov %rbx, %r12\nmark insn\nmov (%r12), %rax")
ROW(load_r13, RULE_GP, GP, "mov %rbx, %r13\nmark insn\nmov (%r13), %rax")
ROW(index_rbp, RULE_GP, GP, "mov %rbx, %rbp\nxor %eax, %eax\nmark insn\nmov (%rax,%rbp), %rcx")
ROW(push_from, RULE_GP, GP, "mark insn\npushq (%rbx)")
ROW(pop_to, RULE_GP, GP, "push %rax\nmark insn\npopq (%rbx)")
ROW(movs_from, RULE_GP, GP, "mov %rbx, %rsi\nmov %rsp, %rdi\nmark insn\nmovsb")
ROW(movs_to, RULE_GP, GP, "mov %rsp, %rsi\nmov %rbx, %rdi\nmark insn\nmovsb")
ROW(rep_stos, RULE_GP, GP, "mov %rbx, %rdi\nmov $4, %ecx\nmark insn\nrep stosb")
ROW(cmps, RULE_GP, GP, "mov %rsp, %rsi\nmov %rbx, %rdi\nmark insn\ncmpsb")
ROW(xlat, RULE_GP, GP, "xor %eax, %eax\nmark insn\nxlatb")
ROW(cmpxchg16b, RULE_GP, GP, "mark insn\ncmpxchg16b (%rbx)")
ROW(fxsave, RULE_GP, GP, "mark insn\nfxsave (%rbx)")
ROW(sidt, RULE_GP, GP, "mark insn\nsidt (%rbx)")

/* -- Branches. ----------------------------------------------------------------------------------- */

ROW(jmp_to, RULE_BRANCH, GP, "mark insn\njmp *%rbx")
ROW(call_to, RULE_BRANCH, GP, "mark insn\ncall *%rbx")
ROW(ret_to, RULE_BRANCH, GP, "push %rbx\nmark insn\nret")
ROW(jmp_by, RULE_GP, GP, "mark insn\njmp *(%rbx)")
ROW(call_by, RULE_GP, GP, "mark insn\ncall *(%rbx)")

/* -- No access. ---------------------------------------------------------------------------------- */

NO_FAULT(lea, RULE_NONE, "mark insn\nlea (%rbx), %rax")
NO_FAULT(nop_memory, RULE_NONE, "mark insn\nnopl (%rbx)")
NO_FAULT(prefetch, RULE_NONE, "mark insn\nprefetcht0 (%rbx)")
NO_FAULT(rep_zero_times, "SDM 2B, REP: with a count of 0 nothing is read",
	 "mov %rbx, %rsi\nmov %rbx, %rdi\nxor %ecx, %ecx\nmark insn\nrep movsb")

/* -- Delivery. ----------------------------------------------------------------------------------- */

SNIPPET(int3, "mark insn; int3; mark after; nop");
SNIPPET(int_0x40, "mark insn; int $0x40; mark after; nop");

#define TO_NOWHERE(name, vector)                                                            \
	CASE(gate_of_##name, IN_LONG_MODE, RULE_GATE, CATCHES("model-noncanonical-gate"))   \
	{                                                                                   \
		gate_set_handler(vector, (const void *)BAD);                                \
		expect(GP);                                                                 \
		run(name);                                                                  \
	}                                                                                   \
	CASE(ist_of_##name, IN_LONG_MODE, RULE_STACK, CATCHES("model-noncanonical-gate"))   \
	{                                                                                   \
		use_ist(vector, BAD);                                                       \
		expect(SS);                                                                 \
		if (setup.environment == CPL0)                                              \
			allow("SDM 2A, INT n: #SS(selector) on a switch by IST",            \
			      "#SS(0x18)@insn");                                            \
		run(name);                                                                  \
	}                                                                                   \
	CASE(rsp0_of_##name, CPL3 | COMPAT, RULE_STACK, CATCHES("model-noncanonical-gate")) \
	{                                                                                   \
		this_cpu()->descriptors.tss.rsp[0] = LOW;                                   \
		use_ist(VECTOR_SS, good_stack_top());                                       \
		expect(SS);                                                                 \
		run(name);                                                                  \
	}

TO_NOWHERE(int3, VECTOR_BP)
TO_NOWHERE(int_0x40, 0x40)

/* -- MSRs that hold an address; GS base is this library's own, and left out. ---------------------- */

SNIPPET(write_msr, "mark insn; wrmsr; mark after; nop");

#define IN_MSR(name, number)                                                      \
	CASE(wrmsr_##name, CPL0, RULE_MSR, CATCHES("tcg-wrmsr-noncanonical"))     \
	{                                                                         \
		uint64_t before = rdmsr(number);                                  \
                                                                                  \
		expect(GP " x3");                                                 \
		for (unsigned i = 0; i < 3; i++) {                                \
			uint64_t value = (uint64_t[]){BAD, LOW, HIGH}[i];         \
                                                                                  \
			setup.regs.rcx = number;                                  \
			setup.regs.rax = (uint32_t)value;                         \
			setup.regs.rdx = value >> 32;                             \
			run(write_msr);                                           \
		}                                                                 \
		check(rdmsr(number) == before, "the MSR is %#lx", rdmsr(number)); \
		wrmsr(number, before);                                            \
	}

IN_MSR(lstar, 0xc0000082)
IN_MSR(cstar, 0xc0000083)
IN_MSR(fs_base, 0xc0000100)
IN_MSR(kernel_gs_base, 0xc0000102)
