/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the CPU does to itself when it delivers an event, and what it leaves as it was: looked at for every event
 * of every case, without a case asking for it. Nothing is said where it is right.
 *
 * In the handler (SDM 3A, "Exception- and Interrupt-Handler Procedures", "Flag Usage By Exception- or
 * Interrupt-Handler Procedure", "64-Bit Mode Stack Frame", "Stack Switching in IA-32e Mode"; APM 2, "Long-Mode
 * Interrupt Control Transfers"):
 *
 *	RFLAGS	as in the frame, with TF and NT clear, and IF clear behind an interrupt gate
 *	CS	the gate's selector, with the new CPL for its RPL
 *	SS	null where the CPL has changed; else as it was. With an IST and no change of CPL the manuals do
 *		not say it, and implementations differ: both will do.
 *	RSP	the IST's, RSP0 where the CPL has changed, else the one of before; at a multiple of 16
 *	CR2	changed by #PF alone (and by the one that #DF stands for)
 *	others	as they were
 *
 * In the frame of an event in a snippet: CS, SS, RSP, RFLAGS and the general registers as they were before it or
 * behind the event before, unless its text may change them (touch.h).
 */
#ifndef LIB_X86_DELIVERY_H
#define LIB_X86_DELIVERY_H

#include "difference.h"
#include "x86/cpu/frame.h"

#include <stdint.h>

/* What can be wrong, and its name in a trace. The first are the general registers, in the order of struct regs. */
#define DELIVERY_PARTS(part)                                                                       \
	part(RAX, "RAX") part(RBX, "RBX") part(RCX, "RCX") part(RDX, "RDX") part(RSI, "RSI") part( \
		RDI, "RDI") part(RBP, "RBP") part(R8, "R8") part(R9, "R9") part(R10, "R10")        \
		part(R11, "R11") part(R12, "R12") part(R13, "R13") part(R14, "R14") part(          \
			R15, "R15") part(FRAME_RSP, "frame.RSP") part(FRAME_FLAGS, "frame.RFLAGS") \
			part(FRAME_CS, "frame.CS") part(FRAME_SS, "frame.SS") part(DS, "DS") part( \
				ES, "ES") part(FS, "FS") part(GS, "GS") part(CR2, "CR2")           \
				part(IF, "IF") part(TF, "TF") part(NT, "NT") part(AC, "AC")        \
					part(DF, "DF") part(FLAGS, "RFLAGS") part(CS, "CS")        \
						part(SS, "SS") part(RSP, "RSP") part(FRAME_DS,     \
										     "frame.DS")   \
							part(FRAME_ES, "frame.ES")                 \
								part(FRAME_FS, "frame.FS")         \
									part(FRAME_GS, "frame.GS")

#define DELIVERY_ENUM(id, name) PART_##id,
enum part { DELIVERY_PARTS(DELIVERY_ENUM) PART_COUNT };
#undef DELIVERY_ENUM

extern const char *const part_names[PART_COUNT];

/* A handler of virtual-8086 mode's events, and the segments in its frame (modes/v86.h). */
struct handler_state {
	uint16_t cs, ss, ds, es, fs, gs;
	uint16_t frame_ds, frame_es, frame_fs, frame_gs;
	uint32_t esp;
};

/* The CPU as a snippet was entered, or as the event before was left. */
struct before {
	/* By whoever enters it: what it is, and where it stands. */
	const char *text;
	uint64_t base, bytes;
	bool is_32;
	bool is_legacy; /* not under long mode: what is known of the handler is its RFLAGS */
	/* By whoever brings the event here, if it is known: what the handler found, and had to find. */
	const struct handler_state *found, *right;
	bool is_of_program; /* and the snippet's own handler has it, on the snippet's stack */
	/* By delivery_begin. */
	struct regs regs;
	struct iret_frame iret;
	uint64_t cr2, idt;
	uint16_t ds, es, fs, gs;
	uint32_t touches; /* touch.h */
	const char *touches_of;
};

/* A snippet is about to be entered: fills registers that neither it nor the case sets, and notes them all. */
void delivery_begin(struct before *before, struct regs *regs, const struct iret_frame *iret);

/* Looks at an event on its arrival; `in_l1`: it is L1's own. Returns what is wrong, a bit for each part. */
uint64_t delivery_look(struct before *before, struct differences *differences,
		       const struct trap_frame *frame, bool in_l1);

/* The event's handler goes back to what the frame says now. */
void delivery_end(struct before *before, const struct trap_frame *frame);

#endif
