/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page that holds a sealed CPU's registers: a VMSA. APM 2, appendix B, "VMCB Layout, State Save Area for
 * SEV-ES". Up to and with PAT it is laid out as the save area of a VMCB.
 */
#ifndef LIB_X86_VMSA_H
#define LIB_X86_VMSA_H

#include "vmcb.h"

struct vmsa {
	struct svm_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved0[0xca - 0xa0];
	uint8_t vmpl, cpl;
	uint8_t reserved1[0xd0 - 0xcc];
	uint64_t efer;
	uint8_t reserved2[0x148 - 0xd8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved3[0x1d8 - 0x180];
	uint64_t rsp;
	uint8_t reserved4[0x1f8 - 0x1e0];
	uint64_t rax;
	uint8_t reserved5[0x268 - 0x200];
	uint64_t pat;
	uint8_t reserved6[0x308 - 0x270];
	uint64_t rcx, rdx, rbx, reserved7, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	uint8_t reserved8[0x3a8 - 0x380];
	uint64_t next_rip; /* of a software interrupt that is injected */
	uint64_t sev_features;
	uint8_t reserved9[0x3e8 - 0x3b8];
	uint64_t xcr0;
	uint8_t reserved10[0x400 - 0x3f0];
	uint64_t x87_data;
	uint32_t mxcsr;
	uint16_t x87_tags, x87_status, x87_control, x87_opcode, x87_ds, x87_cs;
	uint64_t x87_rip;
	uint8_t x87_stack[80], xmm[256];
	uint8_t reserved11[0x1000 - 0x570];
} __attribute__((packed, aligned(4096)));

_Static_assert(offsetof(struct vmsa, efer) == 0xd0, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, cr4) == 0x148, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, rip) == 0x178, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, pat) == 0x268, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, rcx) == 0x308, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, r15) == 0x378, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, sev_features) == 0x3b0, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, xcr0) == 0x3e8, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, mxcsr) == 0x408, "APM 2, VMSA");
_Static_assert(offsetof(struct vmsa, xmm) == 0x470, "APM 2, VMSA");
_Static_assert(sizeof(struct vmsa) == 0x1000, "a page");

#endif
