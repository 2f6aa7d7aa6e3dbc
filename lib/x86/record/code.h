/* SPDX-License-Identifier: BSD-2-Clause */
/* Code under test, and the names of places in it. */
#ifndef LIB_X86_CODE_H
#define LIB_X86_CODE_H

#include <stdint.h>

struct mark {
	uint64_t address;
	const char *name;
	uint64_t is_area;
};

struct code {
	const uint8_t *start, *end; /* end: behind the closing UD2 */
	const struct mark *marks, *marks_end;
	const char *text; /* as it was assembled */
};

/* The last mark at or before an offset into the code, or NULL. */
const struct mark *mark_before(const struct code *code, uint64_t offset);

#endif
