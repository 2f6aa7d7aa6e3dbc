/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that C and assembly share: selectors and the layout of saved registers. */
#ifndef LIB_X86_LAYOUT_H
#define LIB_X86_LAYOUT_H

/*
 * Segment selectors. The order serves SYSCALL (kernel code, then data) and SYSRET (user 32-bit code,
 * data, 64-bit code).
 */
#define BOOT_CS32 0x08
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_CS32 0x23
#define USER_DS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x40
#define REAL_CS 0x38 /* 16-bit code at LOW_BASE: the way to real mode */
#define REAL_DS 0x50 /* what real mode's data segments are after reset but for their base */
#define GDT_BYTES 0x58

/* Real mode: a segment of low memory that nothing else uses. */
#define LOW_SELECTOR 0x2000
#define LOW_BASE 0x20000

/* The image is linked, loaded and run here; the linker script says the same. */
#ifndef IMAGE_BASE
#define IMAGE_BASE 0x100000
#endif
/* Application processors start in this page, which SIPI can name. */
#define AP_START_PAGE 0x8000

/* Memory that nothing but a case touches, in blocks that a hypervisor maps one by one (cold.c). */
#define COLD_BASE 0x1000000
#define COLD_BLOCK_BYTES 0x200000

/* What a launch under SEV-SNP puts into memory, and how much of that it validates: of each cold block the first pages. */
#define SNP_COLD_PAGES 32
#define SNP_SECRETS_PAGE 0xd000
#define SNP_CPUID_PAGE 0xe000
#define SNP_RAM_END 0x4000000
#define ASEV_VALIDATED 1
#define ASEV_SECRETS 2
#define ASEV_CPUID 3

/* The stacks of all CPUs begin with the boot CPU's main stack (percpu.c). */
#define STACK_BYTES 8192

#define REGS_BYTES (15 * 8)

/* Above the registers a trap frame has the handler's RFLAGS, the vector, an error code or 0, and what IRETQ pops. */
#define FRAME_BYTES (8 * 8)
#define FRAME_ABOVE_REGS (3 * 8) /* and below what IRETQ pops */
/* With the vector: an error code was pushed. */
#define FRAME_HAS_ERROR 0x100

#define VECTOR_STUB_BYTES 16

/* 2 MiB blocks below 4 GiB that may hold a ROM and hold no device. */
#define ROM_BLOCKS 8

/* The stack that #VC switches to, so long for each level of nesting; where its IST entry lies in struct percpu. */
#define VC_IST 7
#define VC_STACK_BYTES 4096
#define PERCPU_VC_IST 0xc4

#endif
