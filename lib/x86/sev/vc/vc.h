/* SPDX-License-Identifier: BSD-2-Clause */
/* The #VC handler, for those around it (handler.c says what it does, serve.h how it is divided). */
#ifndef LIB_X86_VC_VC_H
#define LIB_X86_VC_VC_H

#include "x86/cpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* Under SEV-ES: vector 29 leads to the handler from now on, on a stack of its own. Behind sev_begin. */
void vc_begin(void);

/* A gate of vector 29 leads here under SEV-ES (entry.S). */
extern const uint8_t vc_entry[], vc_entry_held[], vc_exit[], vc_exit_end[];

/*
 * Around every other event: one that came between the CPU's switch to the #VC stack and the moment when
 * that is safe from a second #VC keeps it safe. What vc_hold_stack() returned goes to the other.
 */
bool vc_hold_stack(const struct trap_frame *frame);
void vc_release_stack(bool held);

/*
 * Each #VC that was served is shown to this function, before anything of it has changed. Whoever keeps a record is
 * told so, and #VC knows of none.
 */
void vc_watch(void (*watch)(const struct trap_frame *frame));

/* An NMI was handled: the hypervisor may deliver the next one. True: it has done so, and it is due now. */
bool sev_nmi_complete(void);

/*
 * An NMI comes when the hypervisor likes, in the middle of the #VC handler or at the call that completes the one
 * before. True: it is kept for the moment when that is over, since the architecture knows of neither.
 */
bool vc_defer_nmi(void);

/* The code that raised #VC was left from within the handler: nobody returns to it. */
void vc_abandon(void);

#endif
