/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each control by itself: it catches what it is for, and nothing else does.
 *
 * The rule (SDM 3C, "Instructions That Cause VM Exits Conditionally", "Exit Qualification"; SDM 3D, "VMX Basic Exit
 * Reasons"). Each row of the table is an instruction, the one control that makes it exit, the reason, and the
 * qualification. Run with that control alone it is an exit, with its length; run with all other controls that make
 * instructions exit it is executed.
 *
 * The bugs that taught it. Under SVM, where the same table is svm_each.c, QEMU asks one intercept for another. A bit or
 * a field of the qualification that is off by one is seen here and nowhere else, and an L1 that emulates by the
 * qualification then changes the wrong register.
 *
 * Exceptions' bits are vmx_intercept.c's. A buggy hypervisor shows no exit, one with another reason, or one too many.
 */
#define GUEST_LAYERS VMX_LAYERS
#include "trapline.h"

#include "x86/nested/vmx/vmx.h"

#define RULE_EACH \
	"SDM 3C, Instructions That Cause VM Exits Conditionally, Exit Qualification: each control catches its instruction, and no other control does"

#define CPU_INVLPG (1u << 9)
#define CPU_RDPMC (1u << 11)
#define CPU_CR3_LOAD (1u << 15)
#define CPU_CR3_STORE (1u << 16)
#define SECONDARY_TABLES (1u << 2)
#define SECONDARY_WBINVD (1u << 6)
#define SECONDARY_RDRAND (1u << 11)
#define SECONDARY_RDSEED (1u << 16)

/* All that make instructions exit. */
#define CPU_EXITING                                                                    \
	(CPU_HLT | CPU_INVLPG | CPU_RDPMC | CPU_RDTSC | CPU_CR3_LOAD | CPU_CR3_STORE | \
	 CPU_CR8_LOAD | CPU_CR8_STORE | CPU_MOV_DR | CPU_ALL_PORTS | CPU_PAUSE)
#define SECONDARY_EXITING \
	(SECONDARY_TABLES | SECONDARY_WBINVD | SECONDARY_RDRAND | SECONDARY_RDSEED)

static struct {
	enum vmcs_field field;
	uint32_t bit;
	bool all_but;
} now;

static struct {
	uint64_t qualification, length;
} seen;

static uint32_t allowed(enum vmcs_field controls, uint32_t bits)
{
	return bits & vmx_limits(controls) >> 32;
}

static void set_controls(struct l2 *v)
{
	if (v->exits > 1) {
		/* What comes now is the way out. */
		vmclear_bits(VMCS_CPU_CONTROLS, CPU_EXITING);
		if (allowed(VMCS_SECONDARY_CONTROLS, SECONDARY_EXITING))
			vmclear_bits(VMCS_SECONDARY_CONTROLS, SECONDARY_EXITING);
		return;
	}
	if (now.all_but) {
		vmset(VMCS_CPU_CONTROLS, allowed(VMCS_CPU_CONTROLS, CPU_EXITING));
		if (allowed(VMCS_SECONDARY_CONTROLS, SECONDARY_EXITING))
			vmset(VMCS_SECONDARY_CONTROLS,
			      allowed(VMCS_SECONDARY_CONTROLS, SECONDARY_EXITING));
		vmclear_bits(now.field, now.bit);
	} else {
		vmset(now.field, now.bit);
	}
}

static enum l2_action note_exit(struct l2 *v)
{
	(void)v;
	seen.qualification = vmread(VMCS_QUALIFICATION);
	seen.length = vmread(VMCS_EXIT_LENGTH);
	return L2_UNEXPECTED;
}

static void try_control(const struct snippet *snippet, bool all_but, uint64_t rax)
{
	now.all_but = all_but;
	setup.regs.rax = setup.regs.rdx = rax;
	l2_setup.on_call = set_controls;
	l2_setup.on_exit = note_exit;
	run_snippet(snippet);
}

#define ANY ~0ul

static void try_row(const struct snippet *snippet, enum vmcs_field field, uint32_t bit,
		    uint64_t qualification, bool runs, uint64_t rax)
{
	uint64_t length = mark_offset(snippet, "after") - mark_offset(snippet, "insn");

	need_of_machine(allowed(field, bit), "this control");
	now.field = field;
	now.bit = bit;
	seen.qualification = seen.length = ~0ul;
	try_control(snippet, false, rax);
	check(seen.length == length, "the instruction length is %lu, not %lu", seen.length, length);
	check(qualification == ANY || seen.qualification == qualification,
	      "the qualification is %#lx, not %#lx", seen.qualification, qualification);
	if (runs)
		try_control(snippet, true, rax);
}

/* `rax` is what the instruction finds there, and in RDX. ALONE: it is not executed, as that would have other effects. */
#define ALONE false
#define BOTH true

#define ROW(name, text, field, bit, exit, qualification, runs, rax)                               \
	SNIPPET_BOTH(name##_insn, "vmcall; mark insn; " text "; mark after; vmcall; nop", "nop"); \
	CASE(name, CPL0, RULE_EACH, "")                                                           \
	{                                                                                         \
		expect(runs ? "exit " exit "@insn; (none)" : "exit " exit "@insn");               \
		try_row(&name##_insn, VMCS_##field##_CONTROLS, bit, qualification, runs, rax);    \
	}

#define CPU_ROW(name, text, bit, exit, qualification, runs, rax) \
	ROW(name, text, CPU, bit, exit, qualification, runs, rax)
#define SECONDARY_ROW(name, text, bit, exit, runs) \
	ROW(name, text, SECONDARY, bit, exit, ANY, runs, 0)

/* SDM 3C, "Exit Qualification": number, type or direction, general register. */
#define QUALIFIED(number, type, gpr) ((number) | (type) << 4 | (gpr) << 8)
#define TO 0
#define FROM 1
#define RAX 0
#define RBX 3

CPU_ROW(hlt, "hlt", CPU_HLT, "HLT", 0, ALONE, 0)
CPU_ROW(invlpg, "invlpg (%rax)", CPU_INVLPG, "INVLPG", WINDOW, BOTH, WINDOW)
CPU_ROW(rdpmc, "rdpmc", CPU_RDPMC, "RDPMC", 0, ALONE, 0)
CPU_ROW(rdtsc, "rdtsc", CPU_RDTSC, "RDTSC", 0, BOTH, 0)
CPU_ROW(rdtscp, "rdtscp", CPU_RDTSC, "RDTSCP", 0, BOTH, 0)
CPU_ROW(pause, "pause", CPU_PAUSE, "PAUSE", 0, BOTH, 0)
CPU_ROW(write_cr3, "mov %rax, %cr3", CPU_CR3_LOAD, "CR_ACCESS", QUALIFIED(3, TO, RAX), BOTH,
	read_cr3())
CPU_ROW(read_cr3, "mov %cr3, %rbx", CPU_CR3_STORE, "CR_ACCESS", QUALIFIED(3, FROM, RBX), BOTH, 0)
CPU_ROW(write_cr8, "mov %rax, %cr8", CPU_CR8_LOAD, "CR_ACCESS", QUALIFIED(8, TO, RAX), BOTH,
	read_cr8())
CPU_ROW(read_cr8, "mov %cr8, %rbx", CPU_CR8_STORE, "CR_ACCESS", QUALIFIED(8, FROM, RBX), BOTH, 0)

#define DR_ROW(n)                                                                                \
	CPU_ROW(read_dr##n, "mov %dr" #n ", %rbx", CPU_MOV_DR, "DR_ACCESS",                      \
		QUALIFIED(n, FROM, RBX), BOTH, 0)                                                \
	CPU_ROW(write_dr##n, "mov %rax, %dr" #n, CPU_MOV_DR, "DR_ACCESS", QUALIFIED(n, TO, RAX), \
		BOTH, read_dr##n())

DR_ROW(0)
DR_ROW(1)
DR_ROW(2)
DR_ROW(3)
DR_ROW(6)
DR_ROW(7)

/* Bytes less 1, direction in bit 3, immediate in bit 6, the port. */
#define PORT(bytes, in, immediate, port) \
	(((bytes)-1) | (in) << 3 | (immediate) << 6 | (uint64_t)(port) << 16)

CPU_ROW(outb_imm, "out %al, $0x80", CPU_ALL_PORTS, "IOIO", PORT(1, 0, 1, 0x80), BOTH, 0)
CPU_ROW(inb_imm, "in $0x80, %al", CPU_ALL_PORTS, "IOIO", PORT(1, 1, 1, 0x80), BOTH, 0)
CPU_ROW(outw, "out %ax, %dx", CPU_ALL_PORTS, "IOIO", PORT(2, 0, 0, 0x80), ALONE, 0x80)
CPU_ROW(inl, "in %dx, %eax", CPU_ALL_PORTS, "IOIO", PORT(4, 1, 0, 0x1234), ALONE, 0x1234)

SECONDARY_ROW(sgdt, "sgdt -16(%rsp)", SECONDARY_TABLES, "GDTR_OR_IDTR", BOTH)
SECONDARY_ROW(sidt, "sidt -16(%rsp)", SECONDARY_TABLES, "GDTR_OR_IDTR", BOTH)
SECONDARY_ROW(lgdt, "lgdt -16(%rsp)", SECONDARY_TABLES, "GDTR_OR_IDTR", ALONE)
SECONDARY_ROW(lidt, "lidt -16(%rsp)", SECONDARY_TABLES, "GDTR_OR_IDTR", ALONE)
SECONDARY_ROW(sldt, "sldt %ebx", SECONDARY_TABLES, "LDTR_OR_TR", BOTH)
SECONDARY_ROW(str, "str %ebx", SECONDARY_TABLES, "LDTR_OR_TR", BOTH)
SECONDARY_ROW(lldt, "lldt %ax", SECONDARY_TABLES, "LDTR_OR_TR", BOTH)
SECONDARY_ROW(ltr, "ltr %ax", SECONDARY_TABLES, "LDTR_OR_TR", ALONE)
SECONDARY_ROW(wbinvd, "wbinvd", SECONDARY_WBINVD, "WBINVD", BOTH)
SECONDARY_ROW(rdrand, "rdrand %eax", SECONDARY_RDRAND, "RDRAND", BOTH)
SECONDARY_ROW(rdseed, "rdseed %eax", SECONDARY_RDSEED, "RDSEED", BOTH)
