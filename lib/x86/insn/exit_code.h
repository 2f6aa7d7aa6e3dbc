/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SVM exit codes as #VC error codes, and whether one fits the instruction.
 *
 * A hypervisor can inject vector 29 with any error code at any instruction
 * (the "WeSee" attack). A handler that believes the code emulates an
 * instruction that isn't there: it leaks RAX for a forged VMMCALL, or writes
 * what the hypervisor likes for a forged MSR read. So the bytes at RIP have
 * the last word.
 *
 * Sources: APM vol. 2, "SVM Intercept Exit Codes"; GHCB specification rev. 2.04, Table 6
 * (automatic exits) and Table 7 (the others).
 */
#ifndef LIB_X86_EXIT_CODE_H
#define LIB_X86_EXIT_CODE_H

#include "decode.h"

#define SVM_EXIT_READ_DR0 0x20
#define SVM_EXIT_READ_DR7 0x027
#define SVM_EXIT_WRITE_DR0 0x30
#define SVM_EXIT_WRITE_DR7 0x037
#define SVM_EXIT_EXCP_BASE 0x040
#define SVM_EXIT_EXCP_DB 0x041
#define SVM_EXIT_EXCP_AC 0x051
#define SVM_EXIT_RDTSC 0x06e
#define SVM_EXIT_RDPMC 0x06f
#define SVM_EXIT_CPUID 0x072
#define SVM_EXIT_RSM 0x073
#define SVM_EXIT_INVD 0x076
#define SVM_EXIT_INVLPGA 0x07a
#define SVM_EXIT_IOIO 0x07b
#define SVM_EXIT_MSR 0x07c
#define SVM_EXIT_VMRUN 0x080
#define SVM_EXIT_VMMCALL 0x081
#define SVM_EXIT_VMLOAD 0x082
#define SVM_EXIT_VMSAVE 0x083
#define SVM_EXIT_STGI 0x084
#define SVM_EXIT_CLGI 0x085
#define SVM_EXIT_SKINIT 0x086
#define SVM_EXIT_RDTSCP 0x087
#define SVM_EXIT_WBINVD 0x089
#define SVM_EXIT_MONITOR 0x08a
#define SVM_EXIT_MWAIT 0x08b
#define SVM_EXIT_MWAIT_ARMED 0x08c
#define SVM_EXIT_XSETBV 0x08d
#define SVM_EXIT_RDPRU 0x08e
#define SVM_EXIT_NPF 0x400
#define SVM_EXIT_PAGE_NOT_VALIDATED 0x404

enum vc_need {
	VC_NEEDS_INSN,	  /* decode, then ask vc_fits() */
	VC_NEEDS_NO_INSN, /* an exception or a page: any instruction can do that */
	VC_NEVER,	  /* no #VC of hardware carries this code */
	VC_UNKNOWN,	  /* may be genuine, but this library can't check it */
};

/**
 * vc_classify - what a handler has to do before it believes an error code
 * @exit_code: error code of the #VC
 *
 * VC_NEVER is for automatic exits (interrupts, HLT, PAUSE, shutdown, VMGEXIT,
 * write traps and the like): the CPU never turns those into a #VC.
 */
enum vc_need vc_classify(uint64_t exit_code);

/**
 * vc_fits - whether an instruction can have raised a #VC with this code
 * @exit_code: error code of the #VC, of class VC_NEEDS_INSN
 * @insn:      the instruction at RIP, decoded with INSN_OK
 *
 * Returns false for any other class of code, too. VMGEXIT fits nothing. MOV
 * from or to DR4 and DR5 fits only its own number.
 */
bool vc_fits(uint64_t exit_code, const struct insn *insn);

#endif
