/* SPDX-License-Identifier: BSD-2-Clause */
/* Where struct outside (mode.h) has what switch.S reads and writes. */
#ifndef LIB_X86_MODES_LAYOUT_H
#define LIB_X86_MODES_LAYOUT_H

#define OUTSIDE_EDI 0
#define OUTSIDE_ESI 4
#define OUTSIDE_EBP 8
#define OUTSIDE_EBX 12
#define OUTSIDE_EDX 16
#define OUTSIDE_ECX 20
#define OUTSIDE_EAX 24
#define OUTSIDE_ESP 28
#define OUTSIDE_SS 32
#define OUTSIDE_DS 36
#define OUTSIDE_VECTOR 40
#define OUTSIDE_METHOD 44
#define OUTSIDE_CR0 48
#define OUTSIDE_CR3 52
#define OUTSIDE_CR4 56
#define OUTSIDE_EFLAGS 60
#define OUTSIDE_IDTR 64
#define OUTSIDE_GDTR 80
#define OUTSIDE_DATA 92
#define OUTSIDE_HANDLER 96 /* CS, ES, FS, GS with which it began */
#define OUTSIDE_BYTES 112

/* In the segment of real mode: handlers, the table of vectors, struct outside, snippets, and the top of the stack. */
#define LOW_CODE 0x0000
#define LOW_IVT 0x2000
#define LOW_OUTSIDE 0x2800
#define LOW_SNIPPET 0x3000
#define LOW_STACK 0xf000

#endif
