/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instruction decoder: of the #VC handler, and of the model hypervisor and the monitor in lab/host, which emulate.
 *
 * A #VC handler is told the SVM exit code and nothing else: the length of the
 * instruction and all of its operands have to be found in the bytes at RIP.
 * This decoder knows the instructions that raise #VC by themselves (CPUID, MSR
 * access, port I/O and so on) and the loads, stores and read-modify-writes
 * that compilers and kernels aim at MMIO. Everything else is "unsupported".
 *
 * It is a pure function of bytes and mode: no state, no memory but its
 * arguments, no privileged instruction. The same object code logic runs in the
 * guest, in the host tests and under the fuzzer.
 *
 * Sources: APM vol. 3, "Instruction Encoding" (prefixes, REX, ModRM, SIB, RIP-relative
 * addressing) and the pages of the instructions, VMGEXIT among them; SDM vol. 2,
 * "Instruction Format", "Opcode Map".
 */
#ifndef LIB_X86_DECODE_H
#define LIB_X86_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The architecture's limit; a longer instruction raises #GP(0). */
#define INSN_MAX_LENGTH 15

/* Size of code: CS.L=1 is 64, else CS.D chooses 32 or 16. */
enum insn_mode {
	INSN_MODE_16,
	INSN_MODE_32,
	INSN_MODE_64,
};

enum insn_status {
	INSN_OK,
	INSN_MORE,	  /* the bytes end inside the instruction */
	INSN_TOO_LONG,	  /* more than 15 bytes: the CPU raises #GP(0) */
	INSN_INVALID,	  /* a known opcode in a form that raises #UD */
	INSN_UNSUPPORTED, /* not an instruction that this decoder knows */
};

enum insn_op {
	INSN_OP_NONE,

	/* Read or write memory. The eight of the first group are in the order
	 * of the opcode map: opcode bits 5:3, or ModRM.reg in the groups. */
	INSN_OP_ADD,
	INSN_OP_OR,
	INSN_OP_ADC,
	INSN_OP_SBB,
	INSN_OP_AND,
	INSN_OP_SUB,
	INSN_OP_XOR,
	INSN_OP_CMP,
	INSN_OP_TEST,
	INSN_OP_NOT,
	INSN_OP_NEG,
	INSN_OP_INC,
	INSN_OP_DEC,
	INSN_OP_MOV,
	INSN_OP_MOVX, /* MOVZX, MOVSX, MOVSXD: see insn.extend */
	INSN_OP_XCHG,
	INSN_OP_XADD,
	INSN_OP_CMPXCHG,
	INSN_OP_MOVS,
	INSN_OP_STOS,
	INSN_OP_LODS,

	/* Port I/O */
	INSN_OP_IN,
	INSN_OP_OUT,
	INSN_OP_INS,
	INSN_OP_OUTS,

	/* Debug registers: the INSN_DR operand tells the direction */
	INSN_OP_MOV_DR,

	/* No explicit operands */
	INSN_OP_CPUID,
	INSN_OP_RDMSR,
	INSN_OP_WRMSR,
	INSN_OP_RDPMC,
	INSN_OP_RDTSC,
	INSN_OP_RDTSCP,
	INSN_OP_RDPRU,
	INSN_OP_XSETBV,
	INSN_OP_HLT,
	INSN_OP_INVD,
	INSN_OP_WBINVD,
	INSN_OP_WBNOINVD,
	INSN_OP_MONITOR,
	INSN_OP_MONITORX,
	INSN_OP_MWAIT,
	INSN_OP_MWAITX,
	INSN_OP_RSM,
	INSN_OP_VMRUN,
	INSN_OP_VMMCALL,
	INSN_OP_VMGEXIT, /* VMMCALL after F3 or F2: insn.rep tells which */
	INSN_OP_VMLOAD,
	INSN_OP_VMSAVE,
	INSN_OP_STGI,
	INSN_OP_CLGI,
	INSN_OP_SKINIT,
	INSN_OP_INVLPGA,
	INSN_OP_COUNT
};

/* Numbered as in segment-register operands and in the IOIO exit word. */
enum insn_segment {
	INSN_ES,
	INSN_CS,
	INSN_SS,
	INSN_DS,
	INSN_FS,
	INSN_GS,
};

enum insn_rep {
	INSN_REP_NONE,
	INSN_REP,   /* F3; the last of F2 and F3 counts */
	INSN_REPNE, /* F2 */
};

enum insn_extend {
	INSN_EXTEND_NONE,
	INSN_EXTEND_ZERO,
	INSN_EXTEND_SIGN,
};

enum insn_operand_kind {
	INSN_NO_OPERAND,
	INSN_GPR,      /* .reg 0..15 = RAX RCX RDX RBX RSP RBP RSI RDI R8.. */
	INSN_GPR_HIGH, /* AH CH DH BH, .reg 0..3: bits 15:8 of that register */
	INSN_DR,       /* .reg as encoded, 0..7 */
	INSN_MEM,      /* insn.mem in insn.segment */
	INSN_MEM_SI,   /* string source: insn.segment:rSI */
	INSN_MEM_DI,   /* string destination: ES:rDI, no override */
	INSN_IMM,      /* insn.imm */
	INSN_PORT_IMM, /* port number in insn.imm, 0..255 */
	INSN_PORT_DX,
};

#define INSN_NO_REG 0xff

struct insn_operand {
	uint8_t kind; /* enum insn_operand_kind */
	uint8_t size; /* bytes: 1, 2, 4, 8; of a port: bytes transferred */
	uint8_t reg;
};

/* Offset = base + index * scale + disp, wrapped to the address size. */
struct insn_mem {
	uint8_t base;	   /* register number or INSN_NO_REG */
	uint8_t index;	   /* register number or INSN_NO_REG */
	uint8_t scale;	   /* 1, 2, 4, 8 */
	bool rip_relative; /* disp counts from the next instruction */
	bool moffs;	   /* disp is a full, zero-extended address */
	int64_t disp;	   /* sign-extended otherwise */
};

struct insn {
	uint8_t length;	      /* bytes, 1..15 */
	uint8_t mode;	      /* enum insn_mode, as given */
	uint8_t op;	      /* enum insn_op */
	uint8_t operand_size; /* bytes: 1, 2, 4, 8; 0 for no explicit operands */
	uint8_t address_size; /* bytes: 2, 4, 8 */
	uint8_t segment;      /* enum insn_segment that INSN_MEM, INSN_MEM_SI use */
	uint8_t rep;	      /* enum insn_rep; F2 and F3 repeat all string forms */
	bool lock;
	uint8_t extend; /* enum insn_extend, of INSN_OP_MOVX */
	struct insn_operand dst, src;
	struct insn_mem mem; /* valid with an INSN_MEM operand */
	int64_t imm;	     /* sign-extended; use the low operand-size bytes */
};

/**
 * insn_decode - decode the instruction at the start of a byte string
 * @insn:  result; all of it is valid with INSN_OK, none of it otherwise
 * @bytes: the code; never read at or behind bytes[count]
 * @count: bytes available, 0 and more than 15 are fine
 * @mode:  size of the code segment
 *
 * INSN_MORE asks for a longer string: a handler passes the bytes up to the end
 * of the page first and touches the next page only then. Adding bytes never
 * changes any other answer.
 */
enum insn_status insn_decode(struct insn *insn, const uint8_t *bytes, size_t count,
			     enum insn_mode mode);

/**
 * insn_memory_operand - the memory operand that an MMIO handler emulates
 * @insn: a decoded instruction
 *
 * Returns dst or src, whichever is memory (dst for MOVS, which has two), or
 * NULL: then the instruction can't have raised an MMIO #VC.
 */
const struct insn_operand *insn_memory_operand(const struct insn *insn);

#endif
