/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the #VC handler does in the place of the CPU: look at the guest's own page tables and
 * descriptors, fetch its code, deliver an exception through its IDT.
 */
#ifndef LIB_X86_VC_MEM_H
#define LIB_X86_VC_MEM_H

#include "x86/insn/decode.h"

#include "x86/cpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define VC_NO_ERROR (-1)

/* An exception to raise at the instruction. */
struct vc_raise {
	uint8_t vector;
	int error; /* or VC_NO_ERROR */
	uint64_t cr2;
};

/* A linear address translated. */
struct vc_page {
	uint64_t gpa;
	bool is_private;
};

/* Translates and checks rights; false: the exception that the access raises. */
bool vc_page(uint64_t linear, bool write, bool user, struct vc_page *page, struct vc_raise *raise);

/* The same for all of 1 to 8 bytes. */
bool vc_bytes_there(uint64_t linear, unsigned bytes, bool write, bool user, struct vc_raise *raise);

/* Base of a segment register of the interrupted code (an insn_segment_base; context: struct trap_frame). */
uint64_t vc_segment_base(void *context, unsigned segment);

/* The instruction at CS:RIP; false: none that the decoder knows. */
bool vc_decode(const struct trap_frame *frame, struct insn *insn);

/*
 * Rewrites the frame so that IRET enters the vector's handler as if the CPU had raised it there: stack
 * by IST, RSP0 or none, frame pushed, IF and TF clear.
 */
void vc_deliver(struct trap_frame *frame, const struct vc_raise *raise);

#endif
