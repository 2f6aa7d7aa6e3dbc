/* SPDX-License-Identifier: BSD-2-Clause */
/* What lib/x86/cpu/entry.S saves and loads. The order of fields is known there. */
#ifndef LIB_X86_FRAME_H
#define LIB_X86_FRAME_H

#include "x86/boot/layout.h"

#include <stdint.h>

struct regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

/* What IRETQ pops. */
struct iret_frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

/* The stack while an event is handled, lowest address first. */
struct trap_frame {
	struct regs regs;
	uint64_t rflags; /* with which the handler began */
	uint64_t vector; /* with FRAME_HAS_ERROR */
	uint64_t error;
	struct iret_frame iret;
};

_Static_assert(sizeof(struct regs) == REGS_BYTES, "entry.S saves 15 registers");

/* What the stubs leave of the registers above. */
_Static_assert(sizeof(struct trap_frame) == REGS_BYTES + FRAME_BYTES, "entry.S drops so much");

/* 256 entry points, VECTOR_STUB_BYTES apart, each position-independent. */
extern const uint8_t vector_stubs[];

/* The IRETQ that ends every handler: where it faults. */
extern const uint8_t event_iret[];

/* Called by the stubs, and left open here: each image has its own (a guest: the recorder). */
void event_record(struct trap_frame *frame);

#endif
