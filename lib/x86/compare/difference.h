/* SPDX-License-Identifier: BSD-2-Clause */
/* What was found to be otherwise than it must be, with both values, for the report of the point. */
#ifndef LIB_X86_DIFFERENCE_H
#define LIB_X86_DIFFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_DIFFERENCES 8
#define NO_VECTOR (~0u)

/* Of one CPU; more than there is room for are counted. */
struct differences {
	unsigned used;
	struct difference {
		const char *where, *name; /* strings that stay */
		uint32_t vector;	  /* behind `where`; NO_VECTOR: nothing is */
		uint64_t now, right;
	} list[MAX_DIFFERENCES];
};

/* Notes one; the same again is not noted. */
void difference_add(struct differences *all, const struct difference *one);

#endif
