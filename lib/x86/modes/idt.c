/* SPDX-License-Identifier: BSD-2-Clause */
/* The other modes' tables, made of long mode's as the case has left them. */
#include "mode.h"

#include "x86/cpu/cpu.h"
#include "x86/cpu/frame.h"
#include "x86/cpu/percpu.h"
#include "x86/record/notation.h"
#include "x86/record/setup.h"

extern const uint8_t mode_stubs32[];

/* SDM 3A, IDT Descriptors: a gate of 32-bit protected mode. */
struct gate32 {
	uint16_t offset_low, selector;
	uint8_t zero, attributes;
	uint16_t offset_high;
};

_Static_assert(sizeof(struct gate32) == 8, "SDM 3A, IDT Descriptors");

#define GATES 256

bool in_other_mode(void)
{
	return environment_row(setup.environment)->mode != MODE_LONG;
}

const uint8_t *mode_stub(unsigned vector)
{
	return (in_other_mode() ? mode_stubs32 : vector_stubs) + vector * VECTOR_STUB_BYTES;
}

/* The upper half of RSP0 is SS0 in a 32-bit TSS. */
uint64_t mode_rsp0(uint64_t top)
{
	return in_other_mode() ? (uint32_t)top | (uint64_t)KERNEL_DS << 32 : top;
}

/* A handler that is none of long mode's stubs is the case's own, for this mode. */
static uint32_t handler_of(unsigned vector)
{
	const struct gate *gate = &idt[vector];
	uint32_t address = gate->offset_low | (uint32_t)gate->offset_middle << 16;
	uint64_t offset = address - (uint64_t)vector_stubs;

	return offset < GATES * VECTOR_STUB_BYTES ? (uint64_t)mode_stubs32 + offset : address;
}

uint16_t mode_fill_idt(void *page)
{
	struct gate32 *gates = page;

	for (unsigned v = 0; v < GATES; v++) {
		uint32_t handler = handler_of(v);

		gates[v] = (struct gate32){
			.offset_low = handler,
			.offset_high = handler >> 16,
			.selector = idt[v].selector == KERNEL_CS ? BOOT_CS32 : idt[v].selector,
			.attributes = idt[v].attributes,
		};
	}
	notation_handlers(mode_stubs32);
	return GATES * sizeof(gates[0]) - 1;
}
