/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests about the local APIC's vectors share. */
#ifndef X86_VECTOR_H
#define X86_VECTOR_H

#include "trapline.h"

/* The vectors that the local APIC delivers. */
#define FIRST 0x10
#define LAST 0xff

/* Where each takes long, vectors 16 to 31 stand for all. */
#define LAST_OF_FEW 0x1f

/* Sent behind the vector under test, to show that this one had its chance. */
#define LATER 0x31

static inline void send_fixed(uint32_t destination, uint32_t command)
{
	apic_icr(destination, ICR_FIXED | ICR_ASSERT | command);
}

/* A vector under test is not the APIC's spurious vector, which has a case of its own. */
static inline void begin(unsigned v)
{
	apic_keep_spurious_off(v);
	subject_begin(v);
}

static inline void end(void)
{
	subject_end();
}

#endif
