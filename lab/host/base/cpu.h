/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is who: the monitor (L0) runs a stock Linux (L1) as its guest; KVM in it runs guests of its own (L2). The CPU
 * that QEMU emulates runs L1 and L2 alike, each from a VMCB. There is one of these structures for each CPU; so far
 * there is one CPU.
 */
#ifndef HOST_CPU_H
#define HOST_CPU_H

#include "x86/arch/vmcb.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/frame.h"
#include "x86/insn/decode.h"
#include "x86/insn/insn_regs.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE 4096ul

#define MSR_SYSCFG 0xc0010010
#define MSR_HWCR 0xc0010015
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_VM_PAGE_FLUSH 0xc001011e
#define MSR_GHCB 0xc0010130
#define MSR_SEV_STATUS 0xc0010131
#define MSR_RMP_BASE 0xc0010132
#define MSR_RMP_END 0xc0010133

#define SYSCFG_SNP (1ul << 24)

/* Exit codes that vmcb.h has no names for. APM 2, "SVM Intercept Exit Codes". */
#define SVM_EXIT_EFER_TRAP 0x8f
#define SVM_EXIT_CR_TRAP 0x90
#define SVM_EXIT_VMGEXIT 0x403

/* VMCB, "nested control". */
#define NESTED_SEV (1ul << 1)
#define NESTED_SEV_ES (1ul << 2)

/* By exit code; the last takes what does not fit. */
#define COUNTED 0x420

struct counters {
	uint64_t l1[COUNTED], l2[COUNTED];
	uint64_t entries, again; /* VMRUNs of L1; L2 entered again without L1 */
	uint64_t flips, taken_back, mapped, synced, flushed; /* memory: shadow.c, views.c */
	uint64_t vc, vmgexit;
};

struct cpu {
	struct vmcb l1;	  /* L1 as the guest that it is */
	struct regs regs; /* of whoever ran last: all but RAX and RSP, which are a VMCB's */
	uint64_t hsave;	  /* L1's VM_HSAVE_PA */
	uint64_t syscfg, hwcr;
	bool svme; /* L1's EFER.SVME; in truth it is always set */
	struct counters count;
};

extern struct cpu cpu0;

/* A general register of L1 or L2 by its number: RAX RCX RDX RBX RSP RBP RSI RDI R8 … */
uint64_t *cpu_gpr(struct cpu *c, struct vmcb *b, unsigned number);

/* What the functions on operands want (insn_regs.h): all general registers, and a segment's base; `b` is a VMCB. */
struct insn_regs cpu_insn_regs(struct cpu *c, struct vmcb *b);
uint64_t cpu_segment_base(void *b, unsigned segment);

/* EDX:EAX, as the instructions on MSRs and counters have it. */
static inline uint64_t cpu_get_pair(const struct cpu *c, const struct vmcb *b)
{
	return (uint32_t)b->rax | c->regs.rdx << 32;
}

static inline void cpu_set_pair(struct cpu *c, struct vmcb *b, uint64_t value)
{
	b->rax = (uint32_t)value;
	c->regs.rdx = value >> 32;
}

/* Code size at CS:RIP: 16, 32 or 64 bits. APM 2, "Modes of Operation". */
unsigned code_bits(const struct vmcb *b);
enum insn_mode code_mode(const struct vmcb *b);

/* Moves RIP, within the code's size, and ends what holds for one instruction: shadow, RF. */
void move_rip(struct vmcb *b, uint64_t rip);

/* L1's instruction is done; #GP(0) at it. */
void l1_skip(struct cpu *c, unsigned bytes);
void l1_gp(struct cpu *c);

/* Turn SVM on, and interrupts off; stop with a sentence if the CPU has it not, or no nested paging. */
void cpu_enable_svm(void);

/* FS, GS, TR, LDTR and what goes with them: no entry and no exit moves those. */
static inline void vmload(const void *at)
{
	asm volatile("vmload %%rax" : : "a"(at) : "memory");
}

static inline void vmsave(void *at)
{
	asm volatile("vmsave %%rax" : : "a"(at) : "memory");
}

/*
 * One VMRUN: from GIF 0 to GIF 0. `host_if`: the IF that counts for interrupts of the machine while V_INTR_MASKING
 * is set, which is L1's.
 */
void cpu_run(struct cpu *c, struct vmcb *b, bool host_if);

#endif
