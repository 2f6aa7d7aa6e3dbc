/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts that wait for a snippet, and time that runs out for it. */
#ifndef LIB_X86_PENDING_H
#define LIB_X86_PENDING_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Makes a fixed interrupt pending on this CPU by a self-IPI with IF=0. Witness: its IRR bit.
 * Software-enables the APIC.
 */
void interrupt_pending(unsigned vector);

/*
 * Waits until a vector is in this CPU's IRR, with IF clear; false after a few seconds, and sooner once that
 * was in vain on this machine.
 */
bool interrupt_comes(unsigned vector);

/* Sends this CPU an NMI; also from a handler. */
void nmi_to_self(void);

/*
 * Starts the APIC timer, one shot after `count` ticks of its fastest clock: a watchdog for snippets
 * that may hang, or an interrupt at no particular instruction. state_restore stops it.
 */
void timer_start(unsigned vector, uint32_t count);
void timer_stop(void);

/* What a watchdog is set to: far beyond any snippet, well within the runner's limit. */
#define WATCHDOG_TICKS 200000000

/*
 * For state_restore, after a case that lost or repeated an interrupt: takes what is still pending
 * without recording it, and gives EOI for what is still in service.
 */
void interrupts_drain(void);

#endif
