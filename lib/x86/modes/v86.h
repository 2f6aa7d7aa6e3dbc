/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual-8086 mode: a snippet's 16-bit text in the segment of real mode (layout.h), under the gates, handlers and page
 * tables of 32-bit protected mode as its monitor. The environment has IOPL 3, and an I/O permission map that lets all
 * through, so that code does there what it does elsewhere; a guest about the mode takes IOPL away
 * (setup.without_rflags) and closes ports, redirects interrupts and sets CR4.VME by what is below.
 *
 * What the handler finds (data segments null, stack and CS of ring 0) and the nine doublewords of the frame are compared
 * for every event (compare/delivery.h).
 *
 * With CR4.VME an INT n may go to the 8086 program itself, through the table at linear address 0. Each of its entries
 * leads to an HLT of the vector's own, which ends at the monitor as #GP(0): the recorder is shown the INT n, with the
 * frame that lies on the program's stack, and v86_program tells.
 */
#ifndef LIB_X86_MODES_V86_H
#define LIB_X86_MODES_V86_H

#include "x86/cpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define V86_PORTS 0x10000

/* SDM 3A, "Task-State Segment (TSS)"; SDM 3B, "Software Interrupt Redirection Bit Map" lies below the I/O map. */
struct v86_tss {
	uint32_t link, esp0, ss0, other[22];
	uint16_t trap, io_map_base;
	uint32_t to_monitor[8]; /* a bit for each vector: 0 leaves its INT n to the program */
	uint8_t io_map[V86_PORTS / 8 + 1];
} __attribute__((packed));

extern struct v86_tss v86_tss;

/* The data segments of every snippet, and what the handler of its events must find: see delivery.h. */
#define V86_ES 0x2e5e
#define V86_FS 0x2f5f
#define V86_GS 0x2656

/* Of the last event, if the program itself was to handle it. */
struct v86_program {
	bool handles;
	uint32_t eflags; /* with which its handler began */
	uint16_t pushed; /* FLAGS on its stack */
};

extern struct v86_program v86_program;

/*
 * Loads the TSS, with all ports open and no vector redirected, and fills the table at address 0: once in a case, before
 * its first run or by the case itself, which then changes what it wants to.
 */
void v86_begin(void);

/* The table at address 0: a vector leads to CS:IP. */
void v86_vector(unsigned vector, uint16_t cs, uint16_t ip);

/* For mode.c. The raw frame of an event at `words`, with an error code or not: is it one out of virtual-8086 mode? */
bool v86_is_frame(const uint32_t *words);
struct trap_frame v86_read_frame(const uint32_t *words);

/* Lays what IRET pops to go there, ending at `top`; returns its address. */
uint32_t v86_write_frame(const struct iret_frame *iret, uint64_t top);

/* The registers of snippets begin with these segments, and the stack for their events with ESP0. */
void v86_prepare(void);

#endif
