/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What SEV-ES turns into #VC, and what the guest makes of it: device registers.
 *
 * The rule is that of vc.c. What is special here: an access to a page without memory is #VC(0x400), and it is
 * the guest's handler that reads and writes the register, by the GHCB, as whole as the instruction does it.
 * The register is the local APIC's task priority, which is 32 bits wide and takes no other access; what the
 * handler makes of other sizes is in vc_emulate.c.
 *
 * A buggy handler executes an OR on a device register as two stores. A buggy hypervisor gives back a byte too
 * few.
 */
#include "vc.h"

#define RULE_MMIO \
	"APM 3, the instruction's page: a device register is an operand like any other; GHCB 4.1, MMIO access"
#define RULE_TF \
	"SDM 3B, Single-Step Exception Condition: TF set at the start of an instruction makes a #DB trap behind it"

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
#define MMIO_CASE(name, snippet, bugs, ...)                       \
	CASE_NEEDS("apic=1", name, IN_LONG_MODE, RULE_MMIO, bugs) \
	{                                                         \
		try_mmio(&snippet, __VA_ARGS__);                  \
	}

MMIO_CASE(mmio_load, load, BUGS_TPR, 0x52, 0xffffffff, 0x52, 0x52)
MMIO_CASE(mmio_store, store, BUGS_TPR, 0x52, 0x34, 0x34, 0x34)
MMIO_CASE(mmio_store_immediate, store_imm, BUGS_TPR, 0x52, 1, 0x57, 1)
MMIO_CASE(mmio_or, or_imm, BUGS_TPR, 0x50, 1, 0x5f, 1)
MMIO_CASE(mmio_and, and_reg, BUGS_TPR, 0x5a, 0xf0, 0x50, 0xf0)
MMIO_CASE(mmio_xchg, xchg_insn, BUGS_TPR, 0x5a, 0x33, 0x33, 0x5a)
MMIO_CASE(mmio_cmp, cmp_insn, BUGS_TPR, 0x50, 0x300, 0x50, 0x301)

/* A register whose highest byte is not 0. */
CASE_NEEDS("apic=1", mmio_load_high, IN_LONG_MODE, RULE_MMIO, BUGS_MMIO)
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

/* -- The single-step trap behind what was emulated. -------------------------------------------- */

CASE(tf_mmio, IN_LONG_MODE, RULE_TF, CATCHES("openvmm-tf-mmio"))
{
	need_native(GUEST_NEEDS_NATIVE);
	setup.rflags = X86_EFLAGS_TF;
	setup.regs.rbx = TPR_ADDRESS;
	expect("#DB[BS]@after, #DB[BS]@end");
	run(load);
}
