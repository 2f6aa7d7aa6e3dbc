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

/* Time for what is on its way to this CPU; nothing need come. */
void give_it_time(void);

/*
 * Starts the APIC timer, one shot after `count` ticks of its fastest clock: a watchdog for snippets
 * that may hang, or an interrupt at no particular instruction. state_restore stops it.
 */
void timer_start(unsigned vector, uint32_t count);
void timer_stop(void);

/*
 * A watchdog for a snippet that may sleep for ever, far beyond any snippet and well within the runner's limit.
 * Its vector is of lower priority than those that cases wait for. Where the host did not let the machine run,
 * it may bark before it should: watchdog_stop takes back what was not delivered, and a case repeats a run in
 * which it was delivered before the mark that the snippet sleeps at.
 */
#define WATCHDOG 0x22
void watchdog_start(void);
void watchdog_stop(void);
struct snippet;
bool watchdog_was_early(const struct snippet *snippet, const char *mark);

/*
 * For state_restore, after a case that lost or repeated an interrupt: takes what is still pending
 * without recording it, and gives EOI for what is still in service.
 */
void interrupts_drain(void);

/*
 * Takes an interrupt that is pending, without recording it; false if none came. Asks the APIC for nothing
 * then. Whatever holds interrupts back (TPR, a vector in service) must not be there.
 */
bool interrupt_left(unsigned *vector);

#endif
