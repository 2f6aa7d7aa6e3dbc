/* SPDX-License-Identifier: BSD-2-Clause */
/* The fields of the VMCS, and the bits in them. SDM 3D, "Field Encoding in VMCS"; 3C, "VM-Execution Control Fields". */
#ifndef LIB_X86_VMX_VMCS_H
#define LIB_X86_VMX_VMCS_H

/* Segment registers, in the order of their fields. */
enum vmcs_segment { VMCS_ES, VMCS_CS, VMCS_SS, VMCS_DS, VMCS_FS, VMCS_GS, VMCS_LDTR, VMCS_TR };

enum vmcs_field {
	VMCS_GUEST_SELECTOR = 0x800, /* + 2 * segment, as the other three of a segment */
	VMCS_HOST_ES = 0xc00,
	VMCS_HOST_CS = 0xc02,
	VMCS_HOST_SS = 0xc04,
	VMCS_HOST_DS = 0xc06,
	VMCS_HOST_FS = 0xc08,
	VMCS_HOST_GS = 0xc0a,
	VMCS_HOST_TR = 0xc0c,

	VMCS_MSR_BITMAP = 0x2004,
	VMCS_EPT_POINTER = 0x201a,
	VMCS_VE_INFO_ADDRESS = 0x202a,
	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_LINK_POINTER = 0x2800,
	VMCS_GUEST_DEBUGCTL = 0x2802,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_HOST_PAT = 0x2c00,
	VMCS_HOST_EFER = 0x2c02,

	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_CPU_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_PF_ERROR_MASK = 0x4006,
	VMCS_PF_ERROR_MATCH = 0x4008,
	VMCS_CR3_TARGET_COUNT = 0x400a,
	VMCS_EXIT_CONTROLS = 0x400c,
	VMCS_EXIT_MSR_STORE_COUNT = 0x400e,
	VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016, /* VM-entry interruption-information field */
	VMCS_ENTRY_ERROR_CODE = 0x4018,
	VMCS_ENTRY_LENGTH = 0x401a, /* VM-entry instruction length */
	VMCS_SECONDARY_CONTROLS = 0x401e,

	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404, /* VM-exit interruption information */
	VMCS_EXIT_ERROR_CODE = 0x4406,
	VMCS_VECTORING_EVENT = 0x4408, /* IDT-vectoring information field */
	VMCS_VECTORING_ERROR_CODE = 0x440a,
	VMCS_EXIT_LENGTH = 0x440c, /* VM-exit instruction length */

	VMCS_GUEST_LIMIT = 0x4800,
	VMCS_GUEST_GDTR_LIMIT = 0x4810,
	VMCS_GUEST_IDTR_LIMIT = 0x4812,
	VMCS_GUEST_ACCESS = 0x4814,
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_GUEST_SYSENTER_CS = 0x482a,
	VMCS_HOST_SYSENTER_CS = 0x4c00,

	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,
	VMCS_QUALIFICATION = 0x6400,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_BASE = 0x6806,
	VMCS_GUEST_GDTR_BASE = 0x6816,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681a,
	VMCS_GUEST_RSP = 0x681c,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,
	VMCS_HOST_CR0 = 0x6c00,
	VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
	VMCS_HOST_FS_BASE = 0x6c06,
	VMCS_HOST_GS_BASE = 0x6c08,
	VMCS_HOST_TR_BASE = 0x6c0a,
	VMCS_HOST_GDTR_BASE = 0x6c0c,
	VMCS_HOST_IDTR_BASE = 0x6c0e,
	VMCS_HOST_SYSENTER_ESP = 0x6c10,
	VMCS_HOST_SYSENTER_EIP = 0x6c12,
	VMCS_HOST_RSP = 0x6c14, /* run.S knows this number */
	VMCS_HOST_RIP = 0x6c16,
};

#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI (1u << 3)
#define PIN_VIRTUAL_NMIS (1u << 5)

#define CPU_INTERRUPT_WINDOW (1u << 2)
#define CPU_HLT (1u << 7)
#define CPU_RDTSC (1u << 12)
#define CPU_CR8_LOAD (1u << 19)
#define CPU_CR8_STORE (1u << 20)
#define CPU_NMI_WINDOW (1u << 22)
#define CPU_MOV_DR (1u << 23)
#define CPU_ALL_PORTS (1u << 24)
#define CPU_MSR_BITMAP (1u << 28)
#define CPU_PAUSE (1u << 30)
#define CPU_SECONDARY (1u << 31)

#define SECONDARY_EPT (1u << 1)
#define SECONDARY_RDTSCP (1u << 3)
#define SECONDARY_UNRESTRICTED (1u << 7)
#define SECONDARY_INVPCID (1u << 12)
#define SECONDARY_VE (1u << 18) /* EPT-violation #VE */
#define SECONDARY_XSAVES (1u << 20)

#define EXIT_SAVE_DEBUG (1u << 2)
#define EXIT_HOST_64_BIT (1u << 9)
#define EXIT_ACK_INTERRUPT (1u << 15)
#define EXIT_LOAD_PAT (1u << 19)
#define EXIT_SAVE_EFER (1u << 20)
#define EXIT_LOAD_EFER (1u << 21)

#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_GUEST_64_BIT (1u << 9)
#define ENTRY_LOAD_PAT (1u << 14)
#define ENTRY_LOAD_EFER (1u << 15)

#define ACCESS_BUSY_TSS 0x8b
#define ACCESS_LONG (1u << 13)
#define ACCESS_UNUSABLE (1u << 16)

/* Interruptibility state */
#define BLOCKED_BY_STI (1u << 0)
#define BLOCKED_BY_MOV_SS (1u << 1)
#define BLOCKED_BY_NMI (1u << 3)

/* Pending debug exceptions; bits 0 to 3 and 14 as in DR6. */
#define PENDING_DEBUG_ENABLED (1u << 12)

#define EPT_READ (1u << 0) /* also in the qualification of an EPT violation: what was tried */
#define EPT_WRITE (1u << 1)
#define EPT_EXECUTE (1u << 2)
/* Bits 5:3 say what the entries allowed; 11:9 not every CPU defines. */
#define EPT_QUALIFICATION 0x1ffu
#define EPT_BY_IRET (1u << 12) /* an IRET had ended the blocking of NMIs */
#define EPT_LINEAR_VALID (1u << 7)
#define EPT_OF_LINEAR (1u << 8) /* the access itself, and not one to L2's page tables */

/* Basic exit reasons. SDM 3D, "VMX Basic Exit Reasons". */
enum vmx_reason {
	VMX_EXCEPTION_OR_NMI = 0,
	VMX_EXTERNAL_INTERRUPT = 1,
	VMX_TRIPLE_FAULT = 2,
	VMX_INTERRUPT_WINDOW = 7,
	VMX_NMI_WINDOW = 8,
	VMX_CPUID = 10,
	VMX_HLT = 12,
	VMX_INVD = 13,
	VMX_RDTSC = 16,
	VMX_VMCALL = 18,
	VMX_VMXON = 27,
	VMX_CR_ACCESS = 28,
	VMX_PORT = 30,
	VMX_RDMSR = 31,
	VMX_WRMSR = 32,
	VMX_INVALID_GUEST = 33,
	VMX_PAUSE = 40,
	VMX_EPT_VIOLATION = 48,
};
#define VMX_ENTRY_FAILURE (1u << 31)

/* VM-instruction errors. SDM 3C, "VM-Instruction Error Numbers". */
#define VMX_ERROR_CONTROLS 7
#define VMX_ERROR_HOST 8
#define VMX_ERROR_MOV_SS 26

#endif
