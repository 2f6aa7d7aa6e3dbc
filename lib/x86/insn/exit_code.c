/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM exit codes as #VC error codes; see exit_code.h. */
#include "exit_code.h"

/* The code that an instruction without operands raises, or 0. */
static unsigned int code_of(unsigned int op)
{
	switch (op) {
	case INSN_OP_RDTSC:
		return SVM_EXIT_RDTSC;
	case INSN_OP_RDPMC:
		return SVM_EXIT_RDPMC;
	case INSN_OP_CPUID:
		return SVM_EXIT_CPUID;
	case INSN_OP_RSM:
		return SVM_EXIT_RSM;
	case INSN_OP_INVD:
		return SVM_EXIT_INVD;
	case INSN_OP_INVLPGA:
		return SVM_EXIT_INVLPGA;
	case INSN_OP_IN:
	case INSN_OP_OUT:
	case INSN_OP_INS:
	case INSN_OP_OUTS:
		return SVM_EXIT_IOIO;
	case INSN_OP_RDMSR:
	case INSN_OP_WRMSR:
		return SVM_EXIT_MSR;
	case INSN_OP_VMRUN:
		return SVM_EXIT_VMRUN;
	case INSN_OP_VMMCALL:
		return SVM_EXIT_VMMCALL;
	case INSN_OP_VMLOAD:
		return SVM_EXIT_VMLOAD;
	case INSN_OP_VMSAVE:
		return SVM_EXIT_VMSAVE;
	case INSN_OP_STGI:
		return SVM_EXIT_STGI;
	case INSN_OP_CLGI:
		return SVM_EXIT_CLGI;
	case INSN_OP_SKINIT:
		return SVM_EXIT_SKINIT;
	case INSN_OP_RDTSCP:
		return SVM_EXIT_RDTSCP;
	case INSN_OP_WBINVD:
	case INSN_OP_WBNOINVD:
		return SVM_EXIT_WBINVD;
	case INSN_OP_MONITOR:
	case INSN_OP_MONITORX:
		return SVM_EXIT_MONITOR;
	case INSN_OP_MWAIT:
	case INSN_OP_MWAITX:
		return SVM_EXIT_MWAIT;
	case INSN_OP_XSETBV:
		return SVM_EXIT_XSETBV;
	case INSN_OP_RDPRU:
		return SVM_EXIT_RDPRU;
	default:
		return 0;
	}
}

enum vc_need vc_classify(uint64_t exit_code)
{
	switch (exit_code) {
	case SVM_EXIT_READ_DR0 ... SVM_EXIT_READ_DR0 + 15:
	case SVM_EXIT_WRITE_DR0 ... SVM_EXIT_WRITE_DR0 + 15:
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDPMC:
	case SVM_EXIT_CPUID:
	case SVM_EXIT_RSM:
	case SVM_EXIT_INVD:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_IOIO:
	case SVM_EXIT_MSR:
	case SVM_EXIT_VMRUN ... SVM_EXIT_RDTSCP:
	case SVM_EXIT_WBINVD ... SVM_EXIT_RDPRU:
	case SVM_EXIT_NPF:
		return VC_NEEDS_INSN;

	case 0x52: /* #MC is an automatic exit */
		return VC_NEVER;
	case SVM_EXIT_EXCP_BASE ... 0x51:
	case 0x53 ... 0x5f:
	case SVM_EXIT_PAGE_NOT_VALIDATED:
		return VC_NEEDS_NO_INSN;

	case 0x60:
	case 0x61: /* INTR, NMI */
	case 0x63:
	case 0x64: /* INIT, VINTR */
	case 0x77:
	case 0x78:	      /* PAUSE, HLT */
	case 0x7f:	      /* shutdown */
	case 0x8f ... 0x9f:   /* EFER and CR write traps */
	case 0x401 ... 0x403: /* AVIC; VMGEXIT */
		return VC_NEVER;
	}
	return exit_code > 0x404 ? VC_NEVER : VC_UNKNOWN;
}

bool vc_fits(uint64_t exit_code, const struct insn *insn)
{
	const struct insn_operand *mem;

	if (vc_classify(exit_code) != VC_NEEDS_INSN)
		return false;

	if (exit_code < SVM_EXIT_EXCP_BASE) {
		const struct insn_operand *dr =
			exit_code < SVM_EXIT_WRITE_DR0 ? &insn->src : &insn->dst;

		return insn->op == INSN_OP_MOV_DR && dr->kind == INSN_DR &&
		       dr->reg == (exit_code & 15);
	}
	if (exit_code == SVM_EXIT_NPF) {
		/* INS and OUTS exit for the port before they touch memory. */
		mem = insn_memory_operand(insn);
		return mem && insn->op != INSN_OP_INS && insn->op != INSN_OP_OUTS;
	}
	if (exit_code == SVM_EXIT_MWAIT_ARMED)
		exit_code = SVM_EXIT_MWAIT;
	return exit_code == code_of(insn->op);
}
