/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control block. APM 2, "Layout of VMCB". */
#ifndef LIB_X86_VMCB_H
#define LIB_X86_VMCB_H

#include "exceptions.h"

#include <stddef.h>
#include <stdint.h>

struct svm_segment {
	uint16_t selector, attributes; /* type, S, DPL, P, AVL, L, D, G in 12 bits without a gap */
	uint32_t limit;
	uint64_t base;
} __attribute__((packed));

/* An event as EVENTINJ and EXITINTINFO hold it. */
struct svm_event {
	uint32_t what, error;
} __attribute__((packed));

#define SVM_EVENT_VALID (1u << 31)
#define SVM_EVENT_HAS_ERROR (1u << 11)
#define SVM_EVENT_TYPE (7u << 8)
#define SVM_EVENT_VECTOR 0xffu
#define SVM_INTR (0u << 8)
#define SVM_NMI (2u << 8)
#define SVM_EXCEPTION (3u << 8)
#define SVM_SOFT_INT (4u << 8)

/* For intercept_exceptions. Bits 2 and 9 are not implemented, and setting them is undefined. */
#define SVM_ALL_EXCEPTIONS (~(EXCEPTION(VECTOR_NMI) | EXCEPTION(9)))

struct vmcb {
	/* Control area */
	uint16_t intercept_cr_read, intercept_cr_write;
	uint16_t intercept_dr_read, intercept_dr_write;
	uint32_t intercept_exceptions;
	uint32_t intercept[3]; /* SVM_INTERCEPT_… / 32 */
	uint8_t reserved1[0x3c - 0x18];
	uint16_t pause_threshold, pause_count;
	uint64_t iopm, msrpm, tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved2[3];
	uint32_t int_control;
	uint8_t v_intr_vector, reserved3[3];
	uint64_t int_state;
	uint64_t exit_code, exit_info1, exit_info2;
	struct svm_event exit_int_info;
	uint64_t nested_control;
	uint64_t apic_bar, ghcb; /* AVIC; under SEV-ES the GHCB's MSR */
	struct svm_event inject;
	uint64_t nested_cr3, lbr_control;
	uint32_t clean, reserved5;
	uint64_t next_rip;
	uint8_t instruction_bytes[16];
	uint8_t reserved6[0x108 - 0xe0];
	uint64_t vmsa; /* under SEV-ES: where the save area really is */
	uint8_t reserved14[0x400 - 0x110];

	/* State save area */
	struct svm_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved7[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved8;
	uint64_t efer;
	uint8_t reserved9[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved10[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved11[0x5f8 - 0x5e0];
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved12[0x668 - 0x648];
	uint64_t pat;
	uint8_t reserved13[0x1000 - 0x670];
} __attribute__((packed, aligned(4096)));

_Static_assert(offsetof(struct vmcb, iopm) == 0x40, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, inject) == 0xa8, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, vmsa) == 0x108, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM 2, Layout of VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM 2, Layout of VMCB");
_Static_assert(sizeof(struct vmcb) == 0x1000, "a page");

/* Bits of intercept[], counted from its first. The exit code is 0x60 + the bit but where it says so. */
#define SVM_INTERCEPT_INTR 0
#define SVM_INTERCEPT_NMI 1
#define SVM_INTERCEPT_SMI 2
#define SVM_INTERCEPT_INIT 3
#define SVM_INTERCEPT_VINTR 4
#define SVM_INTERCEPT_CR0_SELECTIVE 5
#define SVM_INTERCEPT_IDTR_READ 6
#define SVM_INTERCEPT_GDTR_READ 7
#define SVM_INTERCEPT_LDTR_READ 8
#define SVM_INTERCEPT_TR_READ 9
#define SVM_INTERCEPT_IDTR_WRITE 10
#define SVM_INTERCEPT_GDTR_WRITE 11
#define SVM_INTERCEPT_LDTR_WRITE 12
#define SVM_INTERCEPT_TR_WRITE 13
#define SVM_INTERCEPT_RDTSC 14
#define SVM_INTERCEPT_RDPMC 15
#define SVM_INTERCEPT_PUSHF 16
#define SVM_INTERCEPT_POPF 17
#define SVM_INTERCEPT_CPUID 18
#define SVM_INTERCEPT_RSM 19
#define SVM_INTERCEPT_IRET 20
#define SVM_INTERCEPT_INTN 21
#define SVM_INTERCEPT_INVD 22
#define SVM_INTERCEPT_PAUSE 23
#define SVM_INTERCEPT_HLT 24
#define SVM_INTERCEPT_INVLPG 25
#define SVM_INTERCEPT_INVLPGA 26
#define SVM_INTERCEPT_IOIO 27
#define SVM_INTERCEPT_MSR 28
#define SVM_INTERCEPT_TASK_SWITCH 29
#define SVM_INTERCEPT_FERR_FREEZE 30
#define SVM_INTERCEPT_SHUTDOWN 31
#define SVM_INTERCEPT_VMRUN 32
#define SVM_INTERCEPT_VMMCALL 33
#define SVM_INTERCEPT_VMLOAD 34
#define SVM_INTERCEPT_VMSAVE 35
#define SVM_INTERCEPT_STGI 36
#define SVM_INTERCEPT_CLGI 37
#define SVM_INTERCEPT_SKINIT 38
#define SVM_INTERCEPT_RDTSCP 39
#define SVM_INTERCEPT_ICEBP 40
#define SVM_INTERCEPT_WBINVD 41
#define SVM_INTERCEPT_MONITOR 42
#define SVM_INTERCEPT_MWAIT 43
#define SVM_INTERCEPT_XSETBV 45

#define SVM_EXIT_READ_CR0 0x00
#define SVM_EXIT_WRITE_CR0 0x10
#define SVM_EXIT_READ_DR0 0x20
#define SVM_EXIT_WRITE_DR0 0x30
#define SVM_EXIT_EXCEPTION 0x40
#define SVM_EXIT(intercept) (0x60u + SVM_INTERCEPT_##intercept)
#define SVM_EXIT_NPF 0x400
#define SVM_EXIT_INVALID (~0ull)

/* int_control */
#define SVM_V_TPR 0xful
#define SVM_V_IRQ (1u << 8)
#define SVM_V_GIF (1u << 9)
#define SVM_V_PRIORITY(p) ((p) << 16)
#define SVM_V_IGNORE_TPR (1u << 20)
#define SVM_V_INTR_MASKING (1u << 24)
#define SVM_V_GIF_ENABLE (1u << 25)

/* int_state */
#define SVM_INTERRUPT_SHADOW (1ul << 0)
#define SVM_GUEST_INTERRUPT_MASK (1ul << 1) /* the IF of a guest under SEV-ES */

#define SVM_NESTED_PAGING (1ul << 0)

#define SVM_TLB_FLUSH_ALL 1

#endif
