/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions whose operands are registers alone. APM 3; GHCB specification rev. 2.04, section 4.1. */
#include "serve.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/percpu.h"
#include "x86/sev/snp_cpuid.h"

#include "panic.h"

#define CR4_OSXSAVE (1u << 18)
#define CPUID_XSTATE 0xd

static uint64_t read_xcr0(void)
{
	uint32_t low, high;

	if (!(read_cr4() & CR4_OSXSAVE))
		return 1;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static enum vc_result ask_cpuid(struct vc *vc, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_CPUID};
	enum vc_result result;

	ghcb_offer(&call, GHCB_RAX, leaf);
	ghcb_offer(&call, GHCB_RCX, subleaf);
	if (leaf == CPUID_XSTATE)
		ghcb_offer(&call, GHCB_XCR0, read_xcr0());
	/* Nobody here writes XSS, which is 0 at reset. */
	if (leaf == CPUID_XSTATE && sev_ghcb_version() >= 2)
		ghcb_offer(&call, GHCB_XSS, 0);
	result = vc_ask(vc, &call);
	if (result != VC_NEXT)
		return result;
	r[0] = vc_answer(&call, GHCB_RAX);
	r[1] = vc_answer(&call, GHCB_RBX);
	r[2] = vc_answer(&call, GHCB_RCX);
	r[3] = vc_answer(&call, GHCB_RDX);
	return VC_NEXT;
}

/* Under SEV-SNP the hypervisor is asked only for what it alone can know. */
static enum vc_result look_up_cpuid(struct vc *vc, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	const struct snp_cpuid_page *page = (const struct snp_cpuid_page *)SNP_CPUID_PAGE;
	struct snp_cpuid_state state = {.cr4 = read_cr4(), .xcr0 = read_xcr0()};
	enum vc_result result;

	if (snp_cpuid_asks_hypervisor(page, leaf)) {
		result = ask_cpuid(vc, leaf, subleaf, r);
		if (result != VC_NEXT)
			return result;
		state.a = r[0];
		state.b = r[1];
		state.c = r[2];
		state.d = r[3];
	}
	if (!snp_cpuid(page, leaf, subleaf, &state, r))
		panic("the CPUID page has %u entries", page->count);
	return VC_NEXT;
}

enum vc_result vc_serve_cpuid(struct vc *vc)
{
	uint32_t leaf = *vc_reg(vc, INSN_RAX), subleaf = *vc_reg(vc, INSN_RCX), r[4];
	enum vc_result result = sev_is_snp() ? look_up_cpuid(vc, leaf, subleaf, r)
					     : ask_cpuid(vc, leaf, subleaf, r);

	if (result != VC_NEXT)
		return result;
	vc_set32(vc, INSN_RAX, r[0]);
	vc_set32(vc, INSN_RBX, r[1]);
	vc_set32(vc, INSN_RCX, r[2]);
	vc_set32(vc, INSN_RDX, r[3]);
	return VC_NEXT;
}

enum vc_result vc_serve_msr(struct vc *vc)
{
	bool write = vc->insn.op == INSN_OP_WRMSR;
	struct ghcb_call call = {.request = {.exit_code = SVM_EXIT_MSR, .exit_info_1 = write}};
	enum vc_result result;

	ghcb_offer(&call, GHCB_RCX, (uint32_t)*vc_reg(vc, INSN_RCX));
	if (write) {
		ghcb_offer(&call, GHCB_RAX, (uint32_t)*vc_reg(vc, INSN_RAX));
		ghcb_offer(&call, GHCB_RDX, (uint32_t)*vc_reg(vc, INSN_RDX));
	}
	result = vc_ask(vc, &call);
	if (result != VC_NEXT || write)
		return result;
	vc_set32(vc, INSN_RAX, vc_answer(&call, GHCB_RAX));
	vc_set32(vc, INSN_RDX, vc_answer(&call, GHCB_RDX));
	return VC_NEXT;
}

/* RDTSC, RDTSCP and RDPMC: EDX:EAX, and ECX for RDTSCP. */
enum vc_result vc_serve_counter(struct vc *vc, uint64_t exit_code)
{
	struct ghcb_call call = {.request.exit_code = exit_code};
	enum vc_result result;

	if (exit_code == SVM_EXIT_RDPMC)
		ghcb_offer(&call, GHCB_RCX, (uint32_t)*vc_reg(vc, INSN_RCX));
	result = vc_ask(vc, &call);
	if (result != VC_NEXT)
		return result;
	vc_set32(vc, INSN_RAX, vc_answer(&call, GHCB_RAX));
	vc_set32(vc, INSN_RDX, vc_answer(&call, GHCB_RDX));
	if (exit_code == SVM_EXIT_RDTSCP)
		vc_set32(vc, INSN_RCX, vc_answer(&call, GHCB_RCX));
	return VC_NEXT;
}

/* The arguments are those of KVM's hypercalls; only RAX comes back. */
enum vc_result vc_serve_vmmcall(struct vc *vc)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_VMMCALL};
	enum vc_result result;

	ghcb_offer(&call, GHCB_RAX, *vc_reg(vc, INSN_RAX));
	ghcb_offer(&call, GHCB_RBX, *vc_reg(vc, INSN_RBX));
	ghcb_offer(&call, GHCB_RCX, *vc_reg(vc, INSN_RCX));
	ghcb_offer(&call, GHCB_RDX, *vc_reg(vc, INSN_RDX));
	ghcb_offer(&call, GHCB_RSI, *vc_reg(vc, INSN_RSI));
	ghcb_offer(&call, GHCB_CPL, vc->frame->iret.cs & 3);
	result = vc_ask(vc, &call);
	if (result == VC_NEXT)
		*vc_reg(vc, INSN_RAX) = vc_answer(&call, GHCB_RAX);
	return result;
}

/* No inputs, no outputs. */
enum vc_result vc_serve_plain(struct vc *vc, uint64_t exit_code)
{
	struct ghcb_call call = {.request.exit_code = exit_code};

	return vc_ask(vc, &call);
}

enum vc_result vc_serve_monitor(struct vc *vc)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_MONITOR};
	struct insn_operand at = {INSN_MEM, 1, INSN_NO_REG};
	struct vc_page page;
	uint64_t linear;

	/* DS:rAX, or the segment of an override. */
	vc->insn.mem = (struct insn_mem){.base = INSN_RAX, .index = INSN_NO_REG, .scale = 1};
	linear = insn_linear(&vc->insn, &at, &vc->regs, vc_segment_base, vc->frame);
	if (!vc_page(linear, false, vc_from_user(vc), &page, &vc->raise))
		return VC_RAISED;
	ghcb_offer(&call, GHCB_RAX, page.gpa);
	ghcb_offer(&call, GHCB_RCX, *vc_reg(vc, INSN_RCX));
	ghcb_offer(&call, GHCB_RDX, *vc_reg(vc, INSN_RDX));
	return vc_ask(vc, &call);
}

enum vc_result vc_serve_mwait(struct vc *vc)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_MWAIT};

	ghcb_offer(&call, GHCB_RAX, *vc_reg(vc, INSN_RAX));
	ghcb_offer(&call, GHCB_RCX, *vc_reg(vc, INSN_RCX));
	return vc_ask(vc, &call);
}

/* -- DR7. -------------------------------------------------------------------------------------- */

enum vc_result vc_serve_dr7(struct vc *vc, bool write)
{
	struct ghcb_call call = {.request.exit_code = SVM_EXIT_WRITE_DR7};
	uint64_t value = insn_read_gpr(&vc->regs, &vc->insn.src);
	enum vc_result result;

	if (!write) {
		insn_write_gpr(&vc->regs, &vc->insn.dst, vc_this_cpu()->dr7);
		return VC_NEXT;
	}
	if (value >> 32)
		return vc_raise_at(vc, VECTOR_GP, 0);
	value = (value & ~0xd800ul) | DR7_CLEAR;
	ghcb_offer(&call, GHCB_RAX, value);
	result = vc_ask(vc, &call);
	if (result == VC_NEXT)
		vc_this_cpu()->dr7 = value;
	return result;
}
