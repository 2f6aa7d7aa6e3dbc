/* SPDX-License-Identifier: BSD-2-Clause */
/* The segment of real mode. */
#include "mode.h"

#include "x86/cpu/desc.h"
#include "x86/record/notation.h"
#include "x86/record/setup.h"

#include "string.h"

extern const uint8_t real_code[], real_code_end[];

#define VECTORS 256
#define AT(offset) ((void *)(LOW_BASE + (uint64_t)(offset)))

static enum mode mode(void)
{
	return environment_row(setup.environment)->mode;
}

uint64_t mode_code_base(void)
{
	return environment_row(setup.environment)->bit & (IN_16) ? LOW_BASE + LOW_SNIPPET : 0;
}

uint64_t mode_stack(void)
{
	if (mode() == MODE_BIG_REAL)
		return LOW_BASE + 0x10000 + LOW_STACK;
	return mode_code_base() ? LOW_BASE + LOW_STACK : 0;
}

/* SDM 3B, Interrupt Vector Table: IP and CS of each vector, at the IDTR's base, which need not be 0. */
void real_prepare(uint16_t limit_of_long_mode)
{
	unsigned bytes = limit_of_long_mode + 1u;
	uint16_t *vectors = AT(LOW_IVT);

	memcpy(AT(LOW_CODE), real_code, real_code_end - real_code);
	for (unsigned v = 0; v < VECTORS; v++) {
		vectors[2 * v] = LOW_CODE + v * VECTOR_STUB_BYTES;
		vectors[2 * v + 1] = LOW_SELECTOR;
	}
	outside.idtr.base = LOW_BASE + LOW_IVT;
	outside.idtr.limit = bytes / sizeof(struct gate) * 4 + bytes % sizeof(struct gate) / 4 - 1;
	outside.data = mode() == MODE_BIG_REAL ? KERNEL_DS : REAL_DS;
	notation_handlers(AT(LOW_CODE));
}

void real_put_outside(void)
{
	memcpy(AT(LOW_OUTSIDE), &outside, sizeof(outside));
}

void real_get_outside(void)
{
	memcpy(&outside, AT(LOW_OUTSIDE), sizeof(outside));
}
