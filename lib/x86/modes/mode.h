/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way out of long mode into another mode, and back.
 *
 * A snippet of such a mode runs on its mode's own descriptor tables and page tables. Whatever event is delivered
 * there goes to a few lines of assembly (switch.S), which write down vector, registers and the place of the frame,
 * and leave the mode. C looks at the raw frame in long mode, has the recorder of all other environments write it
 * down, and goes back into the mode, where an IRET of that mode ends the handler. So a trace, its notation and what
 * a case's hook may do are the same everywhere.
 *
 * Only the first CPU does so, with IF clear on the way. An NMI of another CPU that comes on the way hits tables of the
 * wrong mode: cases in which other CPUs send NMIs whenever they like stay in long mode.
 */
#ifndef LIB_X86_MODES_MODE_H
#define LIB_X86_MODES_MODE_H

#include "layout.h"
#include "x86/cpu/desc.h"
#include "x86/record/enter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The CPU of the other mode while it is not in it; physical memory below 4 GiB. */
struct outside {
	uint32_t edi, esi, ebp, ebx, edx, ecx, eax;
	uint32_t esp, ss; /* of the raw frame, without an error code: what IRET pops */
	uint32_t ds;	  /* and ES */
	uint32_t vector;  /* of the event that has left the mode */
	uint32_t
		method; /* ENTER_IRET, ENTER_JUMP or ENTER_SYSEXIT; in real mode, ENTER_JUMP is IRETD */
	uint32_t cr0, cr3, cr4;
	uint32_t eflags; /* with which the handler began */
	struct table_pointer idtr __attribute__((aligned(16))), gdtr __attribute__((aligned(16)));
	uint32_t data
		__attribute__((aligned(4))); /* real mode: whose limit its segments have; else 0 */
	uint32_t cs, es, fs, gs;	     /* of the handler, which began with DS and SS above */
};

#define OUTSIDE_HAS(field, offset) \
	_Static_assert(offsetof(struct outside, field) == (offset), "layout.h")
OUTSIDE_HAS(edi, OUTSIDE_EDI);
OUTSIDE_HAS(eax, OUTSIDE_EAX);
OUTSIDE_HAS(esp, OUTSIDE_ESP);
OUTSIDE_HAS(ds, OUTSIDE_DS);
OUTSIDE_HAS(vector, OUTSIDE_VECTOR);
OUTSIDE_HAS(method, OUTSIDE_METHOD);
OUTSIDE_HAS(cr0, OUTSIDE_CR0);
OUTSIDE_HAS(cr4, OUTSIDE_CR4);
OUTSIDE_HAS(eflags, OUTSIDE_EFLAGS);
OUTSIDE_HAS(idtr, OUTSIDE_IDTR);
OUTSIDE_HAS(gdtr, OUTSIDE_GDTR);
OUTSIDE_HAS(data, OUTSIDE_DATA);
OUTSIDE_HAS(cs, OUTSIDE_HANDLER);

_Static_assert(sizeof(struct outside) == OUTSIDE_BYTES, "layout.h");

extern struct outside outside;

/* Into the mode, and back with the next event. */
void mode_switch(void);

/* As snippet_enter (record/enter.h), in the mode of the setup's environment. */
void mode_enter(struct entry *entry);

/* True in environments that are not under long mode. */
bool in_other_mode(void);

/* Why this machine cannot leave long mode, as a name that goes behind "the machine has no"; NULL: it can. */
const char *mode_obstacle(void);

/* Where snippets must lie in this environment, and their stack's top; 0: wherever they are. */
uint64_t mode_code_base(void);
uint64_t mode_stack(void);

/* Before and after mode_switch(): what real mode sees of `outside`, and the reverse. */
void real_prepare(uint16_t limit_of_long_mode);
void real_put_outside(void);
void real_get_outside(void);

/* The address of what CR3 points to in this environment, if that is PAE paging's; else 0. */
uint32_t mode_pae_pointers(void);

/* The code that a gate of the vector leads to, in this environment. */
const uint8_t *mode_stub(unsigned vector);

/* The stack that events from an outer ring get: what a TSS of this environment has in RSP0's place. */
uint64_t mode_rsp0(uint64_t top);

/* Fills a page with this environment's IDT, made of the gates of long mode (desc.h); returns its limit. */
uint16_t mode_fill_idt(void *page);

#endif
