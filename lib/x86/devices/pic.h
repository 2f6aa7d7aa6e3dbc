/* SPDX-License-Identifier: BSD-2-Clause */
/* The first 8259 interrupt controller (Intel 8259A datasheet), which drives the local APIC's pin LINT0. */
#ifndef LIB_X86_PIC_H
#define LIB_X86_PIC_H

#include <stdbool.h>

bool pic_present(void);

/*
 * Initialized anew, edge-triggered, with no request pending, and lets one of its eight inputs through. Input 4
 * is the line of ioapic.h.
 */
void pic_open(unsigned input);

/* All inputs masked, of the second one as well: the output is low. */
void pic_close(void);

#endif
