/* SPDX-License-Identifier: BSD-2-Clause */
/* Where code under test runs: all that is different in an environment is in its row of environment.c. */
#ifndef LIB_X86_ENVIRONMENT_H
#define LIB_X86_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>

/* In the order of their points. */
enum environment {
	CPL0 = 1 << 0,
	CPL3 = 1 << 1,
	COMPAT = 1 << 2, /* 32-bit code at CPL3 under a 64-bit kernel */
	LEGACY = 1 << 3,
	/* 32-bit protected mode, EFER.LMA 0, on the PAE paging of the same tables (x86/modes). */
	LEGACY_CPL0 = 1 << 4,
	LEGACY_CPL3 = 1 << 5,
	/* Real mode; with SS.B and the limits of segments at 4 GiB, and ESP above 64 KiB. */
	REAL = 1 << 6,
	BIG_REAL = 1 << 7,
	/*
	 * 64-bit code in ring 1 and 2, and 32-bit code there outside of long mode: to paging they are the supervisor, as
	 * ring 0 is, to everything else they are outside of it, as ring 3 is.
	 */
	CPL1 = 1 << 8,
	CPL2 = 1 << 9,
	LEGACY_CPL1 = 1 << 10,
	LEGACY_CPL2 = 1 << 11,
	/* Virtual-8086 mode under a monitor of 32-bit protected mode, with IOPL 3 (x86/modes/v86.h). */
	V86 = 1 << 12,
};

/* What most rules say they say of every mode. */
#define ALL_NATIVE CPL0 | CPL3 | COMPAT | LEGACY_CPL0 | LEGACY_CPL3
#define RING0 CPL0 | LEGACY_CPL0
#define USER CPL3 | COMPAT | LEGACY_CPL3
/* Rings between the two, for rows in which they can differ from both. */
#define RINGS CPL1 | CPL2
#define LEGACY_RINGS LEGACY_CPL1 | LEGACY_CPL2
#define IN_EVERY_RING ALL_NATIVE | RINGS | LEGACY_RINGS
#define OUTER_RINGS USER | RINGS | LEGACY_RINGS
/* Where instructions exist that 64-bit code has not. */
#define IN_32 COMPAT | LEGACY_CPL0 | LEGACY_CPL3
#define USER_32 COMPAT | LEGACY_CPL3
/* 16-bit code: a snippet's third text. */
#define IN_REAL REAL | BIG_REAL
#define IN_16 IN_REAL | V86
#define EVERYWHERE ALL_NATIVE | IN_16
/* Under a kernel of long mode, and where an event gets a stack of its own. */
#define IN_LONG_MODE CPL0 | CPL3 | COMPAT
#define WITH_EVENT_STACK CPL0 | CPL3 | COMPAT | LEGACY_CPL3

/* How the mode is entered and left; all but the first are native only. */
enum mode {
	MODE_LONG,
	MODE_LEGACY,
	MODE_REAL,
	MODE_BIG_REAL,
	MODE_V86,
};

struct environment_row {
	enum environment bit;
	const char *name; /* in a point's name */
	uint8_t ring;	  /* CPL */
	bool is_32;	  /* runs the 32-bit text of a snippet */
	uint16_t cs, ss;
	uint8_t without_gdt; /* ENTER_…: how to get there without reading a descriptor; IRET: there is no such way */
	enum mode mode;
	uint32_t rflags; /* besides the fixed bit and what a case asks for */
};

/* All of them, ended by a row without a name. */
extern const struct environment_row environments[];

const struct environment_row *environment_row(enum environment bit);

#endif
