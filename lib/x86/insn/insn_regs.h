/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers and addresses of a decoded instruction: what an operand means for
 * a given register file. Pure arithmetic; nothing here touches memory that an
 * instruction names.
 *
 * Sources: APM vol. 1, "Zero-Extension of 32-Bit Results"; APM vol. 2,
 * "Memory Addressing", "Segmentation Data Structures and 64-Bit Mode";
 * APM vol. 3, "Address-Size Override Prefix".
 */
#ifndef LIB_X86_INSN_REGS_H
#define LIB_X86_INSN_REGS_H

#include "decode.h"

/* gpr[] is indexed with register numbers: RAX RCX RDX RBX RSP RBP RSI RDI R8.. */
struct insn_regs {
	uint64_t gpr[16];
	uint64_t rip; /* of the instruction, not behind it */
};

enum {
	INSN_RAX,
	INSN_RCX,
	INSN_RDX,
	INSN_RBX,
	INSN_RSP,
	INSN_RBP,
	INSN_RSI,
	INSN_RDI,
};

/* Returns the base of a segment; @segment is an enum insn_segment. */
typedef uint64_t (*insn_segment_base)(void *context, unsigned int segment);

/**
 * insn_read_gpr - value of a register operand
 * @regs: register file
 * @o:    operand of kind INSN_GPR or INSN_GPR_HIGH; any other kind reads as 0
 *
 * Returns the value zero-extended from o->size bytes.
 */
uint64_t insn_read_gpr(const struct insn_regs *regs, const struct insn_operand *o);

/**
 * insn_write_gpr - put a result into a register operand
 * @regs:  register file
 * @o:     operand of kind INSN_GPR or INSN_GPR_HIGH; others are left alone
 * @value: result; bits above o->size bytes are dropped
 *
 * As the CPU does it: a 4-byte result clears bits 63:32, a shorter one leaves
 * all other bits of the register as they were.
 */
void insn_write_gpr(struct insn_regs *regs, const struct insn_operand *o, uint64_t value);

/**
 * insn_immediate - immediate of an instruction, cut to its operand size
 * @insn: a decoded instruction
 */
uint64_t insn_immediate(const struct insn *insn);

/**
 * insn_extend_value - the extension that MOVZX, MOVSX and MOVSXD apply
 * @insn:  a decoded instruction; with INSN_EXTEND_NONE the value is only cut
 * @value: what was read from the source operand
 *
 * Returns the value extended from the source's size, cut to the operand size.
 */
uint64_t insn_extend_value(const struct insn *insn, uint64_t value);

/**
 * insn_offset - offset of a memory operand in its segment
 * @insn: a decoded instruction
 * @o:    its operand of kind INSN_MEM, INSN_MEM_SI or INSN_MEM_DI; else 0
 * @regs: register file
 *
 * Returns the offset wrapped to the address size (16, 32 or 64 bits).
 */
uint64_t insn_offset(const struct insn *insn, const struct insn_operand *o,
		     const struct insn_regs *regs);

/**
 * insn_linear - linear address of a memory operand
 * @insn, @o, @regs: as for insn_offset()
 * @base:    asked for the base of one segment; in 64-bit code only for FS and
 *           GS, as the others count as 0 there
 * @context: handed to @base
 *
 * Returns base + offset, wrapped to 32 bits outside of 64-bit code. Limits,
 * rights and canonical form are not checked.
 */
uint64_t insn_linear(const struct insn *insn, const struct insn_operand *o,
		     const struct insn_regs *regs, insn_segment_base base, void *context);

/**
 * insn_count - elements that a string instruction still has to move
 * @insn: a decoded instruction
 * @regs: register file
 *
 * Returns rCX cut to the address size with a REP prefix, else 1.
 */
uint64_t insn_count(const struct insn *insn, const struct insn_regs *regs);

/**
 * insn_string_step - account for elements that a string instruction has moved
 * @insn:  a decoded string instruction
 * @regs:  rSI, rDI (those that it uses) and, with REP, rCX are updated
 * @count: elements done, at most insn_count()
 * @down:  RFLAGS.DF
 *
 * Registers wrap at the address size: 16-bit addressing leaves the bits above
 * alone, 32-bit addressing clears bits 63:32. A @count of 0 changes nothing.
 */
void insn_string_step(const struct insn *insn, struct insn_regs *regs, uint64_t count, bool down);

/**
 * insn_next_rip - RIP of the instruction that follows
 * @insn: a decoded instruction
 * @regs: register file
 *
 * Returns rip + length, wrapped to 32 bits outside of 64-bit code. 16-bit code
 * can't run over 0xffff: its limit check faults first.
 */
uint64_t insn_next_rip(const struct insn *insn, const struct insn_regs *regs);

#endif
