/* SPDX-License-Identifier: BSD-2-Clause */
#include "es_fpu.h"

#include "string.h"

#define STACK_REGISTERS 8
#define STACK_BYTES 10
#define MXCSR_MASK 0xffffu

/* What FXSAVE64 writes. APM 2, "FXSAVE Format". */
static struct {
	uint16_t control, status;
	uint8_t tags, reserved0;
	uint16_t opcode;
	uint64_t rip, data;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t stack[STACK_REGISTERS][16];
	uint8_t xmm[256];
	uint8_t reserved1[96];
} __attribute__((packed, aligned(16))) image;

_Static_assert(sizeof(image) == 512, "APM 2, FXSAVE");

void es_fpu_load(const struct vmsa *s)
{
	image.control = s->x87_control;
	image.status = s->x87_status;
	image.tags = s->x87_tags;
	image.opcode = s->x87_opcode;
	image.rip = s->x87_rip;
	image.data = s->x87_data;
	image.mxcsr = s->mxcsr & MXCSR_MASK;
	for (unsigned i = 0; i < STACK_REGISTERS; i++)
		memcpy(image.stack[i], &s->x87_stack[i * STACK_BYTES], STACK_BYTES);
	memcpy(image.xmm, s->xmm, sizeof(image.xmm));
	asm volatile("fxrstor64 %0" : : "m"(image));
}

void es_fpu_save(struct vmsa *s)
{
	asm volatile("fxsave64 %0" : "=m"(image));
	s->x87_control = image.control;
	s->x87_status = image.status;
	s->x87_tags = image.tags;
	s->x87_opcode = image.opcode;
	s->x87_rip = image.rip;
	s->x87_data = image.data;
	s->mxcsr = image.mxcsr;
	for (unsigned i = 0; i < STACK_REGISTERS; i++)
		memcpy(&s->x87_stack[i * STACK_BYTES], image.stack[i], STACK_BYTES);
	memcpy(s->xmm, image.xmm, sizeof(image.xmm));
}
