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
};

#define ALL_NATIVE CPL0 | CPL3 | COMPAT
#define USER CPL3 | COMPAT

struct environment_row {
	enum environment bit;
	const char *name; /* in a point's name */
	bool is_user;	  /* CPL3 */
	bool is_32;	  /* runs the 32-bit text of a snippet */
	uint16_t cs, ss;
	uint8_t without_gdt; /* ENTER_…: how to get there without reading a descriptor */
};

/* All of them, ended by a row without a name. */
extern const struct environment_row environments[];

const struct environment_row *environment_row(enum environment bit);

#endif
